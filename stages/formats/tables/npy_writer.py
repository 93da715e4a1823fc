"""NumPy's .npy files written: records of `EVENT`, which numpy.load reads as they are.

The header is brought up to date behind every batch, so that what was written before a crash can be
read. The format has no place for the sensor's size and the camera's name.
"""

import numpy as np

from pipeline.events import EVENT, EventArray
from stages.formats.tables.npy_header import encode_npy_header
from stages.formats.writer import Writer, WriterPosition

__all__ = ["NpyWriter", "event_bytes"]

_CONTENT = np.array([-1, (1 << 40) - 1])
"""The bits of an event that are no padding."""


class NpyWriter(Writer):
    """Writes events to a new .npy file."""

    format = "NPY"
    holds = ()

    def _begin(self) -> None:
        self._file.begin(encode_npy_header(EVENT, 0))

    def _write(self, events: EventArray) -> None:
        self._file.append(event_bytes(events))
        self._file.overwrite(0, encode_npy_header(EVENT, self.events + len(events)))

    def _resume(self, position: WriterPosition) -> None:
        self._file.overwrite(0, encode_npy_header(EVENT, self.events))


def event_bytes(events: EventArray) -> bytes:
    """Return events as they are in a file, their padding zero: the same events, the same file."""
    words: bytes = (events.view(np.int64).reshape(-1, 2) & _CONTENT).tobytes()
    return words
