"""AEDAT4 recordings written, so that iniVation's software opens them; see `stages.formats.aedat4`.

A packet is a constant FlatBuffer prefix followed by the events' own memory, so no event is touched
one by one. The file holds whole packets at any time: what was written before a crash can be read.
"""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.events import EventArray
from stages.formats.aedat4_header import Stream, describe, encode_header
from stages.formats.aedat4_table import ENTRY, encode_table
from stages.formats.compression import NAMES, compressor
from stages.formats.writer import Writer
from stages.record_file import RecordFile

__all__ = ["Aedat4Writer"]

_PACKET_EVENTS = 8192
_PACKET_US = 10_000
_PREFIX_BYTES = 32
_EVENT_BYTES = np.uint64(0xFF_FFFF_FFFF)
"""The five bytes of x, y and p in the upper half of an event; the other three are padding."""


class Aedat4Writer(Writer):
    """Writes events to a new AEDAT4 file, in packets of at most 8192 events and 10 ms.

    Args:
        path: the file; an existing one is replaced.
        width: columns of the sensor, at most 32 768.
        height: rows of the sensor, at most 32 768.
        source: the camera's name.
        compression: ``none``, ``lz4``, ``lz4_high``, ``zstd`` or ``zstd_high``.
        attributes: further texts for the header, by name.

    Raises:
        RecordingError: the file cannot be written.
        ValueError: another argument is not what it should be.
    """

    format = "AEDAT4"
    compressions = NAMES

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        source: str = "pipeline",
        compression: str = "lz4",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(path, width, height, source)
        if compression not in NAMES:
            raise ValueError(f"compression must be one of {', '.join(NAMES)}, got {compression!r}")
        self._compression = compression
        self._compress = compressor(compression)
        self._stream = Stream(0, "events", "EVTS", source, width, height)
        self._xml = describe(self._stream, compression, attributes or {})
        self._entries: list[tuple[int, int, int, int, int, int]] = []
        try:
            self._file = RecordFile(self.path)
        except OSError as error:
            raise self._failed(error) from None
        try:
            self._file.append(encode_header(compression, -1, self._xml))
        except OSError as error:
            self._file.close()
            raise self._failed(error) from None

    def _write(self, events: EventArray) -> None:
        times = events["t"]
        begin = 0
        while begin < len(events):
            end = int(np.searchsorted(times, times[begin] + _PACKET_US))
            end = min(end, begin + _PACKET_EVENTS)
            self._packet(events[begin:end])
            begin = end

    def _finish(self) -> None:
        """Write the data table and where it is."""
        try:
            table = self._compress(encode_table(np.array(self._entries, ENTRY)))
            place = self._file.append(table)
            self._file.overwrite(0, encode_header(self._compression, place, self._xml))
        finally:
            self._file.close()

    def _packet(self, events: EventArray) -> None:
        payload = self._compress(_event_packet(events))
        header = struct.pack("<ii", self._stream.number, len(payload))
        place = self._file.append(header + payload) + len(header)
        first_us, last_us = int(events["t"][0]), int(events["t"][-1])
        self._entries.append((place, 0, len(payload), len(events), first_us, last_us))


def _event_packet(events: EventArray) -> bytearray:
    """A size-prefixed ``EVTS`` buffer: a table with one vector of event structs.

    Byte 0 size, 4 root offset, 8 identifier, 12 vtable of one field, 20 table, 28 vector length,
    32 events, aligned to 8 bytes as their int64 must be. Padding is zero whatever it was, so that
    the same events give the same file.
    """
    packet = bytearray(_PREFIX_BYTES + events.nbytes)
    struct.pack_into(
        "<II4s4HiII", packet, 0, len(packet) - 4, 16, b"EVTS", 6, 8, 4, 0, 8, 4, len(events)
    )
    halves = np.frombuffer(packet, np.uint64, offset=_PREFIX_BYTES).reshape(-1, 2)
    halves[:] = events.view(np.uint64).reshape(-1, 2)
    halves[:, 1] &= _EVENT_BYTES
    return packet
