"""The Numba kernels of `polarity`; events are (n, 2) int64 words, the polarity 8 bits from 32."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["invert_polarity", "keep_polarity"]


@njit(cache=True, nogil=True)
def keep_polarity(words: NDArray[np.int64], on: bool, out: NDArray[np.int64]) -> int:
    """Copy the events of one polarity to the front of ``out``; return how many there are."""
    kept = 0
    for i in range(words.shape[0]):
        rest = words[i, 1]
        out[kept, 0] = words[i, 0]
        out[kept, 1] = rest
        kept += (((rest >> 32) & 0xFF) != 0) == on
    return kept


@njit(cache=True, nogil=True)
def invert_polarity(words: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Copy all events to ``out``, OFF as ON and ON as OFF."""
    for i in range(words.shape[0]):
        rest = words[i, 1]
        off = np.int64(((rest >> 32) & 0xFF) == 0)
        out[i, 0] = words[i, 0]
        out[i, 1] = (rest & 0xFFFFFFFF) | off << 32
