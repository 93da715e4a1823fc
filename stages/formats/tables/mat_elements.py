"""The elements of MATLAB files of version 5 to 7.2: variables of numbers, and structs of them.

Source: MathWorks, "MAT-File Format", level 5. We read them ourselves because SciPy's reader ends
the whole process with a segmentation fault on some damaged files.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEADER_BYTES", "TooLarge", "Value", "read_variables"]

HEADER_BYTES = 128
"""What is before the first element."""

Value: TypeAlias = NDArray[Any] | dict[str, NDArray[Any]] | None
"""Numbers, in MATLAB's shape; or the fields of a struct that are numbers; None for the rest."""

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


class TooLarge(ValueError):
    """The variables take more memory than they may."""


def read_variables(
    read_at: Callable[[int, int], bytes], file_bytes: int, limit: int
) -> dict[str, Value]:
    """Read all variables of a file.

    Args:
        read_at: returns the bytes from an offset on, so many.
        file_bytes: size of the file.
        limit: bytes that all of them may take, inflated.

    Raises:
        ValueError: the file is damaged; `TooLarge` where the limit is reached.
    """
    order = {b"IM": "<", b"MI": ">"}.get(read_at(HEADER_BYTES - 2, 2))
    if order is None:
        raise ValueError("it does not say the order of bytes")
    variables: dict[str, Value] = {}
    offset, room = HEADER_BYTES, limit
    while offset < file_bytes:
        tag = read_at(offset, 8)
        if len(tag) < 8:
            raise ValueError(f"it ends within an element at byte {offset}")
        kind, size = struct.unpack(order + "II", tag)
        if size > file_bytes - offset - 8:
            raise ValueError(f"an element at byte {offset} claims {size} bytes")
        if size > room:
            raise TooLarge
        part = read_at(offset + 8, size)
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            try:
                part = inflate.decompress(part, room)
            except zlib.error as error:
                raise ValueError(f"an element at byte {offset}: {error}") from None
            if not inflate.eof:
                if len(part) >= room:
                    raise TooLarge
                raise ValueError(f"an element at byte {offset} does not end")
            kind, part = next(_elements(part, order), (0, b""))
        room -= len(part)
        offset += 8 + size
        if kind == _MATRIX:
            name, value = _matrix(part, order, with_fields=True)
            variables[name] = value
    return variables


def _elements(part: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of elements that follow each other."""
    offset = 0
    while offset + 8 <= len(part):
        kind, size = struct.unpack_from(order + "II", part, offset)
        begin = offset + 8
        if kind >> 16:
            # Of four bytes or less, within the tag.
            kind, size, begin = kind & 0xFFFF, kind >> 16, offset + 4
            if size > 4:
                raise ValueError(f"a small element claims {size} bytes")
            offset += 8
        else:
            offset = begin + size + -size % 8
        if begin + size > len(part):
            raise ValueError(f"an element claims {size} bytes where {len(part) - begin} are")
        yield kind, part[begin : begin + size]


def _matrix(part: bytes, order: str, with_fields: bool) -> tuple[str, Value]:
    """Return name and value of a matrix."""
    elements = _elements(part, order)
    try:
        flags = _numbers(*next(elements), order)
        shape = tuple(int(side) for side in _numbers(*next(elements), order))
        name = next(elements)[1][:_LONGEST_NAME].decode("latin-1")
        kind = int(flags[0]) & 0xFF
        if min(shape, default=0) < 0:
            raise ValueError(f"a variable claims the shape {shape}")
        if _FIRST_NUMBERS <= kind <= _LAST_NUMBERS and not int(flags[0]) & _COMPLEX:
            values = _numbers(*next(elements), order)
            if math.prod(shape) != len(values):
                raise ValueError(f"a variable of shape {shape} has {len(values)} values")
            return name, values.reshape(shape, order="F")
        if kind == _STRUCT and with_fields and math.prod(shape) == 1:
            return name, _fields(elements, order)
    except (StopIteration, IndexError):
        raise ValueError("a variable ends within") from None
    return name, None


def _fields(elements: Iterator[tuple[int, bytes]], order: str) -> dict[str, NDArray[Any]]:
    """The fields of a struct that are numbers."""
    length = int(_numbers(*next(elements), order)[0])
    texts = next(elements)[1]
    if not 0 < length <= _LONGEST_NAME:
        raise ValueError(f"a struct claims names of {length} bytes")
    found: dict[str, NDArray[Any]] = {}
    for begin in range(0, len(texts), length):
        kind, part = next(elements)
        if kind == _MATRIX and part:
            _, value = _matrix(part, order, with_fields=False)
            if isinstance(value, np.ndarray):
                name = texts[begin : begin + length].partition(b"\0")[0].decode("latin-1")
                found[name] = value
    return found


def _numbers(kind: int, part: bytes, order: str) -> NDArray[Any]:
    if kind not in _NUMBERS:
        raise ValueError(f"an element of kind {kind} is where numbers must be")
    dtype = np.dtype(order + _NUMBERS[kind])
    return np.frombuffer(part[: len(part) // dtype.itemsize * dtype.itemsize], dtype)
