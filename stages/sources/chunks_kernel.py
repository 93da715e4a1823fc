"""The Numba kernel that copies events for another core to read."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.memory_kernel import fence, pass16

__all__ = ["hand_over"]


@njit(cache=True, nogil=True)
def hand_over(
    words: NDArray[np.int64], begin: int, count: int, target: NDArray[np.int64], to: int
) -> None:
    """Copy events, two words each, past the caches.

    Memory that another core has read lies in that core's cache: to write there takes ten times as
    long as to write past all caches, and decoding straight into it four times as long as decoding.

    Args:
        words: (2 n,) time, and x | y << 16 | p << 32.
        begin: the first event to copy.
        count: how many.
        target: (2 m,) where they are copied to.
        to: where in it the first one comes, counted in events.
    """
    shift = 2 * (to - begin)
    if target.ctypes.data % 16:
        for i in range(2 * begin, 2 * (begin + count)):
            target[i + shift] = words[i]
        return
    for i in range(2 * begin, 2 * (begin + count), 2):
        pass16(target, i + shift, words, i)
    fence()
