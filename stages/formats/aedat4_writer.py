"""AEDAT4 recordings written, so that iniVation's software opens them; see `stages.formats.aedat4`.

A packet is a constant FlatBuffer prefix followed by the events' own memory, so no event is touched
one by one. Packets are whole at any time: what was written before a crash can be read.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from xml.etree import ElementTree

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT, TIME_LIMIT_US, EventArray
from stages.formats.aedat4 import MAGIC
from stages.formats.compression import NAMES, compressor

__all__ = ["Aedat4Writer"]

_PACKET_EVENTS = 8192
_PACKET_US = 10_000


class _Entry(NamedTuple):
    """A packet in the data table."""

    offset: int
    size: int
    events: int
    first_us: int
    last_us: int


class Aedat4Writer:
    """Writes events to a new AEDAT4 file.

    Args:
        path: the file; an existing one is replaced.
        width: columns of the sensor.
        height: rows of the sensor.
        source: the camera's name.
        compression: one of `NAMES`.
        attributes: further texts for the header.

    Raises:
        RecordingError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        source: str = "pipeline",
        compression: str = "lz4",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        self._path = path
        self._size = (width, height)
        self._compress = compressor(compression)
        self._entries: list[_Entry] = []
        self._last_us: int | None = None
        xml = _description(width, height, source, compression, attributes or {})
        # Where the data table is, is known at the end; the header is then written again.
        self._header = MAGIC, NAMES.index(compression), xml.encode()
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise self._failed(error) from None
        self._write(_io_header(*self._header, -1))

    def write(self, events: EventArray) -> None:
        """Append events, in order of time.

        Raises:
            ValueError: dtype, order or coordinates are not what they should be.
            RecordingError: the file cannot be written.
        """
        self._check(events)
        events = np.ascontiguousarray(events)
        if not len(events):
            return
        times = events["t"]
        begin = 0
        while begin < len(events):
            end = int(np.searchsorted(times, times[begin] + _PACKET_US))
            end = min(max(end, begin + 1), begin + _PACKET_EVENTS)
            self._packet(events[begin:end])
            begin = end
        self._last_us = int(times[-1])

    def close(self) -> None:
        """Write the data table and where it is; the file is then complete."""
        if self._file.closed:
            return
        try:
            position = self._file.tell()
            self._file.write(self._compress(_data_table(self._entries)))
            self._file.seek(0)
            self._file.write(_io_header(*self._header, position))
            self._file.close()
        except OSError as error:
            raise self._failed(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, events: EventArray) -> None:
        if events.dtype != EVENT or events.ndim != 1:
            raise ValueError(
                f"events must be one row of {EVENT}, got {events.ndim} of {events.dtype}"
            )
        if not len(events):
            return
        t, x, y = events["t"], events["x"].view(np.uint16), events["y"].view(np.uint16)
        if np.any(t[1:] < t[:-1]) or (self._last_us is not None and t[0] < self._last_us):
            raise ValueError("events must be in order of time; sort them first")
        if t[0] <= -TIME_LIMIT_US or t[-1] >= TIME_LIMIT_US:
            raise ValueError(
                f"event times must lie within ±{TIME_LIMIT_US} µs, got {t[0]}, {t[-1]}"
            )
        if x.max() >= self._size[0] or y.max() >= self._size[1]:
            raise ValueError(
                f"events must lie within {self._size[0]}×{self._size[1]}, got x up to"
                f" {int(x.max())} and y up to {int(y.max())}"
            )

    def _packet(self, events: EventArray) -> None:
        body = _event_packet(events)
        payload = self._compress(body)
        header = struct.pack("<ii", 0, len(payload))
        first_us, last_us = int(events["t"][0]), int(events["t"][-1])
        offset = self._write(header + payload) + len(header)
        self._entries.append(_Entry(offset, len(payload), len(events), first_us, last_us))

    def _write(self, data: bytes) -> int:
        """Write and return where it begins."""
        try:
            position = self._file.tell()
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from None
        return position

    def _failed(self, error: OSError) -> RecordingError:
        return RecordingError(
            f"{self._path}: cannot be written: {error.strerror}; check space and permissions"
        )


