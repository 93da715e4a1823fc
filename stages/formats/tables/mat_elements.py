"""The elements of MATLAB files of version 5 to 7.2: variables of numbers, and structs of them.

Source: MathWorks, "MAT-File Format", level 5. We read them ourselves because SciPy's reader needs
all of a file in memory, and ends the whole process with a segmentation fault on some damaged ones.

Here is told where numbers are; `mat_numbers` reads them.
"""

import math
import struct
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stages.formats.tables.mat_numbers import Element, Numbers, ReadAt, Stream

__all__ = ["Value", "read_variables"]

_HEADER_BYTES = 128
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _FIRST_NUMBERS, _LAST_NUMBERS = 2, 6, 15
_COMPLEX = 0x800
_LONGEST_NAME = 64
_LONGEST_SHAPE = 256
_LONGEST_NAMES = 1 << 16
_MOST_VARIABLES = 10_000
_UNKNOWN = 1 << 62

Value: TypeAlias = Numbers | dict[str, Numbers] | None
"""Numbers; or the fields of a struct that are numbers; None for the rest."""


def read_variables(read_at: ReadAt, file_bytes: int) -> tuple[dict[str, Value], int]:
    """Find all variables of a file, without reading their numbers.

    In a compressed struct that means to inflate the fields but the last, and to keep nothing.

    Args:
        read_at: returns the bytes from an offset on, so many.
        file_bytes: size of the file.

    Returns:
        The variables, and where the last one ends: beyond the file where that is cut.

    Raises:
        ValueError: the file is damaged; not where it ends within the numbers of a variable.
    """
    order = {b"IM": "<", b"MI": ">"}.get(read_at(_HEADER_BYTES - 2, 2))
    if order is None:
        raise ValueError("it does not say the order of bytes")
    variables: dict[str, Value] = {}
    offset = _HEADER_BYTES
    while offset < file_bytes:
        tag = read_at(offset, 8)
        if len(tag) < 8:
            raise ValueError(f"it ends within an element at byte {offset}")
        kind, size = struct.unpack(order + "II", tag)
        compressed = kind == _COMPRESSED
        begin, room = (offset + 8, size) if compressed else (offset, 8 + size)
        stream = Stream(element := Element(read_at, begin, room, compressed))
        try:
            kind, _, length = _next(_elements(stream, order, _UNKNOWN if compressed else room))
            if kind == _MATRIX:
                name, value = _matrix(element, stream, order, length)
                variables[name] = value
        except ValueError as error:
            how = f"it {stream.fault}" if stream.fault else error
            raise ValueError(f"{how}, in the element at byte {offset}") from None
        if len(variables) > _MOST_VARIABLES:
            raise ValueError(f"it has more than {_MOST_VARIABLES} variables")
        offset += 8 + size
    return variables, offset


def _elements(stream: Stream, order: str, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield kind, first byte and size of the elements in the next bytes of a stream.

    The stream is then at the first byte; what is not read of it is skipped.
    """
    at, end = stream.at, stream.at + size
    while at + 8 <= end:
        stream.skip_to(at)
        kind = _whole(stream, order)
        if kind >> 16:
            # Of four bytes or less, within the tag.
            kind, length = kind & 0xFFFF, kind >> 16
            if length > 4:
                raise ValueError(f"a small element claims {length} bytes")
            at += 8
        else:
            length = _whole(stream, order)
            at = stream.at + length + -length % 8
        if stream.at + length > end:
            raise ValueError(f"an element claims {length} bytes where {end - stream.at} are")
        yield kind, stream.at, length


def _whole(stream: Stream, order: str) -> int:
    part = stream.read(4)
    if len(part) < 4:
        raise ValueError("a variable ends within")
    return int(struct.unpack(order + "I", part)[0])


def _matrix(
    element: Element, stream: Stream, order: str, size: int, with_fields: bool = True
) -> tuple[str, Value]:
    """Return name and value of a matrix, whose elements are the next bytes of the stream."""
    parts = _elements(stream, order, size)
    flags = _one(stream, order, parts)
    shape = tuple(int(side) for side in _short(stream, order, parts, _LONGEST_SHAPE))
    if min(shape, default=0) < 0:
        raise ValueError(f"a variable claims the shape {shape}")
    _, _, length = _next(parts)
    name = stream.read(min(length, _LONGEST_NAME)).decode("latin-1")
    kind = flags & 0xFF
    if _FIRST_NUMBERS <= kind <= _LAST_NUMBERS and not flags & _COMPLEX:
        form, begin, length = _next(parts)
        dtype = _dtype(form, order)
        if math.prod(shape) != length // dtype.itemsize:
            raise ValueError(f"a variable of shape {shape} has {length // dtype.itemsize} values")
        return name, Numbers(element, begin, dtype, shape)
    if kind == _STRUCT and with_fields and math.prod(shape) == 1:
        return name, _fields(element, stream, order, parts)
    return name, None


def _fields(
    element: Element, stream: Stream, order: str, parts: Iterator[tuple[int, int, int]]
) -> dict[str, Numbers]:
    """The fields of a struct that are numbers."""
    width = _one(stream, order, parts)
    _, _, length = _next(parts)
    if not 0 < width <= _LONGEST_NAME or length > _LONGEST_NAMES:
        raise ValueError(f"a struct claims names of {width} bytes, {length} bytes in all")
    texts = stream.read(length)
    found: dict[str, Numbers] = {}
    for begin in range(0, len(texts), width):
        kind, _, length = _next(parts)
        if kind == _MATRIX and length:
            _, value = _matrix(element, stream, order, length, with_fields=False)
            if isinstance(value, Numbers):
                name = texts[begin : begin + width].partition(b"\0")[0].decode("latin-1")
                found[name] = value
    return found


def _next(parts: Iterator[tuple[int, int, int]]) -> tuple[int, int, int]:
    part = next(parts, None)
    if part is None:
        raise ValueError("a variable ends within")
    return part


def _one(stream: Stream, order: str, parts: Iterator[tuple[int, int, int]]) -> int:
    """Return the first number of the next element."""
    found = _short(stream, order, parts, _LONGEST_SHAPE)
    if not len(found):
        raise ValueError("a variable ends within")
    return int(found[0])


def _short(
    stream: Stream, order: str, parts: Iterator[tuple[int, int, int]], most_bytes: int
) -> NDArray[Any]:
    """Return the numbers of the next element, which must be few."""
    kind, _, length = _next(parts)
    if length > most_bytes:
        raise ValueError(f"a variable's head claims {length} bytes")
    dtype = _dtype(kind, order)
    part = stream.read(length)
    if len(part) < length:
        raise ValueError("a variable ends within")
    return np.frombuffer(part, dtype, length // dtype.itemsize)


def _dtype(kind: int, order: str) -> np.dtype[Any]:
    if kind not in _NUMBERS:
        raise ValueError(f"an element of kind {kind} is where numbers must be")
    return np.dtype(order + _NUMBERS[kind])
