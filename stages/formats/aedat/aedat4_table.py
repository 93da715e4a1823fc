"""The data table at the end of an AEDAT4 file: place, size, count and time range of every packet.

Source: the AEDAT 4.0 file format specification: a FlatBuffer ``FTAB`` of one vector of tables
``FileDataDefinition``. An hour of recording has a million packets, so both ways are in arrays.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.formats.aedat.flatbuffer import root_table

__all__ = ["ENTRY", "decode_table", "encode_table"]

ENTRY = np.dtype(
    [
        ("offset", "<i8"),
        ("stream", "<i4"),
        ("size", "<i4"),
        ("count", "<i8"),
        ("first_us", "<i8"),
        ("last_us", "<i8"),
    ]
)
"""A packet: byte position of its payload, stream, payload bytes, elements, their time range."""

_VECTOR = 32
"""Where our vector of offsets begins: prefix, root, identifier, vtable, table, length before it."""
# A definition as we write it: 48 bytes, its int64 aligned, one vtable for all of them. The struct
# PacketInfo is the fields stream and size.
_VTABLE = struct.pack("<7H2x", 14, 48, 16, 4, 24, 32, 40)
_DEFINITION = np.dtype(
    {
        "names": ["vtable", "stream", "size", "offset", "count", "first_us", "last_us"],
        "formats": ["<i4", "<i4", "<i4", "<i8", "<i8", "<i8", "<i8"],
        "offsets": [0, 4, 8, 16, 24, 32, 40],
        "itemsize": 48,
    }
)


def encode_table(entries: NDArray[Any]) -> bytes:
    """Return the size-prefixed buffer for an array of `ENTRY`."""
    vtable = _VECTOR + 4 * len(entries)
    first = vtable + len(_VTABLE)
    first += -first % 8
    tables = first + _DEFINITION.itemsize * np.arange(len(entries))
    definitions = np.zeros(len(entries), _DEFINITION)
    for name in ENTRY.names or ():
        definitions[name] = entries[name]
    definitions["vtable"] = tables - vtable
    offsets = (tables - (_VECTOR + 4 * np.arange(len(entries)))).astype("<u4")
    buffer = struct.pack("<II4s", first + definitions.nbytes - 4, 16, b"FTAB")
    buffer += struct.pack("<4H", 6, 8, 4, 0) + struct.pack("<iII", 8, 4, len(entries))
    buffer += offsets.tobytes() + _VTABLE
    return buffer.ljust(first, b"\0") + definitions.tobytes()


def decode_table(buffer: bytes, most: int) -> NDArray[Any]:
    """Return the entries, as an array of `ENTRY`.

    Args:
        buffer: the decompressed table.
        most: entries that there can be; more are refused before memory is taken for them.

    Raises:
        ValueError: it is damaged. What it says need not be true even if it is not.
    """
    start, count = root_table(buffer, b"FTAB").vector(0, 4)
    if count > most:
        raise ValueError(f"a data table of {count} packets, there is room for {most}")
    data = np.frombuffer(buffer, np.uint8)
    places = start + 4 * np.arange(count)
    tables = places + _gather(data, places, "<u4")
    vtables = tables - _gather(data, tables, "<i4")
    ends = vtables + _gather(data, vtables, "<u2")
    entries = np.zeros(count, ENTRY)
    for field, inside, name, form in (
        (0, 0, "offset", "<i8"),
        (1, 0, "stream", "<i4"),
        (1, 4, "size", "<i4"),
        (2, 0, "count", "<i8"),
        (3, 0, "first_us", "<i8"),
        (4, 0, "last_us", "<i8"),
    ):
        slots = vtables + 4 + 2 * field
        known = np.flatnonzero(slots + 2 <= ends)
        offsets = _gather(data, slots[known], "<u2")
        # Fields of the value 0, and in old recordings all from count on, are left out.
        known, offsets = known[offsets > 0], offsets[offsets > 0]
        entries[name][known] = _gather(data, tables[known] + offsets + inside, form)
    return entries


def _gather(data: NDArray[np.uint8], at: NDArray[np.int64], form: str) -> NDArray[np.int64]:
    """Read a number at each of many places."""
    width = np.dtype(form).itemsize
    if len(at) and (at.min() < 0 or at.max() + width > len(data)):
        raise ValueError(f"an offset lies outside its {len(data)} bytes")
    numbers: NDArray[np.int64] = data[at[:, None] + np.arange(width)].view(form)[:, 0]
    return numbers.astype(np.int64)
