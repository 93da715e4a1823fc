"""AEDAT4 recordings, as iniVation's DV software and dv-processing write them.

Source: the AEDAT 4.0 file format specification. A header (`stages.formats.aedat4_header`), then
packets: stream and size (int32 each) and a compressed, size-prefixed FlatBuffer, ``EVTS`` for
events; at the end, where the file was closed properly, the compressed data table
(`stages.formats.aedat4_table`), whose place is in the header.

We read it ourselves because dv-processing refuses a truncated file whole, prints a C++ stack for a
wrong one and cannot resume at a position; the tests hold our arrays to its own.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import EVENT, EventArray, empty_events
from stages.formats.aedat4_header import Header, Stream, read_header
from stages.formats.aedat4_table import decode_table
from stages.formats.compression import decompressor
from stages.formats.flatbuffer import root_table
from stages.formats.reader import Packet

__all__ = ["Aedat4Reader"]

_PACKET_HEADER = struct.Struct("<ii")
_READ_AHEAD_BYTES = 1 << 18


class Aedat4Reader:
    """An open AEDAT4 recording; see `stages.formats.reader.Reader`.

    Args:
        path: the file.
        on_damage: ``raise`` or ``drop``; see `stages.formats.open_recording`.
        stream: the camera or the name of the stream of events; the first where it is None.

    Raises:
        RecordingError: the header is damaged, or there is no such stream of events.
    """

    format = "AEDAT4"

    def __init__(self, path: Path, on_damage: str = "raise", stream: str | None = None) -> None:
        self._path = path
        self._drop = on_damage == "drop"
        self._last_us: int | None = None
        try:
            self._file = path.open("rb", buffering=_READ_AHEAD_BYTES)
        except OSError as error:
            raise self._unreadable(error) from None
        try:
            self._open(stream)
        except OSError as error:
            self.close()
            raise self._unreadable(error) from None
        except BaseException:
            self.close()
            raise
        self._start_counts()

    @property
    def refused(self) -> Mapping[str, int]:
        """Events not delivered by the latest `packets`, by reason."""
        return self._refused

    @property
    def quality(self) -> Mapping[str, int]:
        """Flaws found by the latest `packets`, by kind."""
        return self._quality

    def packets(self, position: int = 0) -> Iterator[Packet]:
        """Yield the events from a position on, a packet at a time; see `Reader.packets`."""
        position = position or self._header.length
        if not self._header.length <= position <= self._size:
            raise RecordingError(
                f"{self._path}: has no position {position}, it has {self._size} bytes; resume with"
                " the recording that the position was taken from"
            )
        self._start_counts()
        return self._walk(position)

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

    def _open(self, name: str | None) -> None:
        self._size = self._file.seek(0, 2)
        self._file.seek(0)
        try:
            self._header = read_header(self._file)
        except ValueError as error:
            raise RecordingError(
                f"{self._path}: its AEDAT4 header is damaged: {error}; copy or record it again"
            ) from None
        self._decompress = decompressor(self._header.compression)
        self._stream = self._choose(self._header, name)
        self.width, self.height = self._stream.width, self._stream.height
        self.source = self._stream.source
        table = self._data_table(self._header.data_table)
        # Without a table the packets are walked to the end of the file.
        self._closed = table is not None
        self._end = self._size if table is None else self._header.data_table
        self.event_count: int | None = None
        self.time_range_us: tuple[int, int] | None = None
        if table is None:
            return
        table = table[table["stream"] == self._stream.number]
        filled = table[table["count"] > 0]
        # Old recordings have a table without counts and times.
        if len(filled) or not len(table):
            self.event_count = int(filled["count"].sum())
        if len(filled):
            self.time_range_us = int(filled["first_us"].min()), int(filled["last_us"].max())

    def _choose(self, header: Header, name: str | None) -> Stream:
        streams = header.streams.values()
        events = [stream for stream in streams if stream.kind == "EVTS"]
        if not events:
            known = ", ".join(f"{stream.name} ({stream.kind})" for stream in streams) or "none"
            raise RecordingError(f"{self._path}: has no stream of events; its streams: {known}")
        chosen = [one for one in events if name in (None, one.name, one.source)]
        if not chosen or (name is not None and len(chosen) > 1):
            how_many = "several streams" if chosen else "no stream"
            known = ", ".join(f"{one.name} of {one.source}" for one in events)
            raise RecordingError(
                f"{self._path}: has {how_many} of events {name!r}; name the stream or the camera,"
                f" it has: {known}"
            )
        if not chosen[0].width or not chosen[0].height:
            raise RecordingError(
                f"{self._path}: its header does not say how large the sensor is (sizeX, sizeY);"
                " copy or record it again"
            )
        return chosen[0]

    def _data_table(self, position: int) -> NDArray[Any] | None:
        """Read the table at a position, None if there is none; what it says may be wrong."""
        if not self._header.length <= position < self._size:
            return None
        self._file.seek(position)
        try:
            table = self._decompress(self._file.read())
            return decode_table(table, (position - self._header.length) // _PACKET_HEADER.size)
        except ValueError:
            return None

    def _walk(self, position: int) -> Iterator[Packet]:
        try:
            while position < self._end:
                # Set anew for each packet, so that walks and readers of the table do not disturb
                # each other; within the buffer it costs no system call.
                self._file.seek(position)
                start = self._file.read(_PACKET_HEADER.size)
                if len(start) < _PACKET_HEADER.size:
                    self._damaged("is truncated", position, self._end)
                    return
                stream, size = _PACKET_HEADER.unpack(start)
                behind = position + len(start) + size
                if stream not in self._header.streams or size < 0:
                    if self._header.data_table == -1 and self._data_table(position) is not None:
                        break
                    what = f"{size} bytes of stream {stream}"
                    if position == self._header.data_table:
                        what = "its data table"
                    self._damaged(f"is damaged ({what})", position, self._end)
                    return
                if behind > self._end:
                    how = "is damaged" if self._closed else "is truncated"
                    self._damaged(how, position, self._end)
                    return
                if stream == self._stream.number:
                    try:
                        events = self._decode(self._file.read(size))
                    except ValueError as error:
                        self._damaged(f"is damaged ({error})", position, behind)
                    else:
                        self._delivered += len(events)
                        yield Packet(events, behind)
                position = behind
        except OSError as error:
            raise self._unreadable(error) from None
        if self._header.data_table == -1:
            self._quality["not closed"] = 1
        elif not self._closed:
            self._damaged("is truncated", position, position)

    def _decode(self, payload: bytes) -> EventArray:
        packet = self._decompress(payload)
        first, count = root_table(packet, b"EVTS").vector(0, EVENT.itemsize)
        if not count:
            return _read_only(empty_events())
        events = self._valid(np.frombuffer(packet, EVENT, count, first))
        t = events["t"]
        if len(t):
            back = int(np.count_nonzero(t[1:] < t[:-1]))
            back += self._last_us is not None and int(t[0]) < self._last_us
            self._last_us = int(t[-1])
            if back:
                self._quality["time going back"] += back
        return _read_only(events)

    def _valid(self, events: EventArray) -> EventArray:
        """Return the events that can be, without a copy if these are all."""
        # Unsigned, so that one comparison also finds what is below zero.
        x, y = events["x"].view(np.uint16), events["y"].view(np.uint16)
        p = events["p"].view(np.uint8)
        if x.max() < self.width and y.max() < self.height and p.max() <= 1:
            return events
        inside = (x < self.width) & (y < self.height)
        valid = inside & (p <= 1)
        reasons = {
            "outside the sensor": int(np.count_nonzero(~inside)),
            "of unknown polarity": int(np.count_nonzero(inside ^ valid)),
        }
        self._refused.update({reason: count for reason, count in reasons.items() if count})
        return events[valid]

    def _start_counts(self) -> None:
        self._refused: Counter[str] = Counter()
        self._quality: Counter[str] = Counter()
        self._last_us = None
        self._delivered = 0

    def _damaged(self, how: str, position: int, behind: int) -> None:
        if self._drop:
            self._quality["damaged places"] += 1
            self._quality["damaged bytes"] += behind - position
            return
        raise RecordingError(
            f"{self._path}: {how} at byte {position}; the {self._delivered} events before it were"
            ' read; set on_damage = "drop" to accept that'
        )

    def _unreadable(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"{self._path}: cannot be read: {error.strerror}; check the disk and the permissions"
        )


def _read_only(events: EventArray) -> EventArray:
    events.setflags(write=False)
    return events
