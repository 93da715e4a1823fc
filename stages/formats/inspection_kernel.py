"""The Numba kernels of `stages.formats.inspection`.

Events are passed as (n, 2) int64 words: time, and x | y << 16 | p << 32.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.events import TIME_LIMIT_US

__all__ = [
    "GAP",
    "OUTSIDE",
    "POLARITY",
    "REASONS",
    "RESET",
    "STEP_LIMIT_US",
    "inspect",
    "is_clean",
    "survey",
]

CLAMP, DROP, RAISE = 1, 2, 3
# What can be wrong with an event, as an index into the counts.
IMPOSSIBLE, POLARITY, OUTSIDE, BACK, RESET, GAP = range(6)
REASONS = 6
STEP_LIMIT_US = 1_000_000
"""A step back in time of this length or more is a clock that was reset."""


@njit(cache=True, nogil=True)
def is_clean(words: NDArray[np.int64], last_us: int, gap_us: int, width: int, height: int) -> bool:
    """Return whether there is at least one event and nothing is wrong with any.

    This is what `survey` finds, at a quarter of its time: no comparison, only sign bits that are
    gathered, of steps of time and of x, y and p, 16 bits each, in one subtraction. Times and places
    alternate, and both are worked out for either and masked: so the loop runs over neighbours in
    memory, eight at a time.
    """
    if not words.shape[0]:
        return False
    signs = 0x8000_8000_8000
    largest_x, largest_y = min(width, 0x8000) - 1, min(height, 0x8000) - 1
    largest = signs | largest_x | largest_y << 16 | 1 << 32
    first_us, first = int(words[0, 0]), int(words[0, 1]) & 0xFF_FFFF_FFFF
    step = first_us - last_us if last_us != -TIME_LIMIT_US else 0
    wrong_time = step | gap_us - step | (first_us ^ first_us << 1)
    wrong_place = ~(largest - first) | first
    before = words.reshape(-1)
    after = before[2:]
    for i in range(after.shape[0]):
        is_time = (i & 1) - 1
        value = after[i]
        step = value - before[i]
        # The two upper bits differ where a time is beyond ±2⁶².
        wrong_time |= (step | gap_us - step | (value ^ value << 1)) & is_time
        place = value & 0xFF_FFFF_FFFF
        wrong_place |= (~(largest - place) | place) & ~is_time
    possible = first_us > -TIME_LIMIT_US and words[-1, 0] < TIME_LIMIT_US
    return possible and wrong_time >= 0 and not wrong_place & signs


@njit(cache=True, nogil=True)
def survey(
    words: NDArray[np.int64], last_us: int, gap_us: int
) -> tuple[bool, int, int, int, int, int]:
    """Look at all events in one pass.

    Returns:
        Whether times never go back and all are possible; the number of gaps; the largest x, y and
        p, unsigned; the last time.
    """
    steady = True
    gaps = 0
    x_max, y_max, p_max = 0, 0, 0
    previous = last_us
    first = previous == -TIME_LIMIT_US
    for i in range(words.shape[0]):
        t, rest = words[i, 0], words[i, 1]
        x_max = max(x_max, rest & 0xFFFF)
        y_max = max(y_max, (rest >> 16) & 0xFFFF)
        p_max = max(p_max, (rest >> 32) & 0xFF)
        steady &= t >= previous
        gaps += t - previous > gap_us
        previous = t
    if words.shape[0]:
        # Nothing is behind by comparison with no event at all.
        gaps -= first and words[0, 0] + TIME_LIMIT_US > gap_us
        steady &= words[0, 0] > -TIME_LIMIT_US and previous < TIME_LIMIT_US
    return steady, gaps, x_max, y_max, p_max, previous


@njit(cache=True, nogil=True)
def inspect(
    words: NDArray[np.int64],
    begin: int,
    width: int,
    height: int,
    last_us: int,
    gap_us: int,
    on_back: int,
    on_gap: int,
    on_outside: int,
    on_unknown: int,
    out: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Apply the policies to events ``begin`` on, one after the other.

    Args:
        words: (n, 2) events.
        begin: the first to look at.
        width: columns of the sensor.
        height: rows of the sensor.
        last_us: latest time of an event before them, -TIME_LIMIT_US for none.
        gap_us: longest silence that is no gap.
        on_back: policy, as are the next three.
        on_gap: see `Policies`.
        on_outside: see `Policies`.
        on_unknown: see `Policies`.
        out: (n, 2) the events that stay.
        counts: (REASONS,) what was found is added here.

    Returns:
        How many stay, the latest time of an event, where it stopped, and for what reason (-1: at
        the end). An event that it stopped at is counted by its reason, `RESET` as `BACK`.
    """
    kept = 0
    for i in range(begin, words.shape[0]):
        t, rest = words[i, 0], words[i, 1]
        x = (rest & 0xFFFF) - ((rest & 0x8000) << 1)
        y = ((rest >> 16) & 0xFFFF) - (((rest >> 16) & 0x8000) << 1)
        p = (rest >> 32) & 0xFF
        if t <= -TIME_LIMIT_US or t >= TIME_LIMIT_US:
            counts[IMPOSSIBLE] += 1
            continue
        if p > 1:
            counts[POLARITY] += 1
            if on_unknown == RAISE:
                return kept, last_us, i, POLARITY
            continue
        if x < 0 or y < 0 or x >= width or y >= height:
            counts[OUTSIDE] += 1
            if on_outside == RAISE:
                return kept, last_us, i, OUTSIDE
            if on_outside == DROP:
                continue
            x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        if t < last_us:
            counts[BACK] += 1
            if on_back == RAISE:
                return kept, last_us, i, BACK
            if on_back == DROP:
                continue
            if on_back == CLAMP:
                if last_us - t >= STEP_LIMIT_US:
                    return kept, last_us, i, RESET
                t = last_us
        if last_us != -TIME_LIMIT_US and t - last_us > gap_us:
            counts[GAP] += 1
            if on_gap == RAISE:
                return kept, last_us, i, GAP
        last_us = max(last_us, t)
        out[kept, 0] = t
        out[kept, 1] = x | y << 16 | p << 32
        kept += 1
    return kept, last_us, words.shape[0], -1
