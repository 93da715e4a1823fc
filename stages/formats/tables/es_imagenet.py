"""Event lists of ES-ImageNet: two arrays a picture, ``pos`` and ``neg``, of row, column and step.

Source: the conversion that made the data set (Lin et al., "ES-ImageNet: A Million Event-Stream
Classification Dataset for Spiking Neural Networks", 2021) and its published loader. A picture, its
longer side 254 px, is moved about by a pixel in each of 8 steps, 1 to 8; what becomes brighter or
darker is an event, unless its row or column is not between 16 and 240. So a step is a frame of
224×224 px whose first row and column are 16. There is no time: a step is given 1 ms.

The published loader moves a picture that is not square to the middle, by half of what it lacks,
which the list of labels tells and the file does not. Here it stays where it is.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EventArray
from stages.formats.tables.columns import events_of_columns

__all__ = ["MOST_EVENTS", "POLARITIES", "SIDE_PX", "events_of_polarities"]

POLARITIES = ("pos", "neg")
"""Names of the two arrays."""
SIDE_PX = 224
MOST_EVENTS = 8 * SIDE_PX * SIDE_PX
"""Of a polarity: each pixel at most once a step."""

_FIRST_PX = 16
_STEP_US = 1000


def events_of_polarities(pos: NDArray[Any], neg: NDArray[Any]) -> EventArray:
    """Return the events of both polarities by step, ON before OFF within one.

    Args:
        pos: (n, 3) row, column and step (from 1) of each ON event, whole numbers.
        neg: (n, 3) those of each OFF event.
    """
    both = np.concatenate([pos, neg]).astype(np.int64)
    on = np.arange(len(both)) < len(pos)
    order = np.argsort(both[:, 2], kind="stable")
    row, column, step = both[order].T
    t_us = (step - 1) * _STEP_US
    return events_of_columns(t_us, column - _FIRST_PX, row - _FIRST_PX, on[order], "us")
