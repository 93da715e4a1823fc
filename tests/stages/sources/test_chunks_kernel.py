"""Copies past the caches are copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import some_events
from stages.sources.chunks_kernel import hand_over


@settings(max_examples=50)
@given(begin=st.integers(0, 60), count=st.integers(0, 40), to=st.integers(0, 20))
@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "not aligned"])
def test_a_stretch_of_events_is_copied_and_nothing_else(
    offset: int, begin: int, count: int, to: int
) -> None:
    """An array may begin at any multiple of 8 bytes; past the caches go 16 at a time."""
    words = some_events(100).view(np.int64)
    words.setflags(write=False)
    memory = np.full(2 * 64 + 2, -1)
    memory = memory[memory.ctypes.data // 8 % 2 :]
    target = memory[offset : offset + 2 * 60]
    expected = target.copy()
    expected[2 * to : 2 * (to + count)] = words[2 * begin : 2 * (begin + count)]
    hand_over(words, begin, count, target, to)
    np.testing.assert_array_equal(target, expected)
