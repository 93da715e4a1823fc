"""AEDAT4 recordings written, so that iniVation's software opens them; see `aedat4`.

The file holds whole packets at any time: what was written before a crash can be read.
"""

import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.events import EVENT, EventArray
from stages.formats.aedat.aedat4_header import Stream, describe, encode_header
from stages.formats.aedat.aedat4_table import ENTRY, encode_table
from stages.formats.aedat.compression import NAMES, compressor, decompressor
from stages.formats.aedat.flatbuffer import root_table
from stages.formats.writer import Writer, WriterPosition
from stages.record_file import LostRecordsError

__all__ = ["Aedat4Writer"]

_PACKET_HEADER = struct.Struct("<ii")
_PACKET_EVENTS = 8192
_PACKET_US = 10_000
_BATCH_EVENTS = 1 << 16
"""How many events are written together, at most."""


class _Packet(NamedTuple):
    header: bytes
    payload: bytes
    events: int
    first_us: int
    last_us: int


class Aedat4Writer(Writer):
    """Writes events to a new AEDAT4 file, in packets of at most 8192 events and 10 ms.

    Args:
        path: as of `Writer`, like those that follow.
        width: columns of the sensor.
        height: rows of the sensor.
        source: the camera's name.
        compression: ``none``, ``lz4`` (the default), ``lz4_high``, ``zstd`` or ``zstd_high``.
        attributes: further texts for the header, by name.
        position: where to go on.
    """

    format = "AEDAT4"
    compressions = NAMES
    usual_compression = "lz4"

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        source: str = "pipeline",
        compression: str | None = None,
        attributes: Mapping[str, str] | None = None,
        position: WriterPosition | None = None,
    ) -> None:
        self._attributes = attributes or {}
        super().__init__(path, width, height, source, compression, position)

    def _prepare(self) -> None:
        self._compress = compressor(self._compression)
        self._stream = Stream(0, "events", "EVTS", self.source, self.width, self.height)
        self._xml = describe(self._stream, self._compression, self._attributes)
        self._entries: list[tuple[Any, ...]] = []
        # Here, so that a writer can be asked what it offers without Numba.
        from stages.formats.aedat import aedat4_kernel

        self._kernel = aedat4_kernel
        # As if every event were a packet of its own.
        self._ends = np.empty(_BATCH_EVENTS, np.int64)
        room = _BATCH_EVENTS * (EVENT.itemsize + aedat4_kernel.PREFIX_BYTES)
        self._buffer = np.empty(room, np.uint8)

    def _begin(self) -> None:
        self._file.begin(encode_header(self._compression, -1, self._xml))

    def _write(self, events: EventArray) -> None:
        for begin in range(0, len(events), _BATCH_EVENTS):
            self._append(self._packets(events[begin : begin + _BATCH_EVENTS]))

    def _resume(self, position: WriterPosition) -> None:
        """Make the data table anew, from the packets: it may be too large for a checkpoint."""
        header = encode_header(self._compression, -1, self._xml)
        self._file.overwrite(0, header)
        try:
            self._entries = list(self._known_packets(len(header)))
        except ValueError as error:
            raise LostRecordsError("was changed", str(error)) from None

    def _known_packets(self, place: int) -> Iterator[tuple[int, ...]]:
        """Yield the entries of the data table for the packets from a place on."""
        decompress = decompressor(self._compression)
        with (
            self._file.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            while place < len(content):
                stream, size = _PACKET_HEADER.unpack_from(content, place)
                place += _PACKET_HEADER.size
                packet = decompress(content[place : place + size])
                first, count = root_table(packet, b"EVTS").vector(0, EVENT.itemsize)
                times = np.frombuffer(packet, EVENT, count, first)["t"]
                yield place, stream, size, count, int(times[0]), int(times[-1])
                place += size

    def _finish(self) -> None:
        """Write the data table and where it is."""
        table = self._compress(encode_table(np.array(self._entries, ENTRY)))
        place = self._file.append(table)
        self._file.overwrite(0, encode_header(self._compression, place, self._xml))

    def _packets(self, events: EventArray) -> list[_Packet]:
        words = events.view(np.int64).reshape(-1, 2)
        kernel = self._kernel
        count = kernel.pack_events(words, _PACKET_EVENTS, _PACKET_US, self._buffer, self._ends)
        times, at, begin = words[:, 0], 0, 0
        packets = []
        for end in self._ends[:count].tolist():
            behind = at + kernel.PREFIX_BYTES + (end - begin) * EVENT.itemsize
            payload = self._compress(self._buffer.data[at:behind])
            header = _PACKET_HEADER.pack(self._stream.number, len(payload))
            times_us = int(times[begin]), int(times[end - 1])
            packets.append(_Packet(header, payload, end - begin, *times_us))
            at, begin = behind, end
        return packets

    def _append(self, packets: list[_Packet]) -> None:
        """Write packets together or, where there is no room for all, as many as there is for."""
        parts = [part for packet in packets for part in packet[:2]]
        try:
            place = self._file.append(b"".join(parts))
        except OSError:
            if len(packets) == 1:
                raise
            for packet in packets:
                self._append([packet])
            return
        for header, payload, *known in packets:
            place += len(header)
            self._entries.append((place, self._stream.number, len(payload), *known))
            place += len(payload)
