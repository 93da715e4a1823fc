"""The Numba kernel of N-MNIST's words of 40 bits; see `stages.formats.nmnist`."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["SKIPPED", "decode"]

SKIPPED = ("overflow words",)
_OVERFLOW_Y = 240
_OVERFLOW_US = 1 << 13
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
        x, y = int(np.int64(words[i])), int(np.int64(words[i + 1]))
        high, middle = int(np.int64(words[i + 2])), int(np.int64(words[i + 3]))
        i += _BYTES
        if y == _OVERFLOW_Y:
            overflow_us += _OVERFLOW_US
            counts[2] += 1
            continue
        low_us = (high & 0x7F) << 16 | middle << 8 | int(np.int64(words[i - 1]))
        out[made, 0] = low_us + overflow_us
        out[made, 1] = x | y << 16 | (high >> 7) << 32
        made += 1
    state[0] = overflow_us
    return i, made
