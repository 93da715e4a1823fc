"""The Numba kernels of `hot_pixel`; events are words, as in `event_filter`."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.events import TIME_LIMIT_US

__all__ = ["HOT", "OUTSIDE", "count_until", "keep_cold"]

OUTSIDE, HOT = range(2)
"""What the counts hold."""


@njit(cache=True, nogil=True)
def count_until(
    words: NDArray[np.int64], never_us: int, learn_us: int, end_us: int, counts: NDArray[np.int64]
) -> tuple[int, int]:
    """Count events by pixel up to the first that is behind the learning time.

    Args:
        words: (n, 2) events; those outside the sensor or of impossible time do not count.
        never_us: stands for an end that is not known yet.
        learn_us: the learning time.
        end_us: when it ends.
        counts: (height, width) events of each pixel, added to.

    Returns:
        How many events were seen, and when the learning time ends.
    """
    height, width = counts.shape
    for i in range(words.shape[0]):
        t, rest = words[i, 0], words[i, 1]
        x, y = rest & 0xFFFF, (rest >> 16) & 0xFFFF
        if x >= width or y >= height or t <= -TIME_LIMIT_US or t >= TIME_LIMIT_US:
            continue
        if end_us == never_us:
            end_us = t + learn_us
        elif t >= end_us:
            return i, end_us
        counts[y, x] += 1
    return words.shape[0], end_us


@njit(cache=True, nogil=True)
def keep_cold(
    words: NDArray[np.int64],
    hot: NDArray[np.bool_],
    out: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> int:
    """Copy the events of pixels that are not hot to the front of ``out``.

    Args:
        words: (n, 2) events.
        hot: (height, width) whether a pixel is masked.
        out: (n, 2) the events that stay.
        refused: (2,) counts, added to.

    Returns:
        How many stay.
    """
    height, width = hot.shape
    kept, outside = 0, 0
    for i in range(words.shape[0]):
        rest = words[i, 1]
        x, y = rest & 0xFFFF, (rest >> 16) & 0xFFFF
        if x < width and y < height:
            stays = not hot[y, x]
        else:
            outside += 1
            stays = False
        # Written in any case and kept by counting it: no branch to predict.
        out[kept, 0] = words[i, 0]
        out[kept, 1] = rest
        kept += stays
    refused[OUTSIDE] += outside
    refused[HOT] += words.shape[0] - kept - outside
    return kept
