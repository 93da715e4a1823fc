"""Prophesee DAT recordings: records of 64 bits, an event each.

Source: Prophesee's description of the DAT file format: a header as RAW recordings have it
(`raw_header`), a byte for the kind of records and one for their size, then the
records, explained by `dat_kernel`. Times are 32 bits and wrap after 72 minutes;
they are unrolled. Older recordings, such as those of N-CARS, do not say how large the sensor is.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from stages.formats.prophesee.raw import RawReader
from stages.formats.words import Kernel

__all__ = ["WRAP_US", "DatReader"]

WRAP_US = 1 << 32
"""Times start again here."""
_EVENTS = (0x00, 0x0C)
"""Kinds of records that are events: 2D or TD as once called, and CD."""
_OTHERS = {0x01: "grey levels", 0x0E: "external triggers"}
_RECORD_BYTES = 8


class DatReader(RawReader):
    """An open DAT recording."""

    format = "DAT"
    word = np.dtype("<i8")
    wrap_us = WRAP_US

    def _open(self, stream: str | None) -> None:
        super()._open(stream)
        kind = self._read_at(self._begin, 2)
        if len(kind) < 2:
            raise ValueError("it ends before the kind of the records")
        if kind[1] != _RECORD_BYTES:
            raise ValueError(f"its records must have {_RECORD_BYTES} bytes, got {kind[1]}")
        if kind[0] not in _EVENTS:
            what = _OTHERS.get(kind[0], f"records of kind {kind[0]}")
            raise RecordingError(
                f"{self.path}: holds {what} and no events; name the DAT file of its events"
            )
        self._begin += 2
        version = self._header.fields.get("version", "2")
        if version not in ("1", "2"):
            raise ValueError(f"its version must be 1 or 2, got {version!r}")
        self._bits = (9, 8) if version == "1" else (14, 14)
        records, rest = divmod(self.file_bytes - self._begin, _RECORD_BYTES)
        if not rest:
            self.event_count = records

    def _kernel(self) -> Kernel:
        from stages.formats.prophesee.dat_kernel import decode

        return Kernel(decode)

    def _start_state(self) -> NDArray[np.int64]:
        return np.array([self._offset_us, *self._bits], np.int64)
