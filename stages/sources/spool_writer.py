"""Writes a spool: appends records to its newest segment, within the bytes that it may take."""

import os
import time
from collections.abc import Sequence

from stages.sources.spool_folder import SpoolFolder
from stages.sources.spool_records import MAGIC, Head, mark_parts

__all__ = ["NoRoom", "SpoolWriter"]

_SEGMENTS = 16
"""Segments of which a full spool is made, at least: what is done with goes in such parts."""
_LOOK_AGAIN_S = 0.05


class NoRoom(Exception):
    """The spool holds all that it may."""


class SpoolWriter:
    """Appends to segments. What cannot be written wholly is taken back.

    Args:
        folder: where they lie.
        limit_bytes: the most that all of them may hold.
        first: the number of its first segment.
    """

    def __init__(self, folder: SpoolFolder, limit_bytes: int, first: int) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        self._next = first
        self._file: int | None = None
        self._sizes: dict[int, int] = {}
        self._looked_s = -_LOOK_AGAIN_S
        self._look()

    @property
    def number(self) -> int:
        """The segment that is written, or will be the next."""
        return self._next if self._file is None else self._next - 1

    @property
    def is_long(self) -> bool:
        """Whether the segment has its length, and another should be begun."""
        return self._sizes.get(self._next - 1, 0) >= self._limit_bytes // _SEGMENTS

    def begin(self, head: Head) -> None:
        """Begin a segment.

        Raises:
            NoRoom: the spool is full.
            OSError: it cannot be written.
        """
        self.close()
        # There is room for a head even in a full spool, or the end of a session could not be told.
        path = self._folder.segment(self._next)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._sizes[self._next] = 0
        self._next += 1
        try:
            self._append([MAGIC, *mark_parts(head)])
        except OSError:
            self.close()
            self._next -= 1
            del self._sizes[self._next]
            path.unlink()
            raise

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """Append a record to the segment that was begun.

        Raises:
            NoRoom: the spool is full.
            OSError: it cannot be written; then it is not there at all.
        """
        size = sum(len(part) for part in parts)
        if sum(self._sizes.values()) + size > self._limit_bytes:
            self._look()
            if sum(self._sizes.values()) + size > self._limit_bytes:
                raise NoRoom
        self._append(parts)

    def close(self) -> None:
        """Close the segment."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, parts: Sequence[bytes | memoryview]) -> None:
        assert self._file is not None
        number, size = self._next - 1, sum(len(part) for part in parts)
        try:
            done = os.writev(self._file, parts)
            if done < size:
                rest = b"".join(parts)[done:]
                while rest:
                    rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self._sizes[number])
            os.lseek(self._file, self._sizes[number], os.SEEK_SET)
            raise
        self._sizes[number] += size

    def _look(self) -> None:
        """See which segments there still are, now and then."""
        if time.monotonic() < self._looked_s + _LOOK_AGAIN_S:
            return
        self._looked_s = time.monotonic()
        there = {}
        for number in self._folder.numbers():
            try:
                size = os.stat(self._folder.segment(number)).st_size
            except FileNotFoundError:  # removed this moment
                continue
            there[number] = self._sizes.get(number, size)
        self._sizes = there
