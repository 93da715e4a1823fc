"""A file that holds whole records only, whatever happens while one is written."""

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["RecordFile", "explain"]


class RecordFile:
    """Appends records to a file that nobody else writes meanwhile.

    Each record is written to its last byte or not at all: after a full disk the file is cut back
    to the end of the record before. Nothing is buffered, so a reader that follows the file sees
    whole records.

    Raises:
        OSError: the file cannot be opened or written; `BlockingIOError` when another writes it.
    """

    def __init__(self, path: Path, if_exists: str = "replace") -> None:
        """Open ``path``; ``if_exists`` is ``replace``, ``append`` or ``refuse``."""
        flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if if_exists == "refuse" else 0)
        self._file = os.open(path, flags, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._end = 0
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                # Not before the lock is held: what another run writes keeps its content.
                if if_exists == "replace":
                    os.ftruncate(self._file, 0)
                self._end = os.lseek(self._file, 0, os.SEEK_END)
        except BaseException:
            os.close(self._file)
            raise

    @property
    def end(self) -> int:
        """Bytes of whole records."""
        return self._end

    def append(self, record: bytes | memoryview) -> int:
        """Write one record, of bytes, at the end; return where it begins."""
        begin = self._end
        try:
            self._write(record)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, begin)
                os.lseek(self._file, begin, os.SEEK_SET)
            raise
        self._end = begin + len(record)
        return begin

    def overwrite(self, begin: int, part: bytes) -> None:
        """Replace bytes that were written before."""
        os.lseek(self._file, begin, os.SEEK_SET)
        self._write(part)
        os.lseek(self._file, self._end, os.SEEK_SET)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, part: bytes | memoryview) -> None:
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(self._file, rest) :]


def explain(path: Path, error: OSError) -> str:
    """Return what to tell the user of a failed write."""
    if isinstance(error, BlockingIOError):
        return f"{path}: is being written by another run or stage; name another file"
    return f"{path}: cannot be written: {error.strerror}; check space and permissions"
