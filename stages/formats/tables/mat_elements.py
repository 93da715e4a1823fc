"""The elements of MATLAB files of version 5 to 7.2: variables of numbers, and structs of them.

Source: MathWorks, "MAT-File Format", level 5. We read them ourselves because SciPy's reader needs
all of a file in memory, and ends the whole process with a segmentation fault on some damaged ones.

Here is told where numbers are; `Stream` reads them, from the file or inflated on the way, so that
only what is asked for is in memory.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Element", "Numbers", "Stream", "Value", "read_variables"]

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
_PIECE_BYTES = 1 << 16
_UNKNOWN = 1 << 62

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""(offset, count) → bytes of the file, fewer only at its end."""


@dataclass(frozen=True)
class Element:
    """One element of the file, its tag included where it is not compressed."""

    read_at: ReadAt
    offset: int
    size: int
    compressed: bool


class Stream:
    """Reads the content of an element forward, as it is or inflated.

    Args:
        element: what to read.
        at: byte of the content to begin with; inflating begins at the first all the same.

    Attributes:
        element: what is read.
        at: byte of the content to be read next.
        fault: why the content ends before its end, None while it does not.
    """

    def __init__(self, element: Element, at: int = 0) -> None:
        self.at = 0
        self.fault: str | None = None
        self.element = element
        self._inflate = zlib.decompressobj() if element.compressed else None
        self._taken = 0
        self.skip_to(at)

    def read(self, count: int) -> bytes:
        """Return the next bytes, fewer only where the content ends or is damaged."""
        part = self._stored(count) if self._inflate is None else self._inflated(count)
        self.at += len(part)
        return part

    def skip_to(self, at: int) -> None:
        """Go forward to a byte of the content, or to its end."""
        if self._inflate is None:
            self.at = max(at, self.at)
        while self.at < at and self.read(min(at - self.at, _PIECE_BYTES)):
            pass

    def finish(self) -> None:
        """Go to the end, where an inflated content's checksum is held against it."""
        while self._inflate is not None and self.read(_PIECE_BYTES):
            pass

    def _stored(self, count: int) -> bytes:
        wanted = min(count, max(self.element.size - self.at, 0))
        part = self.element.read_at(self.element.offset + self.at, wanted)
        if len(part) < wanted:
            self.fault = "is truncated"
        return part

    def _inflated(self, count: int) -> bytes:
        assert self._inflate is not None
        parts: list[bytes] = []
        while count and self.fault is None and not self._inflate.eof:
            fresh = self._inflate.unconsumed_tail
            if not fresh:
                element = self.element
                wanted = min(_PIECE_BYTES, element.size - self._taken)
                fresh = element.read_at(element.offset + self._taken, wanted)
                self._taken += len(fresh)
                if wanted and not fresh:
                    self.fault = "is truncated"
            try:
                part = self._inflate.decompress(fresh, min(count, _PIECE_BYTES))
            except zlib.error as error:
                self.fault = f"is damaged ({error})"
                break
            if not (part or fresh or self._inflate.eof or self.fault):
                self.fault = "is damaged (what is compressed does not end)"
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


@dataclass(frozen=True)
class Numbers:
    """Numbers that are in an element, of which none was read yet.

    Attributes:
        element: where they are.
        begin: byte of its content at which they begin.
        dtype: of one.
        shape: as MATLAB has it: columns are one behind the other.
    """

    element: Element
    begin: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def is_vector(self) -> bool:
        """Whether all sides but one are 1, or there is nothing in it."""
        return self.count in (0, max(self.shape, default=0))

    def column(self, number: int) -> "Numbers":
        """Return a column of a matrix as a vector."""
        rows = self.shape[0]
        return Numbers(
            self.element, self.begin + number * rows * self.dtype.itemsize, self.dtype, (rows, 1)
        )

    def stream(self, number: int = 0) -> Stream:
        """Return a stream that begins with one of the numbers."""
        return Stream(self.element, self.begin + number * self.dtype.itemsize)

    def take(self, stream: Stream, count: int) -> NDArray[Any]:
        """Return (count,) numbers from where a stream is, fewer where it ends."""
        part = stream.read(count * self.dtype.itemsize)
        return np.frombuffer(part, self.dtype, len(part) // self.dtype.itemsize)

    def first(self, count: int) -> NDArray[Any]:
        """Return up to so many of the first ones."""
        return self.take(self.stream(), min(count, self.count))


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
    flags = int(_short(stream, order, parts, _LONGEST_SHAPE)[0])
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
    width = int(_short(stream, order, parts, 8)[0])
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


def _short(
    stream: Stream, order: str, parts: Iterator[tuple[int, int, int]], most_bytes: int
) -> NDArray[Any]:
    """Return the numbers of the next element, which must be few and at least one."""
    kind, _, length = _next(parts)
    if not 0 < length <= most_bytes:
        raise ValueError(f"a variable's head claims {length} bytes")
    dtype = _dtype(kind, order)
    part = stream.read(length)
    if len(part) < length or length < dtype.itemsize:
        raise ValueError("a variable ends within")
    return np.frombuffer(part, dtype, length // dtype.itemsize)


def _dtype(kind: int, order: str) -> np.dtype[Any]:
    if kind not in _NUMBERS:
        raise ValueError(f"an element of kind {kind} is where numbers must be")
    return np.dtype(order + _NUMBERS[kind])
