"""Pictures seen through a moving camera: resampled under an affine map, smooth between pixels."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation import dvs_pixel
from models.simulation._jit import kernel
from models.simulation.dvs_pixel import Events, Sensor

__all__ = ["View", "concatenate", "resample", "watch"]


class View(NamedTuple):
    """Where a picture is in the image, and how large."""

    x_px: float
    """Column of the picture's middle in the image."""
    y_px: float
    """Row of the picture's middle in the image."""
    scale: float
    """Pixels of the image for one pixel of the picture."""
    angle_rad: float = 0.0
    """Rotation, clockwise as one sees it."""


def resample(
    picture: NDArray[np.float32], view: View, height: int, width: int
) -> NDArray[np.float32]:
    """See a picture in a view.

    A cubic B-spline lies over the picture's pixels. It is smooth and never overshoots, so coarse
    pictures get round outlines, and moving ones change luminance smoothly. Outside the picture its
    border goes on for ever.

    Args:
        picture: (rows, columns) float32.
        view: Where it is.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        (height, width) float32.
    """
    cosine = math.cos(view.angle_rad) / view.scale
    sine = math.sin(view.angle_rad) / view.scale
    image = np.empty((height, width), np.float32)
    _resample(picture, image, view.x_px, view.y_px, cosine, sine)
    return image


def watch(sensor: Sensor, frames: Iterable[tuple[int, NDArray[np.float32]]]) -> Events:
    """Return what a sensor makes of frames, given with their times in µs; the first is at rest."""
    state: dvs_pixel.PixelState | None = None
    collected: list[Events] = []
    for time_us, image in frames:
        if state is None:
            state = dvs_pixel.start(sensor, image, time_us)
            continue
        state, events = dvs_pixel.step(sensor, state, image, time_us)
        collected.append(events)
    return concatenate(collected)


def concatenate(parts: Iterable[Events]) -> Events:
    """Join events that follow each other; none at all give empty columns."""
    empty = Events(
        np.empty(0, np.int64), np.empty(0, np.int16), np.empty(0, np.int16), np.empty(0, np.int8)
    )
    return Events(*(np.concatenate(column) for column in zip(empty, *parts, strict=True)))


@kernel
def _resample(
    picture: NDArray[np.float32],
    image: NDArray[np.float32],
    x_px: float,
    y_px: float,
    cosine: float,
    sine: float,
) -> None:
    rows, columns = picture.shape
    height, width = image.shape
    across = np.empty(4, np.float64)
    down = np.empty(4, np.float64)
    for y in range(height):
        for x in range(width):
            dx, dy = x - x_px, y - y_px
            u = cosine * dx + sine * dy + 0.5 * (columns - 1)
            v = cosine * dy - sine * dx + 0.5 * (rows - 1)
            left, top = math.floor(u), math.floor(v)
            _weights(u - left, across)
            _weights(v - top, down)
            total = 0.0
            for j in range(4):
                row = min(max(int(top) - 1 + j, 0), rows - 1)
                line = 0.0
                for i in range(4):
                    column = min(max(int(left) - 1 + i, 0), columns - 1)
                    line += across[i] * picture[row, column]
                total += down[j] * line
            image[y, x] = total


@kernel
def _weights(f: float, weights: NDArray[np.float64]) -> None:
    """Weights of the cubic B-spline for the four pixels about a point, ``f`` behind the second."""
    weights[0] = (1 - f) ** 3 / 6
    weights[1] = (3 * f**3 - 6 * f**2 + 4) / 6
    weights[2] = (-3 * f**3 + 3 * f**2 + 3 * f + 1) / 6
    weights[3] = f**3 / 6
