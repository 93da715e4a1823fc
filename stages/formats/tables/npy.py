"""NumPy's .npy files that hold events, by field names or as n×4 numbers.

See `npy_header` for what is understood. Only slices of the array are in memory at a
time, and what is pickled is refused.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from stages.formats.reader import Decoded
from stages.formats.tables.columns import SAMPLE_ROWS
from stages.formats.tables.npy_header import HEADER_BYTES, converter, read_npy_header
from stages.formats.tables.table import TableReader

__all__ = ["NpyReader"]


class NpyReader(TableReader):
    """An open .npy file; it has one stream, without a name."""

    format = "NPY"

    def _open(self, stream: str | None) -> None:
        self._array = array = read_npy_header(self._read_at(0, HEADER_BYTES))
        there = max(self.file_bytes - array.begin, 0) // (array.row_bytes or 1)
        self._rows = min(array.rows, there)
        if array.by_column and there < array.rows:
            self._rows = 0
        try:
            self._convert = converter(array, lambda: self._read(0, min(self._rows, SAMPLE_ROWS)))
        except ValueError as error:
            raise RecordingError(f"{self.path}: {error}") from None
        self.event_count = array.rows

    def _decode_from(self, row: int) -> Iterator[Decoded]:
        while row < self._rows:
            end = min(row + self.slice_rows, self._rows)
            yield Decoded(self._convert(self._read(row, end)), (end,))
            row = end
        last = self._array.begin + self._rows * self._array.row_bytes
        rest = max(self.file_bytes - last, 0)
        if self._rows < self._array.rows:
            self._damaged("is truncated", last, rest)
        elif rest:
            self._unknown(1, f"{rest} bytes behind its last event")

    def _read(self, row: int, end: int) -> NDArray[Any]:
        """Return rows of the array: records, or lines of four numbers."""
        array = self._array
        if not array.by_column:
            count = (end - row) * array.row_bytes
            return array.rows_of(self._read_at(array.begin + row * array.row_bytes, count))
        item = array.dtype.itemsize
        offsets = [array.begin + (column * array.rows + row) * item for column in range(4)]
        parts = [self._read_at(offset, (end - row) * item) for offset in offsets]
        return np.stack([np.frombuffer(part, array.dtype) for part in parts], axis=1)
