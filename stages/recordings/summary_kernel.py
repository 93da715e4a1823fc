"""The Numba kernel of `stages.recordings.summary`."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["BINS", "FIRST", "LATEST", "NUMBERS", "PEAK", "STEP", "WINDOW_US", "count_events"]

BINS = 64
"""Bins of the rate over time; half of them are in use at least, however long a recording is."""
WINDOW_US = 10_000
"""Length of the windows in which the peak rate is looked for."""

# Numbers that are carried from batch to batch, as an index.
FIRST, LATEST, STEP, EDGE, WITHIN, PEAK = range(6)
NUMBERS = 6


@njit(cache=True, nogil=True)
def count_events(
    words: NDArray[np.int64],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    picture: NDArray[np.int64],
    bins: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> None:
    """Count a batch of events by place, polarity and time, in one pass.

    Args:
        words: (n, 2) events: time, and x | y << 16 | p << 32.
        rows: (height,) the picture's row of each row of the sensor.
        columns: (width,) the same for columns.
        picture: (2, rows, columns) counts by polarity; counted up.
        bins: (BINS,) counts by time; counted up, and joined in pairs when time outgrows them.
        numbers: (NUMBERS,) first and latest time; microseconds in a bin, 0 before the first event;
            end of the current window; events within it; most events in a window so far.
    """
    if not words.shape[0]:
        return
    if not numbers[STEP]:
        numbers[FIRST] = numbers[LATEST] = words[0, 0]
        numbers[EDGE] = words[0, 0] + WINDOW_US
        numbers[STEP] = 1
    first, latest, step = numbers[FIRST], numbers[LATEST], numbers[STEP]
    edge, within, peak = numbers[EDGE], numbers[WITHIN], numbers[PEAK]
    bin_ = (latest - first) // step
    bin_end = first + (bin_ + 1) * step
    counted = 0
    for i in range(words.shape[0]):
        # Where time goes back it stands still.
        t, rest = max(words[i, 0], latest), words[i, 1]
        latest = t
        if t >= edge:
            peak = max(peak, within)
            within = 0
            edge += ((t - edge) // WINDOW_US + 1) * WINDOW_US
        if t >= bin_end:
            bins[bin_] += counted
            counted = 0
            while (t - first) // BINS >= step:
                for k in range(BINS // 2):
                    bins[k] = bins[2 * k] + bins[2 * k + 1]
                bins[BINS // 2 :] = 0
                step *= 2
            bin_ = (t - first) // step
            bin_end = first + (bin_ + 1) * step
        within += 1
        counted += 1
        picture[(rest >> 32) & 1, rows[(rest >> 16) & 0xFFFF], columns[rest & 0xFFFF]] += 1
    bins[bin_] += counted
    numbers[LATEST], numbers[STEP], numbers[EDGE] = latest, step, edge
    numbers[WITHIN], numbers[PEAK] = within, max(peak, within)
