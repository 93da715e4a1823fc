"""AEDAT 3.1 files made field by field, by nothing of ours."""

import struct
from collections.abc import Iterable, Sequence

SPECIAL, POLARITY, FRAME, IMU6, CONFIG = 0, 1, 2, 3, 7
COMPRESSED = -0x8000
TURN_US = 1 << 31

Row = tuple[int, int, int, int]
"""t (µs), x, y, p; p is -1 for an event that is invalid."""


def header(*sources: str, form: str = "RAW", version: str = "3.1", end: bytes = b"\r\n") -> bytes:
    """Return a header; sources are such as ``1: DVS128``."""
    lines = [f"#!AER-DAT{version}", f"#Format: {form}", *(f"#Source {text}" for text in sources)]
    lines += ["#Start-Time: 2016-05-04 10:11:12 (TZ+0200)", "#!END-HEADER"]
    return b"".join(line.encode() + end for line in lines)


def packet(
    events: bytes,
    kind: int = POLARITY,
    size: int = 8,
    source: int = 1,
    turns: int = 0,
    capacity: int | None = None,
    number: int | None = None,
    valid: int | None = None,
    time_at: int = 4,
) -> bytes:
    """Return a packet; what is left out is as it must be."""
    count = len(events) // size if number is None else number
    room = count if capacity is None else capacity
    good = count if valid is None else valid
    return struct.pack("<hhiiiiii", kind, source, size, time_at, turns, room, count, good) + events


def polarity(rows: Iterable[Row]) -> bytes:
    """Return the events of a packet; of their times the lower 31 bits are kept."""
    return b"".join(
        struct.pack("<Ii", x << 17 | y << 2 | (p & 1) << 1 | (p >= 0), t % TURN_US)
        for t, x, y, p in rows
    )


def packets(rows: Sequence[Row], length: int, source: int = 1) -> bytes:
    """Return packets of up to ``length`` events, each within one turn of the clock."""
    whole, part = b"", []
    for k, row in enumerate(rows):
        part.append(row)
        following = rows[k + 1] if k + 1 < len(rows) else None
        ends = following is None or following[0] // TURN_US != row[0] // TURN_US
        if ends or len(part) == length:
            valid = sum(p >= 0 for *_, p in part)
            turns = row[0] // TURN_US
            whole += packet(polarity(part), source=source, turns=turns, valid=valid)
            part = []
    return whole
