"""AEDAT4 recordings written, so that iniVation's software opens them; see `stages.formats.aedat4`.

A packet is a constant FlatBuffer prefix followed by the events' own memory, so no event is touched
one by one. The file holds whole packets at any time: what was written before a crash can be read.
"""

import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT, TIME_LIMIT_US, EventArray
from stages.formats.aedat4_header import Stream, describe, encode_header
from stages.formats.aedat4_table import ENTRY, encode_table
from stages.formats.compression import NAMES, compressor
from stages.record_file import RecordFile, explain

__all__ = ["Aedat4Writer"]

_PACKET_EVENTS = 8192
_PACKET_US = 10_000
_PREFIX_BYTES = 32
_EVENT_BYTES = np.uint64(0xFF_FFFF_FFFF)
"""The five bytes of x, y and p in the upper half of an event; the other three are padding."""


class Aedat4Writer:
    """Writes events to a new AEDAT4 file.

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

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        source: str = "pipeline",
        compression: str = "lz4",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        if compression not in NAMES:
            raise ValueError(f"compression must be one of {', '.join(NAMES)}, got {compression!r}")
        self._path = Path(path)
        self._compression = compression
        self._compress = compressor(compression)
        self._stream = Stream(0, "events", "EVTS", source, width, height)
        self._xml = describe(self._stream, compression, attributes or {})
        self._entries: list[tuple[int, int, int, int, int, int]] = []
        self._last_us = -TIME_LIMIT_US
        self._closed = False
        try:
            self._file = RecordFile(self._path)
        except OSError as error:
            raise self._failed(error) from None
        try:
            self._append(encode_header(compression, -1, self._xml))
        except BaseException:
            self._file.close()
            raise

    def write(self, events: EventArray) -> None:
        """Append events, in packets of at most 8192 events and 10 ms.

        Args:
            events: of dtype `EVENT`, in order of time and not before those already written.

        Raises:
            ValueError: dtype, order, coordinates or polarities are not what they should be;
                nothing was written.
            RecordingError: the file cannot be written; it ends with the last whole packet.
        """
        self._check(events)
        events = np.ascontiguousarray(events)
        times = events["t"]
        begin = 0
        while begin < len(events):
            end = int(np.searchsorted(times, times[begin] + _PACKET_US))
            end = min(end, begin + _PACKET_EVENTS)
            self._packet(events[begin:end])
            begin = end

    def close(self) -> None:
        """Write the data table and where it is; the file is then complete.

        Raises:
            RecordingError: it cannot be written; the events in the file can be read all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            table = self._compress(encode_table(np.array(self._entries, ENTRY)))
            place = self._file.append(table)
            self._file.overwrite(0, encode_header(self._compression, place, self._xml))
        except OSError as error:
            raise self._failed(error) from None
        finally:
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

    def _check(self, events: EventArray) -> None:
        if events.dtype != EVENT or events.ndim != 1:
            raise ValueError(
                f"events must be one row of {EVENT}, got {events.ndim} of {events.dtype}; make"
                " them with pipeline.events, numpy.concatenate packs their records"
            )
        if not len(events):
            return
        t, p = events["t"], events["p"].view(np.uint8)
        if np.any(t[1:] < t[:-1]) or t[0] < self._last_us:
            raise ValueError("events must be in order of time; sort them first")
        if t[0] <= -TIME_LIMIT_US or t[-1] >= TIME_LIMIT_US:
            raise ValueError(f"times must be within ±2**62 µs, got {t[0]} to {t[-1]}")
        if p.max() > 1:
            raise ValueError(f"polarities must be 0 or 1, got {events['p'][p.argmax()]}")
        # Unsigned, so that one comparison also finds what is below zero.
        for axis, limit in (("x", self._stream.width), ("y", self._stream.height)):
            values = events[axis].view(np.uint16)
            if values.max() >= limit:
                wrong = events[axis][values.argmax()]
                raise ValueError(f"{axis} must be 0 to {limit - 1}, got {wrong}")

    def _packet(self, events: EventArray) -> None:
        payload = self._compress(_event_packet(events))
        header = struct.pack("<ii", self._stream.number, len(payload))
        place = self._append(header + payload) + len(header)
        self._last_us = int(events["t"][-1])
        first_us = int(events["t"][0])
        self._entries.append((place, 0, len(payload), len(events), first_us, self._last_us))

    def _append(self, data: bytes) -> int:
        try:
            return self._file.append(data)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> RecordingError:
        return RecordingError(explain(self._path, error))


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
