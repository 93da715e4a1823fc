"""Event Stream recordings (.es), version 2, as sepia, faery and loris write them.

Source: the Event Stream specification and what its writers do. "Event Stream", three bytes of
version, one for the kind of events, and width and height (uint16 each). An event is a byte of time
since the event before and polarity, then x and y (uint16 each), y upward: it is given downward as
everywhere. DVS: seven bits of time, polarity lowest; 255 is 127 µs more and no event, 254 a reset
that means nothing in a file. ATIS: six bits of time, then polarity, lowest whether the event is
part of an exposure measurement, which is counted and no event here; 253 to 255 are one to three
times 63 µs more, 252 is a reset. Time starts at 0.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import LARGEST_SIDE_PX
from stages.formats.words import Kernel, WordReader

__all__ = ["DVS", "HEADER", "MAGIC", "EventStreamReader"]

HEADER = struct.Struct("<12s4B2H")
"""Magic, version, kind of events, width, height."""
MAGIC = b"Event Stream"
DVS = 1
"""Kind of events: change detections."""
_ATIS = 2
_REFUSED = {0: "generic", 3: "display", 4: "colour"}


class EventStreamReader(WordReader):
    """An open Event Stream recording of DVS or ATIS events."""

    format = "ES"
    word = np.dtype("u1")
    event_words = 5
    chunk_words = event_words << 16

    def _open(self, stream: str | None) -> None:
        begin = self._read_at(0, HEADER.size)
        if len(begin) < HEADER.size:
            raise ValueError(f"it has {len(begin)} bytes of {HEADER.size}")
        _, major, minor, patch, kind, width, height = HEADER.unpack(begin)
        if major != 2:
            raise RecordingError(
                f"{self.path}: is of Event Stream {major}.{minor}.{patch}, known is version 2;"
                " convert it with the software that wrote it"
            )
        if kind in _REFUSED:
            raise RecordingError(
                f"{self.path}: holds {_REFUSED[kind]} events (kind {kind}), which are not those of"
                " an event camera; name a recording of DVS or ATIS events"
            )
        if kind not in (DVS, _ATIS):
            raise ValueError(f"kind of events must be {DVS} or {_ATIS}, got {kind}")
        if not (0 < width <= LARGEST_SIDE_PX and 0 < height <= LARGEST_SIDE_PX):
            raise ValueError(
                f"the sensor has {width}×{height} px, must be 1 to {LARGEST_SIDE_PX} each"
            )
        self._begin = HEADER.size
        self._kind = kind
        # Rows are counted from below in the file, whatever size the caller gives.
        self._height = height
        self.declared_size = height, width

    def _kernel(self) -> Kernel:
        from stages.formats import es_kernel as kernel

        decode = kernel.decode_dvs if self._kind == DVS else kernel.decode_atis
        return Kernel(decode, skipped=kernel.SKIPPED)

    def _start_state(self) -> NDArray[np.int64]:
        return np.array([0, self._height], np.int64)
