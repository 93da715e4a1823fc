"""The Numba kernel of `refractory`; events are words, as in `event_filter`."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.events import TIME_LIMIT_US

__all__ = ["IMPOSSIBLE", "OUTSIDE", "TOO_SOON", "keep_rested"]

OUTSIDE, IMPOSSIBLE, TOO_SOON = range(3)
"""What the counts hold."""


@njit(cache=True, nogil=True)
def keep_rested(
    words: NDArray[np.int64],
    period_us: int,
    passed_us: NDArray[np.int64],
    out: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> int:
    """Keep events at least a period away from the one of their pixel that was kept last.

    Args:
        words: (n, 2) events.
        period_us: the period.
        passed_us: (height, width) time of each pixel's last event kept, or NEVER_US; updated.
        out: (n, 2) the events that stay.
        refused: (3,) counts, added to.

    Returns:
        How many stay.
    """
    height, width = passed_us.shape
    kept, outside, impossible = 0, 0, 0
    for i in range(words.shape[0]):
        t, rest = words[i, 0], words[i, 1]
        x, y = rest & 0xFFFF, (rest >> 16) & 0xFFFF
        if x >= width or y >= height:
            outside += 1
            continue
        if t <= -TIME_LIMIT_US or t >= TIME_LIMIT_US:
            impossible += 1
            continue
        last_us = passed_us[y, x]
        # The difference to NEVER_US wraps around and is still more than any period.
        since_us = t - last_us
        rested = since_us >= period_us or since_us <= -period_us
        passed_us[y, x] = t if rested else last_us
        out[kept, 0] = t
        out[kept, 1] = rest
        kept += rested
    refused[OUTSIDE] += outside
    refused[IMPOSSIBLE] += impossible
    refused[TOO_SOON] += words.shape[0] - kept - outside - impossible
    return kept
