"""AEDAT4 recordings, as iniVation's DV software and dv-processing write them.

Source: the AEDAT 4.0 file format specification. A header (`aedat4_header`), then
packets: stream and size (int32 each) and a compressed, size-prefixed FlatBuffer, ``EVTS`` for
events; at the end, where the file was closed properly, the compressed data table
(`aedat4_table`), whose place is in the header.

Packets as they nearly always are, of LZ4 or not compressed, are decoded many at a time by a kernel
(`aedat4_kernel`); whatever it does not take comes one by one through Python, which
decodes it or says what is wrong with it. There are no threads here: one core decodes a third more
than dv-processing does, and the others belong to the stages behind.

We read it ourselves because dv-processing refuses a truncated file whole, prints a C++ stack for a
wrong one and cannot resume at a position; the tests hold our arrays to its own.
"""

import io
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import EVENT, EventArray, empty_events
from stages.formats.aedat.aedat4_header import Header, Stream, read_header
from stages.formats.aedat.aedat4_table import decode_table
from stages.formats.aedat.compression import decompressor
from stages.formats.aedat.flatbuffer import root_table
from stages.formats.inspection import Inspector
from stages.formats.notes import FRAMES, IMU_SAMPLES, NOT_CLOSED, TRIGGERS, UNREAD_STREAMS
from stages.formats.reader import BEGINNING, Decoded, Place, Position, Reader
from stages.pool import Pool

__all__ = ["Aedat4Reader"]

_PACKET_HEADER = struct.Struct("<ii")
_HEADER_BYTES = 1 << 21
_RUN_BYTES = 1 << 18
"""How much of a file is decoded at a time: as much as stays in a processor's cache."""
_RUN_EVENTS = 1 << 16
"""Events that this gives, at most; most are half as many."""
_BESIDE = {"FRME": FRAMES, "IMUS": IMU_SAMPLES, "TRIG": TRIGGERS}
"""What the elements of a stream are, by its kind."""


