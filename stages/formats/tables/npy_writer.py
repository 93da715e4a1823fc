"""NumPy's .npy files written: records of `EVENT`, which numpy.load reads as they are.

The header is brought up to date behind every batch, so that what was written before a crash can be
read. The format has no place for the sensor's size and the camera's name.
"""

import numpy as np

from pipeline.events import EVENT, EventArray
from stages.formats.tables.npy_header import encode_npy_header
from stages.formats.writer import Writer

__all__ = ["NpyWriter"]

_CONTENT = np.array([-1, (1 << 40) - 1])
"""The bits of an event that are no padding."""


class NpyWriter(Writer):
    """Writes events to a new .npy file."""

    format = "NPY"
    holds = ()

    def _begin(self) -> None:
        self._file.begin(encode_npy_header(EVENT, 0))

    def _write(self, events: EventArray) -> None:
        # Padding is zero whatever it was, so that the same events give the same file.
        words = events.view(np.int64).reshape(-1, 2) & _CONTENT
        self._file.append(words.tobytes())
        self._file.overwrite(0, encode_npy_header(EVENT, self.events + len(events)))
