"""The little of FlatBuffers that AEDAT4 needs, with every offset checked.

A table begins with a signed offset back to its vtable; the vtable holds its own size, the table's,
and for each field the offset from the table's start, or 0 where the field is absent. Source: the
FlatBuffers internals document of its project. Damaged bytes raise ValueError.
"""

import struct
from typing import Any

__all__ = ["Table", "root_table"]

_U16, _U32, _I32 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")


def _read(form: struct.Struct, buffer: Any, at: int) -> int:
    if at < 0 or at + form.size > len(buffer):
        raise ValueError(f"offset {at} lies outside its {len(buffer)} bytes")
    value: int = form.unpack_from(buffer, at)[0]
    return value


def root_table(buffer: Any, identifier: bytes) -> "Table":
    """Return the root table of a size-prefixed buffer.

    Raises:
        ValueError: the identifier is another, or an offset is out of bounds.
    """
    if bytes(buffer[8:12]) != identifier:
        raise ValueError(f"is marked {bytes(buffer[8:12])!r}, expected {identifier!r}")
    return Table(buffer, 4 + _read(_U32, buffer, 4))


class Table:
    """A table inside a buffer."""

    def __init__(self, buffer: Any, start: int) -> None:
        self._buffer = buffer
        self._start = start
        self._vtable = start - _read(_I32, buffer, start)
        self._fields = (_read(_U16, buffer, self._vtable) - 4) // 2

    def at(self, field: int) -> int | None:
        """Return where a field is, None where it is absent."""
        if field >= self._fields:
            return None
        offset = _read(_U16, self._buffer, self._vtable + 4 + 2 * field)
        return self._start + offset if offset else None

    def number(self, field: int, form: str, default: int) -> int:
        """Return a number of the given `struct` format."""
        at = self.at(field)
        return default if at is None else _read(struct.Struct("<" + form), self._buffer, at)

    def vector(self, field: int, item_bytes: int) -> tuple[int, int]:
        """Return where a vector's first item is, and how many there are; (0, 0) if absent."""
        at = self.at(field)
        if at is None:
            return 0, 0
        start = at + _read(_U32, self._buffer, at)
        count = _read(_U32, self._buffer, start)
        if start + 4 + count * item_bytes > len(self._buffer):
            raise ValueError(f"a vector of {count} items reaches beyond its buffer")
        return start + 4, count

    def text(self, field: int) -> str:
        """Return a text, empty if absent."""
        start, count = self.vector(field, 1)
        return bytes(self._buffer[start : start + count]).decode("utf-8")

    def tables(self, field: int) -> list["Table"]:
        """Return a vector of tables."""
        start, count = self.vector(field, 4)
        places = [start + 4 * k for k in range(count)]
        return [Table(self._buffer, at + _read(_U32, self._buffer, at)) for at in places]
