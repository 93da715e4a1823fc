"""The Numba kernels of AEDAT 1.0 and 2.0: words of address and time, and events.

A word is 64 bits as they stand in the file, big endian: address, then time in µs. Events are (n, 2)
int64: time, and x | y << 16 | p << 32.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.aedat2_chips import Layout

__all__ = ["APS", "IMU", "KINDS", "LONGEST_US", "SPECIAL", "UNKNOWN", "decode", "encode"]

# What a word can be that is no event, as an index into the counts.
APS, IMU, SPECIAL, UNKNOWN = range(4)
KINDS = 4

TURN_US = 1 << 32
LONGEST_US = 1 << 30
"""A step across the wrap of the clock is shorter than this; else the clock was reset."""


@njit(inline="always")
def _swap(word):  # type: ignore[no-untyped-def]
    """Reverse the bytes of 32 bits; the compiler knows an instruction for it."""
    return (
        ((word >> 24) & 0xFF)
        | ((word >> 8) & 0xFF00)
        | ((word << 8) & 0xFF0000)
        | ((word << 24) & 0xFF000000)
    )


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[np.int64],
    layout: Layout,
    origin_us: int,
    turn_us: int,
    last: int,
    stop_at_unknown: bool,
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Decode words and unroll their times.

    The 32-bit clock wraps every 71.6 minutes. A word that is nearly a whole turn before the one
    before it lies behind a wrap, one that is nearly a whole turn after it lies before the wrap
    that was just seen. All other jumps are left as they are, a reset of the clock among them.

    Args:
        words: (n,) as they stand in the file.
        layout: what is where in an address.
        origin_us: time that the first turn of the clock began, a multiple of 2³² µs.
        turn_us: time that the present one began.
        last: 32-bit time of the word before, -1 for none.
        stop_at_unknown: stop before the first word that is unknown.
        out: (n, 2) the events.
        counts: (KINDS,) the words that are no events are added here.

    Returns:
        How many events there are, and how many words were used; ``turn_us`` and ``last`` behind
        them.
    """
    if last < 0 and words.shape[0]:
        last = _swap(words[0] >> 32)
    kept = 0
    for i in range(words.shape[0]):
        address, time = _swap(words[i]), _swap(words[i] >> 32)
        if (
            stop_at_unknown
            and address & layout.no_event
            and not address & (layout.special | layout.samples)
        ):
            return kept, i, turn_us, last
        step = time - last
        last = time
        if step < LONGEST_US - TURN_US:
            turn_us += TURN_US
        elif step > TURN_US - LONGEST_US and turn_us > origin_us:
            turn_us -= TURN_US
        if address & layout.no_event:
            if address & layout.samples:
                counts[IMU if address & 0xC00 == 0xC00 else APS] += 1
            else:
                counts[SPECIAL if address & layout.special else UNKNOWN] += 1
            continue
        x = (address >> layout.x_shift) & layout.x_mask
        if layout.x_mirror >= 0:
            x = layout.x_mirror - x
        y = (address >> layout.y_shift) & layout.y_mask
        p = ((address >> layout.p_shift) & 1) ^ layout.p_inverted
        out[kept, 0] = turn_us + time
        out[kept, 1] = (x & 0xFFFF) | y << 16 | p << 32
        kept += 1
    return kept, words.shape[0], turn_us, last


@njit(cache=True, nogil=True)
def encode(
    events: NDArray[np.int64],
    layout: Layout,
    last_us: int,
    out: NDArray[np.int64],
) -> int:
    """Encode events; the low 32 bits of their times are kept.

    Args:
        events: (n, 2) in order of time.
        layout: what is where in an address.
        last_us: time of the event before.
        out: (n,) words as they stand in the file.

    Returns:
        The number of the first event that `decode` would give another time, as the silence before
        it is too long; -1 where there is none.
    """
    for i in range(events.shape[0]):
        t, rest = events[i, 0], events[i, 1]
        silence = t - last_us
        if silence >= LONGEST_US and (t >> 32 != last_us >> 32 or silence > TURN_US - LONGEST_US):
            return i
        last_us = t
        x = rest & 0xFFFF
        if layout.x_mirror >= 0:
            x = layout.x_mirror - x
        address = x << layout.x_shift
        address |= ((rest >> 16) & 0xFFFF) << layout.y_shift
        address |= (((rest >> 32) & 1) ^ layout.p_inverted) << layout.p_shift
        out[i] = _swap(address) | _swap(t) << 32
    return -1
