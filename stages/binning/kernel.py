"""The Numba kernel of `time_bin`: events counted into the windows of a fixed grid."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.events import TIME_LIMIT_US, EventArray

__all__ = [
    "FULL",
    "GAP",
    "LATE",
    "OUTSIDE",
    "OVERFLOW",
    "SATURATED",
    "count_events",
    "narrow",
    "scaling_table",
]

# Columns of the tally that the kernel adds to.
LATE, OUTSIDE, OVERFLOW, SATURATED = range(4)

# Why the kernel stopped in front of an event, beside having seen all of them.
FULL, GAP = 1, 2


@njit(cache=True, nogil=True)
def count_events(
    events: EventArray,
    begin: int,
    window_start_us: int,
    window_us: int,
    max_gap_us: int,
    limit_us: int,
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    stack: NDArray[np.uint16],
    used: int,
    last_event_us: NDArray[np.int64],
    has_event: NDArray[np.bool_],
    tally: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Count events into ``stack`` until they are used up or the stack is.

    Args:
        events: (n,) records.
        begin: the first event to count.
        window_start_us: start of the open window.
        window_us: length of a window.
        max_gap_us: how far an event may lie behind the end of the window of the one before.
        limit_us: how far the first event may go, by that rule; a later one stops the kernel.
        columns: (sensor width,) target column of each sensor column.
        rows: (sensor height,) target row of each sensor row.
        stack: (windows, 2, height, width) counts; window ``used`` is the open one.
        used: closed windows at the front of the stack.
        last_event_us: (windows,) time of the last event of each window, be it in the image or not.
        has_event: (windows,) whether there is such an event.
        tally: (4,) running counts of late, outside, overflowing-time and saturated events.

    Returns:
        The first event not counted, closed windows in the stack, start of the open window, and
        why the kernel stopped: 0, `FULL` or `GAP`.
    """
    width, height = columns.shape[0], rows.shape[0]
    end_us = window_start_us + window_us
    for i in range(begin, events.shape[0]):
        t = events[i].t
        if t >= end_us or t < window_start_us:
            if t >= TIME_LIMIT_US or t <= -TIME_LIMIT_US:
                tally[OVERFLOW] += 1
                continue
            if t < window_start_us:
                tally[LATE] += 1
                continue
            if t > limit_us:
                return i, used, end_us - window_us, GAP
            while t >= end_us:
                if used + 1 == stack.shape[0]:
                    return i, used, end_us - window_us, FULL
                used += 1
                end_us += window_us
            window_start_us = end_us - window_us
        limit_us = end_us + max_gap_us
        last_event_us[used] = max(last_event_us[used], t) if has_event[used] else t
        has_event[used] = True
        x, y = events[i].x, events[i].y
        if x < 0 or y < 0 or x >= width or y >= height:
            tally[OUTSIDE] += 1
            continue
        polarity = 1 if events[i].p != 0 else 0
        column, row = columns[x], rows[y]
        count = stack[used, polarity, row, column]
        if count == 65535:
            tally[SATURATED] += 1
        else:
            stack[used, polarity, row, column] = count + 1
    return events.shape[0], used, end_us - window_us, 0


def scaling_table(sensor: int, target: int) -> NDArray[np.int64]:
    """Return for each sensor coordinate its target, ``floor(x · target / sensor)``, exactly."""
    return np.arange(sensor, dtype=np.int64) * target // sensor


def narrow(stack: NDArray[np.uint16]) -> NDArray[Any]:
    """Copy counts into the smallest unsigned dtype that holds them."""
    return stack.astype(np.uint8 if stack.max(initial=0) <= 255 else np.uint16)
