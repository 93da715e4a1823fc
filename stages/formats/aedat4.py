r"""AEDAT4 recordings, as iniVation's DV software and dv-processing write them.

Source: the AEDAT 4.0 file format specification. ``#!AER-DAT4.0\r\n``, a size-prefixed FlatBuffer
``IOHE`` (compression, position of the data table, an XML description of the streams), then packets:
stream id and size (int32 each) and a compressed, size-prefixed FlatBuffer, ``EVTS`` for events; at
the end, where the file was closed properly, a data table ``FTAB`` with the place, size, element
count and time range of every packet.

We read it ourselves because dv-processing refuses a truncated file whole, prints a C++ stack for a
wrong one and cannot resume at a position; the tests hold our arrays to its own.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from xml.etree import ElementTree

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT, EventArray
from stages.formats.compression import LARGEST_PACKET, NAMES, decompressor
from stages.formats.flatbuffer import Table, root_table
from stages.formats.reader import Packet

__all__ = ["MAGIC", "Aedat4Reader"]

MAGIC = b"#!AER-DAT4.0\r\n"
_LARGEST_HEADER = 16 << 20
_PACKET_HEADER = struct.Struct("<ii")


class _Stream(NamedTuple):
    """A stream that the header declares."""

    number: int
    name: str
    kind: str
    source: str
    width: int
    height: int


class Aedat4Reader:
    """An open AEDAT4 recording; see `stages.formats.reader.Reader`.

    Raises:
        RecordingError: the header is damaged, or there is no stream of events.
    """

    format = "AEDAT4"

    def __init__(self, path: Path, on_damage: str = "raise") -> None:
        self._path = path
        self._drop = on_damage == "drop"
        self._size = path.stat().st_size
        self._file = path.open("rb")
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise
        self._refused: Counter[str] = Counter()
        self._quality: Counter[str] = Counter()
        self._last_us: int | None = None
        self._delivered = 0

    @property
    def refused(self) -> Mapping[str, int]:
        """Events read and not delivered so far, by reason."""
        return self._refused

    @property
    def quality(self) -> Mapping[str, int]:
        """Flaws found so far that cost no event, by kind."""
        return self._quality

    def packets(self, position: int = 0) -> Iterator[Packet]:
        """Yield the events from a position on, a packet at a time; see `Reader.packets`."""
        position = position or self._first
        while position < self._end:
            self._file.seek(position)
            header = self._file.read(_PACKET_HEADER.size)
            if len(header) < _PACKET_HEADER.size:
                self._damaged(position, "is truncated", self._end - position)
                return
            stream, size = _PACKET_HEADER.unpack(header)
            behind = position + _PACKET_HEADER.size + size
            if size < 0 or stream not in self._streams:
                what = f"a packet of {size} bytes for stream {stream}"
                self._damaged(position, f"is damaged ({what})", self._end - position)
                return
            if behind > self._end:
                self._damaged(position, "is truncated", self._end - position)
                return
            if stream == self._events.number:
                try:
                    events = self._decode(self._file.read(size))
                except ValueError as error:
                    self._damaged(position, f"is damaged ({error})", behind - position)
                else:
                    self._delivered += len(events)
                    yield Packet(events, behind)
            position = behind

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _damaged(self, position: int, how: str, lost_bytes: int) -> None:
        if self._drop:
            self._quality["damaged bytes"] += lost_bytes
            return
        raise RecordingError(
            f"{self._path}: {how} at byte {position}; the {self._delivered} events before it were"
            ' read; set on_damage = "drop" to accept that'
        )

    def _decode(self, payload: bytes) -> EventArray:
        packet = self._decompress(payload)
        first, count = root_table(packet, b"EVTS").vector(0, EVENT.itemsize)
        if count == 0:
            events: EventArray = np.empty(0, dtype=EVENT)
        else:
            events = np.frombuffer(packet, dtype=EVENT, count=count, offset=first)
        x, y, t = events["x"].view(np.uint16), events["y"].view(np.uint16), events["t"]
        if count and (x.max() >= self.width or y.max() >= self.height):
            inside = (x < self.width) & (y < self.height)
            events = events[inside]
            self._refused["outside the sensor"] += count - len(events)
            t = events["t"]
        if len(t):
            back = int(np.count_nonzero(t[1:] < t[:-1]))
            back += self._last_us is not None and int(t[0]) < self._last_us
            self._last_us = int(t[-1])
            if back:
                self._quality["time going back"] += back
        events.setflags(write=False)
        return events

    def _read_header(self) -> None:
        magic = self._file.read(len(MAGIC))
        if magic != MAGIC:
            raise RecordingError(
                f"{self._path}: is an AEDAT4 recording of another version: it begins with"
                f" {magic!r}, known is {MAGIC!r}"
            )
        try:
            prefix = self._file.read(4)
            size = int.from_bytes(prefix, "little")
            if len(prefix) < 4 or size > min(_LARGEST_HEADER, self._size):
                raise ValueError(f"it claims {size} bytes, the file has {self._size}")
            header = prefix + self._file.read(size)
            if len(header) < 4 + size:
                raise ValueError(f"it should have {size} bytes, the file ends after {len(header)}")
            self._first = len(MAGIC) + len(header)
            table = root_table(header, b"IOHE")
            compression = table.number(0, "i", 0)
            if not 0 <= compression < len(NAMES):
                raise ValueError(f"compression {compression} is unknown")
            self._decompress = decompressor(NAMES[compression])
            data_table = table.number(1, "q", -1)
            self._streams = {stream.number: stream for stream in _streams(table.text(2))}
        except ValueError as error:
            raise RecordingError(
                f"{self._path}: its AEDAT4 header is damaged: {error}; copy or record it again"
            ) from None
        self._choose_stream()
        self.time_range_us: tuple[int, int] | None = None
        self._end = self._size
        if self._first <= data_table < self._size:
            self._read_data_table(data_table)

    def _choose_stream(self) -> None:
        """Take the first stream of events that says how large its sensor is."""
        events = [stream for stream in self._streams.values() if stream.kind == "EVTS"]
        if not events:
            kinds = ", ".join(f"{s.name} ({s.kind})" for s in self._streams.values()) or "none"
            raise RecordingError(f"{self._path}: has no stream of events; its streams: {kinds}")
        sized = [stream for stream in events if stream.width > 0 and stream.height > 0]
        if not sized:
            raise RecordingError(
                f"{self._path}: its header does not say how large the sensor is (sizeX, sizeY)"
            )
        self._events = sized[0]
        self.width, self.height = self._events.width, self._events.height
        self.source = self._events.source

    def _read_data_table(self, position: int) -> None:
        """Read where packets end and from when to when they go; a broken table is no loss."""
        self._file.seek(position)
        try:
            table = root_table(
                self._decompress(self._file.read(min(self._size - position, LARGEST_PACKET))),
                b"FTAB",
            )
            ranges = [_time_range(entry, self._events.number) for entry in table.tables(0)]
        except ValueError:
            return
        self._end = position
        times = [both for both in ranges if both is not None]
        if times:
            self.time_range_us = min(t for t, _ in times), max(t for _, t in times)


def _time_range(entry: Table, stream: int) -> tuple[int, int] | None:
    """Return the times of a packet of events; ids are in the struct PacketHeader."""
    at = entry.at(1)
    if at is None or entry.number(1, "i", -1) != stream or not entry.number(2, "q", 0):
        return None
    return entry.number(3, "q", 0), entry.number(4, "q", 0)


def _streams(text: str) -> Iterator[_Stream]:
    """Read the XML description; it lists streams in any order, not all of them filled."""
    if "<!" in text:
        # Entities could expand without end, and DV's software writes none.
        raise ValueError("its XML holds a declaration")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"its XML cannot be read ({error})") from None
    for node in root.iterfind("./node[@name='outInfo']/node"):
        attributes = {a.get("key"): a.text or "" for a in node.iterfind("attr")}
        info = {a.get("key"): a.text or "" for a in node.iterfind("./node[@name='info']/attr")}
        try:
            yield _Stream(
                number=int(node.get("name", "")),
                name=attributes.get("originalOutputName", ""),
                kind=attributes.get("typeIdentifier", ""),
                source=info.get("source", ""),
                width=int(info.get("sizeX", 0)),
                height=int(info.get("sizeY", 0)),
            )
        except ValueError:
            raise ValueError(f"its XML has a stream {node.attrib} that is not one") from None
