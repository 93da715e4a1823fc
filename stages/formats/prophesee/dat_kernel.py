"""The Numba kernels of DAT: records of 64 bits to events, and back.

Source: Prophesee's description of the DAT file format, and for version 1 the layout that ATIS
recordings of the time have. The lower half is the time in µs, the upper half x, y and polarity
from the lowest bit on.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.memory_kernel import load64, store64

__all__ = ["decode", "encode"]


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[np.int64],
    state: NDArray[np.int64],
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode records until they or the room for events end; see `stages.formats.words.Decode`.

    The state is the time of the record before, unrolled, and the bits of x and of y.
    """
    previous = int(state[0]) & 0xFFFFFFFF
    wraps = int(state[0]) - previous
    y_at = int(state[1])
    p_at = y_at + int(state[2])
    x_mask, y_mask = (1 << y_at) - 1, (1 << int(state[2])) - 1
    count = min(words.shape[0], out.shape[0])
    for i in range(count):
        word = load64(words, i)
        low, address = word & 0xFFFFFFFF, word >> 32
        wraps += (previous - low >= 0x80000000) << 32
        previous = low
        store64(out, 2 * i, wraps + low)
        row, polarity = address >> y_at & y_mask, address >> p_at & 1
        store64(out, 2 * i + 1, address & x_mask | row << 16 | polarity << 32)
    state[0] = wraps + previous
    return count, count


@njit(cache=True, nogil=True)
def encode(
    events: NDArray[np.int64], state: NDArray[np.int64], out: NDArray[np.int64]
) -> tuple[int, int]:
    """Encode events until they or the room end; see `stages.formats.words_writer.Encode`.

    There is no state. Times lose what 32 bits do not hold.
    """
    count = min(events.shape[0], out.shape[0])
    for i in range(count):
        t, rest = int(events[i, 0]), int(events[i, 1])
        address = rest & 0x3FFF | (rest >> 16 & 0x3FFF) << 14 | (rest >> 32 & 1) << 28
        out[i] = t & 0xFFFFFFFF | address << 32
    return count, count
