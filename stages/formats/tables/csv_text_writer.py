"""Text with a line an event written: ``t,x,y,p``, times in µs.

The first line is a comment with the names of the columns, the sensor and the camera; numpy.loadtxt
passes over it, and readers that expect a header take it for one.
"""

import numpy as np

from pipeline.events import EventArray
from stages.formats.tables.csv_text_header import encode_text_header
from stages.formats.writer import Writer

__all__ = ["CsvWriter"]

_BLOCK_EVENTS = 1 << 16


class CsvWriter(Writer):
    """Writes events to a new text."""

    format = "CSV"

    def _prepare(self) -> None:
        from stages.formats.tables.csv_text_kernel import LONGEST_ROW, format_rows

        self._format = format_rows
        self._buffer = np.empty(_BLOCK_EVENTS * LONGEST_ROW, np.uint8)

    def _begin(self) -> None:
        self._file.begin(encode_text_header(self.width, self.height, self.source))

    def _write(self, events: EventArray) -> None:
        words = events.view(np.int64).reshape(-1, 2)
        for begin in range(0, len(words), _BLOCK_EVENTS):
            used = self._format(words[begin : begin + _BLOCK_EVENTS], self._buffer)
            self._file.append(self._buffer[:used].tobytes())
