"""Hot pixels: pixels that fire by themselves are masked, by a list or by what is learned.

A pixel is hot if, within the learning time, it fired faster than ``min_rate_hz`` and more than
``times_neighbours`` as often as the second busiest of its 8 neighbours. An edge or a lamp makes at
least two neighbours fire with a pixel; a fault does not, and so the rule needs no idea of how busy
the scene is. The busiest neighbour is not asked, for two hot pixels may lie side by side; the end
of a line a pixel thin is the price.
"""

from itertools import product
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import ConfigError
from pipeline.messages import Start
from pipeline.ports import EventsPort
from pipeline.stage import Account, PortError, StageConfig
from stages.filters.event_filter import (
    NEVER_US,
    OUTSIDE,
    EventFilter,
    FilterState,
    Words,
    no_words,
    selected,
)
from stages.filters.pixel_list import read_pixels

__all__ = ["HotPixel", "HotPixelConfig", "Learned", "hot_pixels"]


class HotPixelConfig(StageConfig):
    """Options of `hot_pixel`; at least one of the first three."""

    pixels: tuple[tuple[int, int], ...] = ()
    """Pixels to mask, each as [x, y]."""
    file: FilePath | None = None
    """A text file with more pixels to mask, a line each: x and y, split by a comma or a space."""
    learn_us: int | None = Field(None, gt=0, le=3_600_000_000)
    """Event time to learn from, from the recording's first event on; hot pixels are masked from
    the first event behind it, and what came before it has passed. A second is a good value."""
    times_neighbours: int = Field(10, ge=1, le=1_000_000)
    """A pixel is hot if it fires more than this many times as often as the second busiest of its
    8 neighbours ..."""
    min_rate_hz: int = Field(10, ge=0, le=1_000_000)
    """... and faster than this."""


class Learned(NamedTuple):
    """What is known of the pixels."""

    hot: NDArray[np.bool_]
    """(height, width) whether a pixel is masked."""
    counts: NDArray[np.int64]
    """(height, width) events of each pixel while learning; (0, 0) when nothing is learned."""
    end_us: int
    """When learning ends; `NEVER_US` before the first event."""
    learning: bool
    found: int
    """Pixels masked by what was learned."""


class HotPixel(EventFilter[HotPixelConfig, Learned]):
    """Mask pixels that fire by themselves: given ones, or found in the first moments."""

    Config = HotPixelConfig
    reasons = (OUTSIDE, "from hot pixels")

    def port(self) -> EventsPort:
        """Return the input's port; the pixels given must be of its sensor."""
        config = self.config
        if not config.pixels and config.file is None and config.learn_us is None:
            raise PortError("learn_us", "is missing, and so are pixels and file; give one of them")
        return super().port()

    def open(self) -> None:
        """Compile the kernels, or load them from Numba's cache."""
        from stages.filters import hot_pixel_kernel

        self._kernel = hot_pixel_kernel
        none = np.zeros((0, 0), dtype=np.int64)
        learning = self.config.learn_us is not None
        warm = Learned(none.astype(np.bool_), none, NEVER_US, learning, found=0)
        self.select(no_words(), warm, np.zeros(2, dtype=np.int64))

    def resize(self, width: int | None, height: int | None) -> tuple[int | None, int | None]:
        """Return the size as it is, if all pixels given are within it."""
        self._given(width, height)
        return width, height

    def remember(self, header: Start) -> Learned:
        """Return the mask of the pixels given, and that nothing is learned yet."""
        return self._untaught(header.width, header.height)

    def reset(self, state: FilterState[Learned]) -> FilterState[Learned]:
        """Forget what was learned, and learn anew."""
        height, width = state.memory.hot.shape
        return state._replace(memory=self._untaught(width, height))

    def select(
        self, words: Words, memory: Learned, refused: NDArray[np.int64]
    ) -> tuple[Words, Learned]:
        """Learn, where that is not over, and keep the events of pixels that are not masked."""
        out = np.empty_like(words)
        done, kept = 0, 0
        if memory.learning:
            assert self.config.learn_us is not None
            done, end_us = self._kernel.count_until(
                words, NEVER_US, self.config.learn_us, memory.end_us, memory.counts
            )
            memory = memory._replace(end_us=end_us)
            kept = self._kernel.keep_cold(words[:done], memory.hot, out, refused)
            if done < len(words):
                memory = self._taught(memory)
        kept += self._kernel.keep_cold(words[done:], memory.hot, out[kept:], refused)
        return selected(words, out, kept), memory

    def account(self, state: FilterState[Learned]) -> Account:
        """Return events passed on and refused, and how many pixels were found."""
        memory = state.memory
        notes = {"hot pixels found": memory.found, "ended while learning": int(memory.learning)}
        return msgspec.structs.replace(super().account(state), notes=notes)

    def _given(self, width: int | None, height: int | None) -> tuple[tuple[int, int], ...]:
        """Return the pixels of both lists."""
        listed: tuple[tuple[int, int], ...] = ()
        if self.config.file is not None:
            try:
                listed = read_pixels(self.config.file)
            except ConfigError as error:
                raise PortError("file", str(error)) from None
        for key, pixels in (("pixels", self.config.pixels), ("file", listed)):
            for x, y in pixels:
                if not (0 <= x < (width or x + 1) and 0 <= y < (height or y + 1)):
                    size = "" if width is None else f" of {width}×{height}"
                    raise PortError(key, f"[{x}, {y}] is outside the sensor{size}")
        return self.config.pixels + listed

    def _untaught(self, width: int, height: int) -> Learned:
        hot = np.zeros((height, width), dtype=np.bool_)
        for x, y in self._given(width, height):
            hot[y, x] = True
        learning = self.config.learn_us is not None
        counts = np.zeros(hot.shape if learning else (0, 0), dtype=np.int64)
        return Learned(hot, counts, NEVER_US, learning, found=0)

    def _taught(self, memory: Learned) -> Learned:
        """Mask what was found; the counts are not needed any more."""
        config = self.config
        assert config.learn_us is not None
        found = hot_pixels(
            memory.counts, config.learn_us, config.times_neighbours, config.min_rate_hz
        )
        return Learned(
            hot=memory.hot | found,
            counts=np.zeros((0, 0), dtype=np.int64),
            end_us=memory.end_us,
            learning=False,
            found=int(np.count_nonzero(found & ~memory.hot)),
        )


def hot_pixels(
    counts: NDArray[np.int64], learn_us: int, times_neighbours: int, min_rate_hz: int
) -> NDArray[np.bool_]:
    """Return which pixels are hot.

    Args:
        counts: (height, width) events of each pixel.
        learn_us: the time they were counted in.
        times_neighbours: how many times as often as that neighbour a hot pixel fires at least.
        min_rate_hz: how fast a hot pixel fires at least.

    Returns:
        (height, width) bool.
    """
    height, width = counts.shape
    padded = np.pad(counts, 1)
    busiest, second = np.zeros_like(counts), np.zeros_like(counts)
    for row, column in product(range(3), range(3)):
        if (row, column) != (1, 1):
            neighbour = padded[row : row + height, column : column + width]
            second = np.maximum(second, np.minimum(busiest, neighbour))
            busiest = np.maximum(busiest, neighbour)
    hot: NDArray[np.bool_] = counts * 1_000_000 > min_rate_hz * learn_us
    hot &= counts > second * times_neighbours
    return hot
