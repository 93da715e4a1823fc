"""The Numba kernel of N-MNIST's words of 40 bits; see `stages.formats.nmnist`."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.memory_kernel import load8, load32, store64
from stages.formats.nmnist import OVERFLOW_US, OVERFLOW_Y
from stages.formats.notes import OVERFLOW_WORDS

__all__ = ["SKIPPED", "decode"]

SKIPPED = (OVERFLOW_WORDS,)
_BYTES = 5


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[np.uint8],
    state: NDArray[np.int64],
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode bytes until they or the room for events end; see `stages.formats.words.Decode`.

    The state is the time that overflows have added.
    """
    overflow_us = int(state[0])
    made, i = 0, 0
    while i + _BYTES <= words.shape[0] and made < out.shape[0]:
        x, rest = load8(words, i), load32(words, i + 1)
        y, high = rest & 0xFF, rest >> 8 & 0xFF
        i += _BYTES
        if y == OVERFLOW_Y:
            overflow_us += OVERFLOW_US
            counts[2] += 1
            continue
        low_us = (high & 0x7F) << 16 | (rest >> 16 & 0xFF) << 8 | rest >> 24
        store64(out, 2 * made, low_us + overflow_us)
        store64(out, 2 * made + 1, x | y << 16 | (high >> 7) << 32)
        made += 1
    state[0] = overflow_us
    return i, made
