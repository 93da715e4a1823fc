"""AEDAT 1.0 and 2.0 files made word by word, by nothing of ours."""

import struct
from collections.abc import Iterable

from pipeline.events import EventArray, concatenate_events
from stages.formats.reader import BEGINNING, Position, Reader

JAER = "ch.unizh.ini.jaer.chip.retina"
DAVIS = "eu.seebetter.ini.chips.davis"
END = b"#End Of ASCII Header\r\n"


def header(chip: str = "", version: str = "2.0", end: bytes = END) -> bytes:
    """Return a header as jAER writes it."""
    lines = [f"#!AER-DAT{version}", "# This is a raw AE data file - do not edit"]
    lines += [f"# AEChip: {chip}"] if chip else []
    return "".join(f"{line}\r\n" for line in lines).encode() + end


def dvs128(x: int, y: int, p: int) -> int:
    """Return the address of an event as a DVS128 sends it: x from the right, 0 for ON."""
    return y << 8 | (127 - x) << 1 | (1 - p)


def davis(x: int, y: int, p: int) -> int:
    """Return the address of an event as a DAVIS sends it."""
    return y << 22 | x << 12 | p << 11


def words(rows: Iterable[tuple[int, int]], form: str = ">II") -> bytes:
    """Return words of (time in µs, address) rows; the lower 32 bits of the time are kept."""
    return b"".join(struct.pack(form, address, t & 0xFFFFFFFF) for t, address in rows)


def read(reader: Reader, position: Position = BEGINNING) -> EventArray:
    """Return all events from a position on."""
    return concatenate_events([packet.events for packet in reader.packets(position)])
