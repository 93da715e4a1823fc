"""AEDAT 3.1 recordings written, so that cAER and jAER open them; see `aedat3`."""

import struct

import numpy as np

from pipeline.events import EventArray
from stages.formats.aedat.aedat3_header import SIZES, describe_sizes
from stages.formats.writer import Writer

__all__ = ["Aedat3Writer"]

_PACKET_EVENTS = 1 << 15
_PACKET_HEADER = struct.Struct("<2h6i")
_SOURCE = 1
_CLOCK_BITS = 31


class Aedat3Writer(Writer):
    """Writes events to a new AEDAT 3.1 file, in packets of at most 32 768 events.

    Sensors of a size that cAER knows are named by their chip, all others by their size.
    """

    format = "AEDAT 3.1"

    def _prepare(self) -> None:
        if not self.source.strip() or not self.source.isprintable():
            raise ValueError(f"source must be a name on one line, got {self.source!r}")

    def _begin(self) -> None:
        self._file.begin(self._header())

    def _header(self) -> bytes:
        size = self.height, self.width
        names = [name for name, known in SIZES.items() if known == size]
        lines = [
            "!AER-DAT3.1",
            "Format: RAW",
            f"Source {_SOURCE}: {names[0] if names else describe_sizes(self.width, self.height)}",
            f"-Source {_SOURCE}: {self.source}",
            # Required; the clock's zero, as far as it is known.
            "Start-Time: 1970-01-01 00:00:00 (TZ+0000)",
            "!END-HEADER",
        ]
        return "".join(f"#{line}\r\n" for line in lines).encode("ascii", "replace")

    def _write(self, events: EventArray) -> None:
        times = events["t"]
        begin = 0
        while begin < len(events):
            turn = int(times[begin]) >> _CLOCK_BITS
            behind = int(np.searchsorted(times, (turn + 1) << _CLOCK_BITS))
            end = min(begin + _PACKET_EVENTS, behind)
            self._file.append(_packet(events[begin:end], turn))
            begin = end


def _packet(events: EventArray, turn: int) -> bytes:
    # Here, so that a writer can be asked what it offers without Numba.
    from stages.formats.aedat import aedat3_kernel as kernel

    count = len(events)
    payload = np.empty(2 * count, np.uint32)
    kernel.encode(events.view(np.int64), payload)
    header = _PACKET_HEADER.pack(
        kernel.POLARITY, _SOURCE, kernel.EVENT_BYTES, 4, turn, count, count, count
    )
    return header + payload.tobytes()
