"""Refractory period: a pixel that has fired is not heard for a while."""

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

__all__ = ["Passed", "Refractory", "RefractoryConfig"]


class RefractoryConfig(StageConfig):
    """Options of `refractory`."""

    period_us: int = Field(gt=0, le=3_600_000_000)
    """A pixel's event is refused if it is less than this behind, or before, the pixel's last event
    that was not. A refused event does not lengthen the period."""


class Passed(NamedTuple):
    """What is remembered of each pixel."""

    times_us: NDArray[np.int64]
    """(height, width) time of the last event that passed, `NEVER_US` for none."""


class Refractory(EventFilter[RefractoryConfig, Passed]):
    """Refuse a pixel's events for a period after each that passes."""

    Config = RefractoryConfig
    reasons = (OUTSIDE, IMPOSSIBLE, "in the refractory period")

    def open(self) -> None:
        """Compile the kernel, or load it from Numba's cache."""
        from stages.filters import refractory_kernel

        self._kernel = refractory_kernel
        self.select(no_words(), Passed(np.empty((0, 0), np.int64)), np.zeros(3, np.int64))

    def remember(self, header: Start) -> Passed:
        """Return that no pixel has fired."""
        return Passed(np.full((header.height, header.width), NEVER_US))

    def reset(self, state: FilterState[Passed]) -> FilterState[Passed]:
        """Forget when pixels fired."""
        state.memory.times_us.fill(NEVER_US)
        return state

    def select(
        self, words: Words, memory: Passed, refused: NDArray[np.int64]
    ) -> tuple[Words, Passed]:
        """Keep the events of pixels that are rested."""
        out = np.empty_like(words)
        count = self._kernel.keep_rested(
            words, self.config.period_us, memory.times_us, out, refused
        )
        return selected(words, out, count), memory
