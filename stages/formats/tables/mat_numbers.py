"""Numbers in MATLAB's files: read only as they are asked for, and inflated on the way."""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Element", "Numbers", "ReadAt", "Stream"]

_PIECE_BYTES = 1 << 16

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
