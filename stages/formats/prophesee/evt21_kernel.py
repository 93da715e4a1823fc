"""The Numba kernel of EVT2.1: words of 64 bits, each a vector of 32 pixels in a row, to events.

Source: Prophesee's description of the EVT 2.1 format. The upper half of a word is laid out as a
word of EVT2, its x being that of the first pixel; the lower half has a bit for each pixel.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.memory_kernel import load8, store64
from stages.formats.notes import OTHER_WORDS, TRIGGER_WORDS

__all__ = ["ROOM", "SKIPPED", "decode"]

ROOM = 32
"""The most events that one word holds."""
SKIPPED = (TRIGGER_WORDS, OTHER_WORDS)
"""What `decode` counts, as in EVT2."""

_NO_HIGH = -(1 << 56) - 1
_DE_BRUIJN = 0x077CB531
_FIRST = np.zeros(32, np.uint8)
"""The lowest bit that is set, by the upper five bits of its product with a de Bruijn number."""
for _bit in range(32):
    _FIRST[(_DE_BRUIJN << _bit & 0xFFFFFFFF) >> 27] = _bit


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[np.int64],
    state: NDArray[np.int64],
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode words until they or the room for events end; see `stages.formats.words.Decode`.

    The state is that of EVT2 and, third, 1 if the upper half of a word is first in the file.
    """
    high = int(state[0])
    swapped = state[2] != 0
    full = out.shape[0] - ROOM
    made, i = 0, 0
    while i < words.shape[0] and made <= full:
        word = int(words[i])
        i += 1
        lower, upper = word & 0xFFFFFFFF, word >> 32 & 0xFFFFFFFF
        if swapped:
            lower, upper = upper, lower
        kind = upper >> 28
        if kind <= 1:  # EVT_NEG, EVT_POS
            t = high << 6 | upper >> 22 & 0x3F
            x = upper >> 11 & 0x7FF
            rest = (upper & 0x7FF) << 16 | kind << 32
            while lower:
                first = lower & -lower
                store64(out, 2 * made, t)
                pixel = load8(_FIRST, (first * _DE_BRUIJN & 0xFFFFFFFF) >> 27)
                store64(out, 2 * made + 1, x + pixel | rest)
                made += 1
                lower ^= first
        elif kind == 8:  # TIME_HIGH
            step = (upper & 0xFFFFFFF) - (high & 0xFFFFFFF)
            if high == _NO_HIGH:
                high = int(state[1]) + (upper & 0xFFFFFFF)
            elif step <= -0x8000000:
                high += step + 0x10000000
            else:
                high += step
        elif kind == 10:  # EXT_TRIGGER
            counts[2] += 1
        elif kind >= 14:  # OTHERS, CONTINUED
            counts[3] += 1
        else:
            counts[0] += 1
            counts[1] = upper
    state[0] = high
    return i, made
