"""What the filters share that treat columns and rows each on their own.

They are one kernel with two tables: what a column, and what a row, adds to an event's target.
"""

from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import StageConfig
from stages.filters.event_filter import EventFilter, Words, no_words, selected

__all__ = ["AxisFilter", "AxisTables"]

C = TypeVar("C", bound=StageConfig)


class AxisTables(NamedTuple):
    """The target of an event is ``columns[x] | rows[y]``, built as x | y << 16; -1 is none."""

    columns: NDArray[np.int64]
    """(width,) of the sensor."""
    rows: NDArray[np.int64]
    """(height,) of the sensor."""
    moves: bool
    """Whether any event that stays gets other coordinates."""


class AxisFilter(EventFilter[C, AxisTables], Generic[C]):
    """A filter that is given by its tables, which are all that it remembers."""

    def open(self) -> None:
        """Compile the kernel, or load it from Numba's cache."""
        from stages.filters import pixel_map_kernel

        self._kernel = pixel_map_kernel
        none = np.empty(0, dtype=np.int64)
        self.select(no_words(), AxisTables(none, none, moves=True), np.zeros(2, dtype=np.int64))

    def select(
        self, words: Words, memory: AxisTables, refused: NDArray[np.int64]
    ) -> tuple[Words, AxisTables]:
        """Move the events by the tables."""
        out = np.empty_like(words)
        count = self._kernel.move_by_axis(words, memory.columns, memory.rows, out, refused)
        return out[:count] if memory.moves else selected(words, out, count), memory
