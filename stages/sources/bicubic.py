"""Bicubic resizing as the evaluation of ImageNet networks has it: smoothed where it reduces.

Each output pixel is a weighted mean of the input pixels around its centre, with the cubic kernel
(a = -0.5) of Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, as many
times wider as the picture is made smaller. Rows first, then columns, rounded to bytes after each,
as Pillow does; bytes are Pillow's, but for one in tens of thousands that is off by 1. OpenCV's own
bicubic does not widen the kernel: it takes four pixels however many lie between them, and fine
texture turns into noise.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["bicubic"]


def bicubic(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize a picture.

    Args:
        picture: (height, width, channels) bytes.
        height: The height it is to have, pixels.
        width: The width it is to have, pixels.
    """
    if picture.shape[1] != width:
        picture = _rows(picture.swapaxes(0, 1), width).swapaxes(0, 1)
    return picture if picture.shape[0] == height else _rows(picture, height)


def _rows(picture: NDArray[np.uint8], wanted: int) -> NDArray[np.uint8]:
    """Resize along the first axis."""
    given = len(picture)
    scale = given / wanted
    wider = max(scale, 1.0)
    centres = (np.arange(wanted) + 0.5) * scale
    taps = np.floor(centres - 2 * wider).astype(np.int64)[:, None]
    taps = taps + np.arange(math.ceil(4 * wider) + 2)  # (wanted, pixels under the kernel)
    weights = _kernel(np.abs(taps + 0.5 - centres[:, None]) / wider)
    weights[(taps < 0) | (taps >= given)] = 0
    weights /= weights.sum(1, keepdims=True)
    taps = np.clip(taps, 0, given - 1)
    total = np.full((wanted, *picture.shape[1:]), 0.5, np.float32)
    for tap, weight in zip(taps.T, weights.T.astype(np.float32), strict=True):
        total += weight[:, None, None] * picture[tap]
    return np.clip(np.floor(total), 0, 255).astype(np.uint8)


def _kernel(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic at each distance from the centre."""
    near = (1.5 * away - 2.5) * away**2 + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    return np.where(away < 1, near, np.where(away < 2, far, 0.0))
