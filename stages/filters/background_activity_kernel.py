"""The Numba kernel of `background_activity`; events are words, as in `event_filter`."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pipeline.events import TIME_LIMIT_US

__all__ = ["ALONE", "IMPOSSIBLE", "OUTSIDE", "keep_supported"]

OUTSIDE, IMPOSSIBLE, ALONE = range(3)
"""What the counts hold."""


@njit(cache=True, nogil=True)
def keep_supported(
    words: NDArray[np.int64],
    tau_us: int,
    radius: int,
    own: bool,
    nearby_us: NDArray[np.int64],
    out: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> int:
    """Keep events with another one nearby in space and time.

    Each event is written to its neighbours, and one place is read, its own: that is twice as fast
    as writing one place and reading the neighbours.

    Args:
        words: (n, 2) events.
        tau_us: how far the other event may be in time.
        radius: how far it may be along x and y.
        own: whether it may be of the same pixel.
        nearby_us: (height + 2·radius, width + 2·radius) time of the last event in each pixel's
            neighbourhood, with a margin so that no edge has to be looked for; updated.
        out: (n, 2) the events that stay.
        refused: (3,) counts, added to.

    Returns:
        How many stay.
    """
    height, width = nearby_us.shape[0] - 2 * radius, nearby_us.shape[1] - 2 * radius
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
        last_us = nearby_us[y + radius, x + radius]
        # The difference to NEVER_US wraps around and is still more than any tau.
        since_us = t - last_us
        supported = (since_us <= tau_us) & (since_us >= -tau_us)
        if radius == 1:
            # The usual one, written out: three times as fast.
            for row in range(y, y + 3, 2):
                nearby_us[row, x] = t
                nearby_us[row, x + 1] = t
                nearby_us[row, x + 2] = t
            nearby_us[y + 1, x] = t
            nearby_us[y + 1, x + 2] = t
        else:
            for row in range(y, y + 2 * radius + 1):
                for column in range(x, x + 2 * radius + 1):
                    nearby_us[row, column] = t
            nearby_us[y + radius, x + radius] = last_us
        if own:
            nearby_us[y + radius, x + radius] = t
        out[kept, 0] = t
        out[kept, 1] = rest
        kept += supported
    refused[OUTSIDE] += outside
    refused[IMPOSSIBLE] += impossible
    refused[ALONE] += words.shape[0] - kept - outside - impossible
    return kept
