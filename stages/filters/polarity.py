"""Polarity: only the events of one, or the two swapped."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.messages import Start
from pipeline.stage import StageConfig
from stages.filters.event_filter import EventFilter, Words, no_words, selected

__all__ = ["Polarity", "PolarityConfig"]


class PolarityConfig(StageConfig):
    """Options of `polarity`."""

    mode: Literal["on", "off", "invert"]
    """``on`` and ``off`` keep the events of that polarity, ``invert`` swaps the two."""


class Polarity(EventFilter[PolarityConfig, None]):
    """Keep the events of one polarity, or swap the two."""

    Config = PolarityConfig
    reasons = ("of the other polarity",)

    def open(self) -> None:
        """Compile the kernels, or load them from Numba's cache."""
        from stages.filters import polarity_kernel

        self._kernel = polarity_kernel
        self.select(no_words(), None, np.zeros(1, dtype=np.int64))

    def remember(self, header: Start) -> None:
        """Remember nothing."""

    def select(self, words: Words, memory: None, refused: NDArray[np.int64]) -> tuple[Words, None]:
        """Keep or swap; any polarity but zero is ON."""
        out = np.empty_like(words)
        if self.config.mode == "invert":
            self._kernel.invert_polarity(words, out)
            return out, None
        count = self._kernel.keep_polarity(words, self.config.mode == "on", out)
        refused[0] += len(words) - count
        return selected(words, out, count), None
