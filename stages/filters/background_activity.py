"""Background activity: noise is what no neighbour has seen.

An edge that moves fires neighbouring pixels within a short time; a pixel's own noise comes alone.
The filter keeps an event if the last event of its neighbours is near in time. Events that it
refuses count as neighbours too, or nothing could ever begin: the first event of an edge is the
price of the ones that follow.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Start
from pipeline.stage import StageConfig
from stages.filters.event_filter import (
    IMPOSSIBLE,
    NEVER_US,
    OUTSIDE,
    EventFilter,
    FilterState,
    Words,
    no_words,
    selected,
)

__all__ = ["BackgroundActivity", "BackgroundActivityConfig", "Nearby"]


class BackgroundActivityConfig(StageConfig):
    """Options of `background_activity`."""

    tau_us: int = Field(2000, gt=0, le=3_600_000_000)
    """An event is kept if its neighbours' last event is at most this far from it, in µs."""
    radius: int = Field(1, ge=1, le=16)
    """How far neighbours are along x and y: 1 for the 8 around a pixel, 2 for the 24."""
    own_pixel: bool = False
    """Whether a pixel counts as its own neighbour; hot pixels then support themselves."""


class Nearby(NamedTuple):
    """What is remembered of each pixel."""

    times_us: NDArray[np.int64]
    """(height + 2·radius, width + 2·radius) time of the last event of the pixel's neighbours,
    `NEVER_US` for none; the margin is of no pixel."""


class BackgroundActivity(EventFilter[BackgroundActivityConfig, Nearby]):
    """Refuse events that no neighbour supports: noise of the sensor."""

    Config = BackgroundActivityConfig
    reasons = (OUTSIDE, IMPOSSIBLE, "without a neighbour")

    def open(self) -> None:
        """Compile the kernel, or load it from Numba's cache."""
        from stages.filters import background_activity_kernel

        self._kernel = background_activity_kernel
        margin = 2 * self.config.radius
        none = Nearby(np.empty((margin, margin), np.int64))
        self.select(no_words(), none, np.zeros(3, np.int64))

    def remember(self, header: Start) -> Nearby:
        """Return that no pixel has fired."""
        margin = 2 * self.config.radius
        return Nearby(np.full((header.height + margin, header.width + margin), NEVER_US))

    def reset(self, state: FilterState[Nearby]) -> FilterState[Nearby]:
        """Forget when pixels fired."""
        state.memory.times_us.fill(NEVER_US)
        return state

    def select(
        self, words: Words, memory: Nearby, refused: NDArray[np.int64]
    ) -> tuple[Words, Nearby]:
        """Keep the events that have a neighbour."""
        config = self.config
        out = np.empty_like(words)
        count = self._kernel.keep_supported(
            words, config.tau_us, config.radius, config.own_pixel, memory.times_us, out, refused
        )
        return selected(words, out, count), memory
