"""The Numba kernels of Event Stream: bytes to events, and back; see `stages.formats.es`."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.memory_kernel import load8, load32, store64
from stages.formats.notes import EXPOSURE_EVENTS, RESET_BYTES

__all__ = ["SKIPPED", "decode_atis", "decode_dvs", "encode_dvs"]

SKIPPED = (RESET_BYTES, EXPOSURE_EVENTS)
_BYTES = 5


@njit(cache=True, nogil=True)
def _place(stored: int, height: int) -> int:
    """The four bytes of x and y as an event has them; y is upward in the file."""
    x, y = stored & 0xFFFF, stored >> 16
    # What an int16 does not hold is -1, which is outside every sensor.
    return (x if x < 0x8000 else 0xFFFF) | (height - 1 - y if y < height else 0xFFFF) << 16


@njit(cache=True, nogil=True)
def decode_dvs(
    words: NDArray[np.uint8],
    state: NDArray[np.int64],
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode bytes until they or the room for events end; see `stages.formats.words.Decode`.

    The state is the time of the event before, and the sensor's height.
    """
    t, height = int(state[0]), int(state[1])
    made, i = 0, 0
    while i < words.shape[0] and made < out.shape[0]:
        first = load8(words, i)
        if first == 0xFF:
            t += 0x7F
            i += 1
        elif first == 0xFE:
            counts[2] += 1
            i += 1
        elif i + _BYTES <= words.shape[0]:
            t += first >> 1
            store64(out, 2 * made, t)
            place = _place(load32(words, i + 1), height)
            store64(out, 2 * made + 1, place | (first & 1) << 32)
            made += 1
            i += _BYTES
        else:
            break
    state[0] = t
    return i, made


@njit(cache=True, nogil=True)
def decode_atis(
    words: NDArray[np.uint8],
    state: NDArray[np.int64],
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode bytes as `decode_dvs` does; events of exposure measurement are counted only."""
    t, height = int(state[0]), int(state[1])
    made, i = 0, 0
    while i < words.shape[0] and made < out.shape[0]:
        first = load8(words, i)
        if first == 0xFC:
            counts[2] += 1
            i += 1
        elif first > 0xFC:
            t += 0x3F * (first & 3)
            i += 1
        elif i + _BYTES <= words.shape[0]:
            t += first >> 2
            if first & 1:
                counts[3] += 1
            else:
                store64(out, 2 * made, t)
                place = _place(load32(words, i + 1), height)
                store64(out, 2 * made + 1, place | (first >> 1 & 1) << 32)
                made += 1
            i += _BYTES
        else:
            break
    state[0] = t
    return i, made


@njit(cache=True, nogil=True)
def encode_dvs(
    events: NDArray[np.int64], state: NDArray[np.int64], out: NDArray[np.uint8]
) -> tuple[int, int]:
    """Encode events until they or the room end; see `stages.formats.words_writer.Encode`.

    The state is the time of the event before, and the sensor's height.
    """
    last, height = int(state[0]), int(state[1])
    full = out.shape[0] - _BYTES
    made, i = 0, 0
    while i < events.shape[0] and made <= full:
        t, rest = int(events[i, 0]), int(events[i, 1])
        if t - last >= 0x7F:
            last += 0x7F
            out[made] = 0xFF
            made += 1
            continue
        x, y = rest & 0xFFFF, height - 1 - (rest >> 16 & 0xFFFF)
        out[made] = (t - last) << 1 | (rest >> 32 & 1)
        out[made + 1], out[made + 2] = x & 0xFF, x >> 8
        out[made + 3], out[made + 4] = y & 0xFF, y >> 8
        last = t
        made += _BYTES
        i += 1
    state[0] = last
    return i, made
