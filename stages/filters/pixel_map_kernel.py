"""The Numba kernels of filters that move events to other pixels, or leave them out.

A table holds the target of a column, a row or a pixel as the low word of an event is built,
x | y << 16, or -1 for none. Events are passed as (n, 2) int64 words: time, and
x | y << 16 | p << 32; a negative coordinate, read so, is larger than any sensor.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["NOWHERE", "OUTSIDE", "move_by_axis", "move_by_pixel"]

OUTSIDE, NOWHERE = range(2)
"""What the counts hold: events outside the sensor, and events that no pixel is for."""


@njit(cache=True, nogil=True)
def move_by_axis(
    words: NDArray[np.int64],
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    out: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> int:
    """Move events by one table for each axis; the target is ``columns[x] | rows[y]``.

    Args:
        words: (n, 2) events.
        columns: (width,) what each column adds to the target, or -1.
        rows: (height,) what each row adds to the target, or -1.
        out: (n, 2) the events that stay.
        refused: (2,) counts, added to.

    Returns:
        How many stay.
    """
    width, height = columns.shape[0], rows.shape[0]
    kept, outside = 0, 0
    for i in range(words.shape[0]):
        rest = words[i, 1]
        x, y = rest & 0xFFFF, (rest >> 16) & 0xFFFF
        if x >= width or y >= height:
            outside += 1
            continue
        # Written in any case and kept by counting it: no branch to predict.
        target = columns[x] | rows[y]
        out[kept, 0] = words[i, 0]
        out[kept, 1] = (rest & ~0xFFFFFFFF) | target
        kept += target >= 0
    refused[OUTSIDE] += outside
    refused[NOWHERE] += words.shape[0] - kept - outside
    return kept


@njit(cache=True, nogil=True)
def move_by_pixel(
    words: NDArray[np.int64],
    targets: NDArray[np.int64],
    out: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> int:
    """Move events by one table of all pixels.

    Args:
        words: (n, 2) events.
        targets: (height, width) the target of each pixel, or -1.
        out: (n, 2) the events that stay.
        refused: (2,) counts, added to.

    Returns:
        How many stay.
    """
    height, width = targets.shape
    kept, outside = 0, 0
    for i in range(words.shape[0]):
        rest = words[i, 1]
        x, y = rest & 0xFFFF, (rest >> 16) & 0xFFFF
        if x >= width or y >= height:
            outside += 1
            continue
        target = targets[y, x]
        out[kept, 0] = words[i, 0]
        out[kept, 1] = (rest & ~0xFFFFFFFF) | target
        kept += target >= 0
    refused[OUTSIDE] += outside
    refused[NOWHERE] += words.shape[0] - kept - outside
    return kept
