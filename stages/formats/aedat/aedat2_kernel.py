"""The Numba kernels of AEDAT 1.0 and 2.0: words of address and time, and events.

A word is an address and a time in µs, both uint32 and big endian, as in the file. An event is two
int64: time, and x | y << 16 | p << 32. Both are passed as flat arrays, as only loops over those are
vectorised, which makes them four times as fast.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.formats.aedat.aedat2_chips import Layout

__all__ = ["KINDS", "LONGEST_US", "TURN_US", "encode", "settle", "unpack"]

APS, IMU, SPECIAL, UNKNOWN = range(4)
KINDS = 4

TURN_US = 1 << 32
LONGEST_US = 1 << 30
"""A step across the wrap of the clock is shorter than this; else the clock was reset."""


@njit(inline="always")
def _swap(word):  # type: ignore[no-untyped-def]
    """Reverse the bytes of 32 bits; the compiler knows an instruction for it."""
    return np.uint32(
        (word >> np.uint32(24))
        | ((word >> np.uint32(8)) & np.uint32(0xFF00))
        | ((word << np.uint32(8)) & np.uint32(0xFF0000))
        | (word << np.uint32(24))
    )


@njit(cache=True, nogil=True)
def unpack(
    words: NDArray[np.uint32], layout: Layout, turn_us: int, last: int, out: NDArray[np.int64]
) -> bool:
    """Unpack words as if all were events of one turn of the clock, which they nearly always are.

    Args:
        words: (2 n,) as they stand in the file.
        layout: what is where in an address.
        turn_us: time that the turn of the clock began.
        last: 32-bit time of the word before.
        out: (2 n,) one event a word.

    Returns:
        Whether they were; `settle` must be called where they were not.
    """
    x_shift, x_mask = np.uint32(layout.x_shift), np.uint32(layout.x_mask)
    y_shift, y_mask = np.uint32(layout.y_shift), np.uint32(layout.y_mask)
    p_shift, inverted = np.uint32(layout.p_shift), np.uint32(layout.p_inverted)
    mirrored = layout.x_mirror >= 0
    x_zero, x_sign = (layout.x_mirror, -1) if mirrored else (0, 1)
    strange = np.uint32(0)
    least, largest = np.int64(0), np.int64(0)
    previous = np.int64(last)
    for i in range(words.shape[0] // 2):
        address, time = _swap(words[2 * i]), np.int64(_swap(words[2 * i + 1]))
        strange |= address & np.uint32(layout.no_event)
        least, largest = min(least, time - previous), max(largest, time - previous)
        previous = time
        x = x_zero + x_sign * np.int64((address >> x_shift) & x_mask)
        y = np.int64((address >> y_shift) & y_mask)
        p = np.int64(((address >> p_shift) & np.uint32(1)) ^ inverted)
        out[2 * i] = turn_us + time
        out[2 * i + 1] = (x & 0xFFFF) | y << 16 | p << 32
    steady = least >= LONGEST_US - TURN_US and largest <= TURN_US - LONGEST_US
    return bool(steady and strange == 0)


@njit(cache=True, nogil=True)
def settle(
    words: NDArray[np.uint32],
    layout: Layout,
    origin_us: int,
    turn_us: int,
    last: int,
    stop_at_unknown: bool,
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Take what is no event out of what `unpack` gave, and unroll the times.

    The clock wraps every 71.6 minutes. A word that is nearly a whole turn before the one before it
    lies behind a wrap, one that is nearly a whole turn after it lies before the wrap that was just
    seen. All other jumps are left as they are, a reset of the clock among them.

    Args:
        words: see `unpack`.
        layout: see `unpack`.
        origin_us: time that the first turn of the clock began.
        turn_us: time that the turn of the word before began.
        last: see `unpack`.
        stop_at_unknown: stop before the first word that is unknown.
        out: (2 n,) what `unpack` gave; the events that stay are moved to its beginning.
        counts: (KINDS,) the words that are no events are added here.

    Returns:
        How many events stay, how many words were used, and when the last word's turn began.
    """
    no_event, special = np.uint32(layout.no_event), np.uint32(layout.special)
    samples = np.uint32(layout.samples)
    kept = 0
    previous = np.int64(last)
    for i in range(words.shape[0] // 2):
        address, time = _swap(words[2 * i]), np.int64(_swap(words[2 * i + 1]))
        strange = address & no_event
        if strange and stop_at_unknown and not address & (special | samples):
            return kept, i, turn_us
        step = time - previous
        previous = time
        if step < LONGEST_US - TURN_US:
            turn_us += TURN_US
        elif step > TURN_US - LONGEST_US and turn_us > origin_us:
            turn_us -= TURN_US
        if strange:
            if address & samples:
                counts[IMU if address & 0xC00 == 0xC00 else APS] += 1
            else:
                counts[SPECIAL if address & special else UNKNOWN] += 1
            continue
        out[2 * kept] = turn_us + time
        out[2 * kept + 1] = out[2 * i + 1]
        kept += 1
    return kept, words.shape[0] // 2, turn_us


@njit(cache=True, nogil=True)
def encode(
    events: NDArray[np.int64], layout: Layout, last_us: int, out: NDArray[np.uint32]
) -> bool:
    """Encode events; the low 32 bits of their times are kept.

    Args:
        events: (2 n,) in order of time.
        layout: what is where in an address.
        last_us: time of the event before.
        out: (2 n,) words as they stand in the file.

    Returns:
        Whether a silence between two events is so long that a reader may unroll it wrongly.
    """
    x_shift, y_shift = np.uint32(layout.x_shift), np.uint32(layout.y_shift)
    p_shift, inverted = np.uint32(layout.p_shift), np.uint32(layout.p_inverted)
    mirrored = layout.x_mirror >= 0
    x_zero, x_sign = (layout.x_mirror, -1) if mirrored else (0, 1)
    too_long = False
    previous = np.int64(last_us)
    for i in range(events.shape[0] // 2):
        t, rest = events[2 * i], events[2 * i + 1]
        too_long |= t - previous >= LONGEST_US
        previous = t
        x = np.uint32(x_zero + x_sign * (rest & 0xFFFF))
        y = np.uint32((rest >> 16) & 0xFFFF)
        p = np.uint32((rest >> 32) & 1) ^ inverted
        out[2 * i] = _swap(np.uint32(x << x_shift | y << y_shift | p << p_shift))
        out[2 * i + 1] = _swap(np.uint32(t))
    return too_long