def _event_packet(events: EventArray) -> bytes:
    """A size-prefixed ``EVTS`` buffer: a table with one vector of event structs.

    Byte 0 size, 4 root offset, 8 identifier, 12 vtable of one field, 20 table, 28 vector length,
    32 events, aligned to 8 bytes as their int64 must be.
    """
    vector = events.view(np.uint8).tobytes()
    return (
        struct.pack("<II4s", 28 + len(vector), 16, b"EVTS")
        + struct.pack("<HHHH", 6, 8, 4, 0)
        + struct.pack("<iII", 8, 4, len(events))
        + vector
    )


def _io_header(magic: bytes, compression: int, xml: bytes, data_table: int) -> bytes:
    """Magic and a size-prefixed ``IOHE`` buffer; its length does not depend on ``data_table``."""
    # vtable at 12 of 10 bytes and 2 of padding, table at 24: int32 compression at 4, text at 8,
    # 4 bytes of padding, int64 at 16 (so that it is aligned); the text follows at 48.
    text = struct.pack("<I", len(xml)) + xml + b"\0"
    body = (
        struct.pack("<I4s", 20, b"IOHE")
        + struct.pack("<HHHHHH", 10, 24, 4, 16, 8, 0)
        + struct.pack("<iiI4xq", 12, compression, 16, data_table)
        + text
    )
    body += b"\0" * (-(4 + len(body)) % 8)
    return magic + struct.pack("<I", len(body)) + body


def _data_table(entries: list[_Entry]) -> bytes:
    """A size-prefixed ``FTAB`` buffer."""
    # Root table at 20 with the vector at 28; each definition is a vtable of 14 bytes, 2 of
    # padding and a table of 48 bytes with its int64 fields aligned.
    vector = 32
    first = vector + 4 * len(entries)
    first += -first % 8
    stride = 16 + 48
    offsets, tables = [], []
    for k, entry in enumerate(entries):
        vtable = first + k * stride
        table = vtable + 16
        offsets.append(table - (vector + 4 * k))
        tables.append(
            struct.pack("<HHHHHHHxx", 14, 48, 8, 40, 16, 24, 32)
            + struct.pack(
                "<i4xqqqqii",
                16,
                entry.offset,
                entry.events,
                entry.first_us,
                entry.last_us,
                0,
                entry.size,
            )
        )
    body = (
        struct.pack("<I4s", 16, b"FTAB")
        + struct.pack("<HHHH", 6, 8, 4, 0)
        + struct.pack("<iII", 8, 4, len(entries))
        + struct.pack(f"<{len(offsets)}I", *offsets)
    )
    body = body.ljust(first - 4, b"\0") + b"".join(tables)
    return struct.pack("<I", len(body)) + body


def _description(
    width: int, height: int, source: str, compression: str, attributes: Mapping[str, str]
) -> str:
    """The XML that names the one stream."""
    root = ElementTree.Element("dv", version="2.0")
    streams = ElementTree.SubElement(root, "node", name="outInfo", path="/outInfo/")
    stream = ElementTree.SubElement(streams, "node", name="0", path="/outInfo/0/")
    info = ElementTree.SubElement(stream, "node", name="info", path="/outInfo/0/info/")
    for parent, key, kind, value in (
        (stream, "compression", "string", compression.upper()),
        (stream, "originalModuleName", "string", "pipeline"),
        (stream, "originalOutputName", "string", "events"),
        (stream, "typeDescription", "string", "Array of events (polarity ON/OFF)."),
        (stream, "typeIdentifier", "string", "EVTS"),
        (info, "sizeX", "int", str(width)),
        (info, "sizeY", "int", str(height)),
        (info, "source", "string", source),
        *((info, key, "string", value) for key, value in attributes.items()),
    ):
        ElementTree.SubElement(parent, "attr", key=key, type=kind).text = value
    ElementTree.indent(root, "    ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"
