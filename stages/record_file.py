"""Files that hold whole records only, whatever happens while one is written."""

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["DraftFile", "RecordFile", "explain"]


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
            status = os.fstat(self._file)
            if stat.S_ISREG(status.st_mode):
                if not os.path.samestat(status, os.stat(path)):
                    # Renamed between opening and locking it: what is there now is another's.
                    raise BlockingIOError
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


class DraftFile(RecordFile):
    """A record file that takes its name, from the file that has it, with its first record.

    Until then it is beside it, as ``NAME.part``, and the old file is what it was. Once it has its
    name it can be followed there, and that is where it is after a crash. What is no file, such as
    a device, is written at once.

    Raises:
        OSError: as `RecordFile`; `BlockingIOError` also when another writes the file of that name.
    """

    def __init__(self, path: Path) -> None:
        """Open ``NAME.part``; a link means the file that it leads to."""
        self._target = Path(os.path.realpath(path))
        self.path = self._target if _is_special(self._target) else self.name_of(self._target)
        """Where the file is now."""
        _refuse_busy(self._target)
        super().__init__(self.path)

    @staticmethod
    def name_of(path: Path) -> Path:
        """Return how a file is called until it has its first record."""
        return path.with_name(f"{path.name}.part")

    @property
    def is_published(self) -> bool:
        """Whether the file has its name."""
        return self.path == self._target

    def begin(self, header: bytes) -> None:
        """Write what stands before the first record, and is none."""
        super().append(header)

    def append(self, record: bytes | memoryview) -> int:
        """Write one record at the end, and give the file its name; return where it begins."""
        begin = super().append(record)
        self.publish()
        return begin

    def publish(self) -> None:
        """Give the file its name; an old file of that name is gone then."""
        if not self.is_published:
            _refuse_busy(self._target)
            os.rename(self.path, self._target)
            self.path = self._target

    def close(self) -> None:
        """Close the file; without its name it is removed."""
        if self._file >= 0 and not self.is_published:
            with suppress(OSError):
                os.unlink(self.path)
        super().close()


def _is_special(path: Path) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _refuse_busy(path: Path) -> None:
    """Raise `BlockingIOError` if another run or stage is writing a file."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        # Until it is closed, which is at once.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(file)


def explain(path: Path, error: OSError) -> str:
    """Return what to tell the user of a failed write."""
    if isinstance(error, BlockingIOError):
        return f"{path}: is being written by another run or stage; name another file"
    return f"{path}: cannot be written: {error.strerror}; check space and permissions"
