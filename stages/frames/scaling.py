"""Scaling of frames: each pixel of the new frame is a weighted sum of pixels of the old one.

Rows and columns are scaled one after the other, in float32. The places of pixels are OpenCV's
``resize``: the middle of pixel k of n lies at (k + 0.5) / n of the side. ``sum`` is another thing:
it adds up what events of a finer sensor made, each pixel wholly where `stages.binning` would have
drawn its events.
"""

from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Method", "scale"]

Method: TypeAlias = Literal["area", "bilinear", "nearest", "sum"]


class _Taps(NamedTuple):
    """What a side is scaled by: pixel k is the sum of old pixels ``places[j][k]`` times weights."""

    places: list[NDArray[np.intp]]
    """(pixels,) each."""
    weights: list[NDArray[np.float32]]
    """(pixels,) each."""


def scale(frames: NDArray[Any], size: tuple[int, int], method: Method) -> NDArray[Any]:
    """Scale frames (..., height, width) to another height and width.

    Args:
        frames: integers or floats.
        size: (height, width) to scale to.
        method: ``area`` is the mean over what a new pixel covers, ``bilinear`` is between the two
            nearest pixels of each direction, whatever lies between, ``nearest`` takes one pixel,
            ``sum`` adds up old pixels, at least one to a new one.

    Returns:
        (..., *size), float32; of ``nearest`` the dtype of ``frames``; of ``sum``, where they are
        integers, the smallest integers that hold it.
    """
    if method == "sum":
        return _sum(frames, size)
    rows = _taps(frames.shape[-2], size[0], method)
    columns = _taps(frames.shape[-1], size[1], method)
    if method == "nearest":
        return frames[..., rows.places[0][:, np.newaxis], columns.places[0]]
    scaled = np.zeros((*frames.shape[:-2], size[0], frames.shape[-1]), dtype=np.float32)
    for place, weight in zip(*rows, strict=True):
        scaled += frames[..., place, :] * weight[:, np.newaxis]
    out = np.zeros((*frames.shape[:-2], *size), dtype=np.float32)
    for place, weight in zip(*columns, strict=True):
        out += scaled[..., place] * weight
    return out


def _sum(frames: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    kind = frames.dtype.kind
    for axis, new in ((-2, size[0]), (-1, size[1])):
        # Old pixel x goes to new pixel floor(x · new / old): these are the first of each.
        begins = -(-np.arange(new) * frames.shape[axis] // new)
        wide = np.float32 if kind == "f" else np.int64
        frames = np.add.reduceat(frames, begins, axis=axis, dtype=wide)
    if kind == "f":
        return frames
    low, high = int(frames.min(initial=0)), int(frames.max(initial=0))
    limits = [np.iinfo(f"{kind}{size}") for size in (1, 2, 4)]
    fitting = next(limit for limit in limits if limit.min <= low and high <= limit.max)
    return frames.astype(fitting.dtype)


@lru_cache(maxsize=64)
def _taps(old: int, new: int, method: Method) -> _Taps:
    """Return how a side of ``old`` pixels becomes one of ``new``."""
    ratio = old / new
    if method == "nearest":
        return _Taps([np.arange(new) * old // new], [np.ones(new, dtype=np.float32)])
    if method == "bilinear":
        middles = np.clip((np.arange(new) + 0.5) * ratio - 0.5, 0, old - 1)
        below = np.minimum(middles.astype(np.intp), max(old - 2, 0))
        above = np.minimum(below + 1, old - 1)
        share = (middles - below).astype(np.float32)
        return _Taps([below, above], [1 - share, share])
    begins, ends = np.arange(new) * ratio, np.arange(1, new + 1) * ratio
    taps = _Taps([], [])
    for k in range(int(np.ceil(ratio)) + 1):
        place = begins.astype(np.intp) + k
        covered = np.minimum(ends, place + 1) - np.maximum(begins, place)
        taps.places.append(np.minimum(place, old - 1))
        taps.weights.append((np.maximum(covered, 0) / ratio).astype(np.float32))
    return taps
