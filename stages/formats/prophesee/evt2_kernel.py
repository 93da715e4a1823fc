"""The Numba kernels of EVT2: words of 32 bits to events, and back.

Source: Prophesee's description of the EVT 2.0 format. The upper four bits are the kind of word; an
event has six bits of time, eleven of x and eleven of y, and TIME_HIGH the 28 bits of time above.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.memory_kernel import load32, store64
from stages.formats.notes import OTHER_WORDS, TRIGGER_WORDS

__all__ = ["SKIPPED", "decode", "encode", "start_state"]

SKIPPED = (TRIGGER_WORDS, OTHER_WORDS)
"""What `decode` counts behind unknown words and an example of them; OTHERS and CONTINUED words
are ``other words``."""

# Before the first TIME_HIGH every time is impossible: inspection refuses and counts such events.
_NO_HIGH = -(1 << 56) - 1


def start_state(offset_us: int = 0) -> NDArray[np.int64]:
    """Return the state before the first word: TIME_HIGH with all wraps, and where it starts.

    Args:
        offset_us: what is added to all times; a multiple of 2³⁴ µs.
    """
    return np.array([_NO_HIGH, offset_us >> 6], np.int64)


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[np.uint32],
    state: NDArray[np.int64],
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode words until they or the room for events end; see `stages.formats.words.Decode`."""
    high = int(state[0])
    made, i = 0, 0
    while i < words.shape[0] and made < out.shape[0]:
        word = load32(words, i)
        kind = word >> 28
        i += 1
        if kind <= 1:  # CD_OFF, CD_ON
            # They come in runs, in which there is always room.
            stop = min(words.shape[0], i + out.shape[0] - made - 1)
            while True:
                place = word >> 11 & 0x7FF | (word & 0x7FF) << 16
                store64(out, 2 * made, high << 6 | word >> 22 & 0x3F)
                store64(out, 2 * made + 1, place | kind << 32)
                made += 1
                if i >= stop:
                    break
                word = load32(words, i)
                kind = word >> 28
                if kind > 1:
                    break
                i += 1
        elif kind == 8:  # TIME_HIGH
            step = (word & 0xFFFFFFF) - (high & 0xFFFFFFF)
            if high == _NO_HIGH:
                high = int(state[1]) + (word & 0xFFFFFFF)
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
            counts[1] = word
    state[0] = high
    return i, made


@njit(cache=True, nogil=True)
def encode(
    events: NDArray[np.int64], state: NDArray[np.int64], out: NDArray[np.uint32]
) -> tuple[int, int]:
    """Encode events until they or the room end; see `stages.formats.words_writer.Encode`.

    The state is the latest TIME_HIGH, counted on, and the one at which counting starts.
    """
    high, start = int(state[0]), int(state[1])
    full = out.shape[0] - 2
    made, i = 0, 0
    while i < events.shape[0] and made <= full:
        t, rest = int(events[i, 0]), int(events[i, 1])
        step = (t >> 6) - start - high
        if step:
            # A step of half the range would be taken for one back.
            high += min(step, 0x7FFFFFF)
            out[made] = 8 << 28 | high & 0xFFFFFFF
            made += 1
            if step > 0x7FFFFFF:
                continue
        x, y, p = rest & 0x7FF, rest >> 16 & 0x7FF, rest >> 32 & 1
        out[made] = p << 28 | (t & 0x3F) << 22 | x << 11 | y
        made += 1
        i += 1
    state[0] = high
    return i, made
