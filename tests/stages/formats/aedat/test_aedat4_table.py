"""The data table, both ways."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.formats.aedat.aedat4_table import ENTRY, decode_table, encode_table


@given(arrays(ENTRY, st.integers(0, 20)))
def test_a_table_is_read_as_written(entries: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_table(encode_table(entries), 20), entries)


def test_fields_left_out_are_zero() -> None:
    """DV wrote neither counts nor times in its first years."""
    definition = struct.pack("<4H", 8, 20, 4, 12) + struct.pack("<iqii", 8, 4711, 3, 99)
    vector = struct.pack("<II", 1, 4 + 8) + definition
    table = struct.pack("<II4s4HiI", 24 + len(vector), 16, b"FTAB", 6, 8, 4, 0, 8, 4) + vector
    assert decode_table(table, 1).tolist() == [(4711, 3, 99, 0, 0, 0)]


def test_more_entries_than_packets_are_refused() -> None:
    with pytest.raises(ValueError, match="a data table of 3 packets, there is room for 2"):
        decode_table(encode_table(np.zeros(3, ENTRY)), 2)


@given(st.lists(st.tuples(st.integers(0, 207), st.integers(0, 255)), max_size=6))
def test_a_damaged_table_gives_entries_or_an_error(changes: list[tuple[int, int]]) -> None:
    table = bytearray(encode_table(np.ones(3, ENTRY)))
    for at, value in changes:
        table[at] = value
    with suppress(ValueError):
        assert decode_table(bytes(table), 3).dtype == ENTRY
