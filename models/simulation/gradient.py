"""The omnidirectional discrete gradient, by which ES-ImageNet makes events out of pictures.

Y. Lin, W. Ding, S. Qiang, L. Deng, G. Li. ES-ImageNet: a million event-stream classification
dataset for spiking neural networks. Frontiers in Neuroscience 15, 2021. A picture's brightest
channel is moved by one or two pixels along a fixed path of nine places; where the value of a pixel
changes by more than a threshold from one place to the next there is an event. Which way a place
lies from the last one says which gradient is seen, so the eight steps see all directions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_SIDE_PX", "STEPS", "GradientEvents", "gradient_events"]

STEPS = 8
"""Steps of time: one for each move."""
LARGEST_SIDE_PX = 254
"""Longer side of a picture."""

_PATH = ((1, 0), (0, 2), (2, 1), (1, 0), (0, 1), (2, 2), (1, 0), (1, 1), (2, 1))
_THRESHOLD = 0.18
_MARGIN_PX = 4
_FIRST_PX, _END_PX = 17, 240


class GradientEvents(NamedTuple):
    """Events as ES-ImageNet keeps them: (n, 3) uint8 of row, column and step, from 1 to 8."""

    positive: NDArray[np.uint8]
    negative: NDArray[np.uint8]


def gradient_events(picture: NDArray[np.float32]) -> GradientEvents:
    """Make events out of a picture.

    Args:
        picture: (rows, columns, 3) float32, 0 to 1, at most 254 px a side.

    Returns:
        Events in rows and columns 17 to 239 of a canvas that is 4 px larger than the picture.

    Raises:
        ValueError: The picture is too large.
    """
    rows, columns = picture.shape[:2]
    if max(rows, columns) > LARGEST_SIDE_PX:
        raise ValueError(f"picture must have 254 px a side at most, got {rows}×{columns}")
    brightest = picture.max(axis=2)
    signs: dict[bool, list[NDArray[np.int64]]] = {True: [], False: []}
    last = _placed(brightest, _PATH[0])
    for step in range(1, STEPS + 1):
        there = _placed(brightest, _PATH[step])
        # Only where the picture is in both: its border is no edge.
        both = ~(np.isnan(there) | np.isnan(last))
        change = np.where(both, there - last, 0.0)
        for positive, found in ((True, change > _THRESHOLD), (False, change < -_THRESHOLD)):
            places = np.argwhere(found)
            kept = places[((places >= _FIRST_PX) & (places < _END_PX)).all(axis=1)]
            signs[positive].append(np.insert(kept, 2, step, axis=1))
        last = there
    return GradientEvents(
        *(np.concatenate(signs[positive]).astype(np.uint8) for positive in (True, False))
    )


def _placed(picture: NDArray[np.float32], place: tuple[int, int]) -> NDArray[np.float32]:
    """Put the picture on the canvas; what it does not cover is NaN."""
    rows, columns = picture.shape
    canvas = np.full((rows + _MARGIN_PX, columns + _MARGIN_PX), np.nan, np.float32)
    canvas[place[0] : place[0] + rows, place[1] : place[1] + columns] = picture
    return canvas
