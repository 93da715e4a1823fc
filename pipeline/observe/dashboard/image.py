"""The events of the last moments as a picture that fades, of any size that is asked for."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.messages import Events, Frames, Message

__all__ = ["EventImage"]

_FADE_S = 0.25
"""After so long an event is left with 1/e of its brightness."""
_LARGEST_PX = 320
"""Sensors with longer sides are kept at half, a quarter and so on of their size."""
_MOST_EVENTS = 100_000
"""Of a message with more, every n-th is drawn."""
_LEVELS = 8
_DARKEST = 0.02


class EventImage:
    """Brightness by polarity (OFF, ON), row and column.

    Attributes:
        size: (width, height) of the sensor in pixels, (0, 0) while it is not known.
    """

    def __init__(self) -> None:
        self.size = (0, 0)
        self._shift = 0
        self._bright: NDArray[np.float32] = np.zeros((2, 0, 0), np.float32)
        self._now_s = 0.0
        self._stays = False

    def resize(self, width: int, height: int) -> None:
        """Begin with an empty picture of a sensor of that size."""
        if (width, height) != self.size:
            self.size = width, height
            self._shift = max(0, math.ceil(math.log2(max(width, height) / _LARGEST_PX)))
            rows, columns = (((side - 1) >> self._shift) + 1 for side in (height, width))
            self._bright = np.zeros((2, rows, columns), np.float32)

    def fade(self, now_s: float, stays: bool = False) -> None:
        """Let time pass up to a monotonic moment.

        Args:
            now_s: the moment.
            stays: whether nothing fades meanwhile, but as event time goes on.
        """
        if not stays:
            self._dim(now_s - self._now_s)
        self._now_s, self._stays = now_s, stays

    def take(self, message: Message) -> None:
        """Add the events of a message, or show the last of its frames."""
        if isinstance(message.header, Events):
            if self._stays:
                self._dim((message.header.t_last_us - message.header.t_first_us) / 1e6)
            self._add(message.array)
        elif isinstance(message.header, Frames) and len(message.array):
            self._show(message.array[-1])

    def pixels(self, columns: int, rows: int) -> list[list[list[int]]]:
        """Return levels of brightness, 0 to 8, by polarity, row and column, of a size."""
        bright = _pooled(_pooled(self._bright, 1, rows), 2, columns)
        levels: list[list[list[int]]] = np.rint(_scaled(bright) * _LEVELS).astype(int).tolist()
        return levels

    def shades(self) -> NDArray[np.uint8]:
        """Return brightness, 0 to 255, by polarity, row and column, in the size that is kept."""
        return np.rint(_scaled(self._bright) * 255).astype(np.uint8)

    def _dim(self, seconds: float) -> None:
        self._bright *= math.exp(-max(0.0, seconds) / _FADE_S)

    def _add(self, events: NDArray[np.void]) -> None:
        events = events[:: 1 + len(events) // _MOST_EVENTS]
        x, y = (events[axis].astype(np.int64) >> self._shift for axis in ("x", "y"))
        _, height, width = self._bright.shape
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        polarity = (events["p"] > 0).astype(np.int64)
        flat = ((polarity * height + y) * width + x)[inside]
        np.add.at(self._bright.reshape(-1), flat, np.float32(1))

    def _show(self, frame: NDArray[np.generic]) -> None:
        """Show a frame (channels, height, width): two channels are polarities, others are grey."""
        self.resize(frame.shape[2], frame.shape[1])
        step = 1 << self._shift
        levels = np.abs(frame[:, ::step, ::step].astype(np.float32))
        if len(frame) != 2:
            levels = np.stack([np.zeros_like(levels[0]), levels.mean(0)])
        most = float(levels.max())
        self._bright = np.asarray(levels / most if most else levels, np.float32)


def _scaled(bright: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring brightness to 0 to 1."""
    lit = bright[bright > _DARKEST]
    # A hot pixel must not darken all others.
    full = max(float(np.quantile(lit, 0.95)), 0.5) if lit.size else 1.0
    # Down to nothing: a little noise in every pixel must not look like something.
    scaled: NDArray[np.float32] = np.minimum(bright / full, 1)
    return scaled


def _pooled(bright: NDArray[np.float32], axis: int, size: int) -> NDArray[np.float32]:
    """Bring one axis to a size: pixels that fall together are added up, or repeated."""
    length = bright.shape[axis]
    if not length:
        return np.zeros([size if n == axis else m for n, m in enumerate(bright.shape)], np.float32)
    first = np.arange(size) * length // size
    if size >= length:
        repeated: NDArray[np.float32] = np.take(bright, first, axis)
        return repeated
    added: NDArray[np.float32] = np.add.reduceat(bright, first, axis)
    return added