class Aedat4Reader(Reader):
    """An open AEDAT4 recording; ``stream`` is the name of the stream of events or its camera's."""

    format = "AEDAT4"
    named_streams = True

    def _open(self, stream: str | None) -> None:
        self._header = read_header(io.BytesIO(self._read_at(0, _HEADER_BYTES)))
        self._decompress = decompressor(self._header.compression)
        self._stream = self._choose(self._header, stream)
        self.declared_size = self._stream.height, self._stream.width
        self.source = self._stream.source
        self._index: NDArray[np.void] | None = None
        table = self._data_table(self._header.data_table)
        # Without a table the packets are walked to the end of the file.
        self._closed = table is not None
        self._end = self.file_bytes if table is None else self._header.data_table
        self.beside = self._what_is_beside(table)
        if table is None:
            return
        table = table[table["stream"] == self._stream.number]
        filled = table[table["count"] > 0]
        # Old recordings have a table without counts and times.
        if len(filled) or not len(table):
            self.event_count = int(filled["count"].sum())
        if len(filled):
            self._index = filled if _in_order(filled) else None

    def _choose(self, header: Header, name: str | None) -> Stream:
        streams = header.streams.values()
        events = [stream for stream in streams if stream.kind == "EVTS"]
        if not events:
            known = ", ".join(f"{stream.name} ({stream.kind})" for stream in streams) or "none"
            raise RecordingError(f"{self.path}: has no stream of events; its streams: {known}")
        chosen = [one for one in events if name in (None, one.name, one.source)]
        names = [one.name for one in events]
        # Of two streams with one name the camera's tells them apart.
        if len(set(names)) < len(names):
            names = [one.source for one in events]
        if not chosen or (name is not None and len(chosen) > 1):
            how_many = "several streams" if chosen else "no stream"
            known = ", ".join(f"{one.name} of {one.source}" for one in events)
            raise RecordingError(
                f"{self.path}: has {how_many} of events {name!r}; name the stream or the camera,"
                f" it has: {known}"
            )
        if not chosen[0].width or not chosen[0].height:
            raise RecordingError(
                f"{self.path}: its header does not say how large the sensor is (sizeX, sizeY);"
                " copy or record it again"
            )
        self.other_streams = tuple(
            other for other, one in zip(names, events, strict=True) if one is not chosen[0]
        )
        return chosen[0]

    def _what_is_beside(self, table: NDArray[np.void] | None) -> Counter[str]:
        """Return how much streams of no events hold, as far as the data table says it."""
        beside: Counter[str] = Counter()
        for stream in self._header.streams.values():
            if stream.kind == "EVTS":
                continue
            rows = None if table is None else table[table["stream"] == stream.number]
            if rows is not None and not len(rows):
                continue
            count = 0 if rows is None else int(rows["count"].sum())
            if stream.kind in _BESIDE and count > 0:
                beside[_BESIDE[stream.kind]] += count
            else:
                beside[UNREAD_STREAMS] += 1
        return beside

    def _data_table(self, offset: int) -> NDArray[np.void] | None:
        """Read the table at an offset, None if there is none; what it says may be wrong."""
        if not self._header.length <= offset < self.file_bytes:
            return None
        try:
            table = self._decompress(self._read_at(offset, self.file_bytes - offset))
            return decode_table(table, (offset - self._header.length) // _PACKET_HEADER.size)
        except ValueError:
            return None

    def _decode(self, place: Place) -> Iterator[Decoded]:
        offset = place[0] if place else self._header.length
        if len(place) > 1 or not self._header.length <= offset <= self.file_bytes:
            raise self._no_such_place(place)
        decode_run = self._run_decoder()
        while offset < self._end:
            used, events = decode_run(offset)
            if used:
                offset += used
                if len(events):
                    yield Decoded(events, (offset,))
                continue
            # One packet that is large, of Zstandard, damaged or in any other way not ordinary.
            start = self._read_at(offset, _PACKET_HEADER.size)
            if len(start) < _PACKET_HEADER.size:
                self._damaged("is truncated", offset, self._end - offset)
                return
            stream, size = _PACKET_HEADER.unpack(start)
            behind = offset + len(start) + size
            if stream not in self._header.streams or size < 0:
                if self._header.data_table == -1 and self._data_table(offset) is not None:
                    break
                what = f"{size} bytes of stream {stream}"
                if offset == self._header.data_table:
                    what = "its data table"
                self._damaged(f"is damaged ({what})", offset, self._end - offset)
                return
            if behind > self._end:
                how = "is damaged" if self._closed else "is truncated"
                self._damaged(how, offset, self._end - offset)
                return
            if stream == self._stream.number:
                try:
                    events = self._events(self._read_at(offset + len(start), size))
                except ValueError as error:
                    self._damaged(f"is damaged ({error})", offset, behind - offset)
                else:
                    yield Decoded(events, (behind,))
            offset = behind
        if self._header.data_table == -1:
            self._notes[NOT_CLOSED] = 1
        elif not self._closed:
            self._damaged("is truncated", offset, 0)

    def length_us(self) -> int | None:
        """Return the time from the first event to the last, as the data table has it."""
        if self._index is None:
            return 0 if self.event_count == 0 else None
        return int(self._index["last_us"][-1] - self._index["first_us"][0])

    def _place_at(self, t_us: int) -> Position | None:
        # A gap that must not be may lie before that.
        if self._index is None or self.policies.on_gap != "keep":
            return None
        packet = int(np.searchsorted(self._index["last_us"], t_us)) - 1
        if packet < 0:
            return BEGINNING
        offset, stream, size, _, _, last_us = self._index[packet].tolist()
        header = self._read_at(offset - _PACKET_HEADER.size, _PACKET_HEADER.size)
        if header != _PACKET_HEADER.pack(stream, size):
            return None
        try:
            events = self._events(self._read_at(offset, size))
        except ValueError:
            return None
        # The latest time counts the events that are delivered, the table counts all.
        inspector = Inspector(self.width, self.height, self.policies)
        inspector.inspect(events)
        return (last_us, offset + size) if inspector.last_us == last_us else None

    def _run_decoder(self) -> Callable[[int], tuple[int, EventArray]]:
        """Return what decodes the ordinary packets from an offset on: their bytes, their events.

        A run of them at a time, straight into the array that is delivered.
        """
        if self._header.compression.startswith("zstd"):
            return lambda offset: (0, empty_events())
        from stages.formats.aedat.aedat4_kernel import PREFIX_BYTES, decode_packets

        compressed = self._header.compression != "none"
        streams = np.array(list(self._header.streams), np.int64)
        # A reader's own memory stays in the cache of the core that it runs on.
        pool, target_bytes = Pool(), PREFIX_BYTES + _RUN_EVENTS * EVENT.itemsize
        buffer = bytearray(_RUN_BYTES)
        source = np.frombuffer(buffer, np.uint8)

        def decode_run(offset: int) -> tuple[int, EventArray]:
            got = os.preadv(self._file, [memoryview(buffer)[: self._end - offset]], offset)
            target = pool.empty((target_bytes,), source.dtype)
            used, count = decode_packets(
                source[:got], streams, self._stream.number, compressed, target
            )
            if count < _RUN_EVENTS // 4:
                # A few events must not keep a large array. (A copy of `EVENT` skips its padding.)
                target = target[: PREFIX_BYTES + count * EVENT.itemsize].copy()
            return used, np.frombuffer(target, EVENT, count, PREFIX_BYTES)

        return decode_run

    def _events(self, payload: bytes) -> EventArray:
        from stages.formats.aedat.aedat4_kernel import clear_padding

        packet = self._decompress(payload)
        first, count = root_table(packet, b"EVTS").vector(0, EVENT.itemsize)
        events = np.frombuffer(packet, EVENT, count, first).copy() if count else empty_events()
        clear_padding(events.view(np.uint8), 0, events.nbytes)
        return events


def _in_order(packets: NDArray[np.void]) -> bool:
    """Return whether packets of a data table follow each other, in the file and in time."""
    follow = np.all(packets["offset"][1:] >= packets["offset"][:-1] + packets["size"][:-1])
    times = np.stack([packets["first_us"], packets["last_us"]], axis=1).reshape(-1)
    return bool(follow and packets["size"].min() >= 0 and np.all(times[1:] >= times[:-1]))
