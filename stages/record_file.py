"""Files that hold whole records only, and that can be cut back, whatever happens to the writer."""

import fcntl
import os
import stat
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["DraftFile", "LostRecordsError", "Mark", "RecordFile", "explain", "mark_of", "sync"]

_COMPARED_BYTES = 1 << 20


class Mark(NamedTuple):
    """Where a file can be cut back to, and what it must hold for that."""

    begin: int
    """Bytes of what may change later: a header that tells how much follows it."""
    end: int
    """Bytes in all."""
    check: int
    """CRC-32 of the last MiB between them; to read all of a large file would take too long."""


class LostRecordsError(OSError):
    """A file does not hold any more what it held when it was marked.

    Args:
        how: what became of it, as "was shortened".
        why: what was expected, and what is there.
    """

    def __init__(self, how: str, why: str) -> None:
        super().__init__(0, f"{how} since the checkpoint: {why}")


class RecordFile:
    """Appends records to a file that nobody else writes meanwhile.

    Each record is written to its last byte or not at all: after a full disk the file is cut back
    to the end of the record before. Nothing is buffered, so a reader that follows the file sees
    whole records. What is no file, such as a device or a pipe, is never cut back.

    Raises:
        OSError: the file cannot be opened or written; `BlockingIOError` when another writes it,
            `LostRecordsError` when it does not hold what was marked.
    """

    def __init__(self, path: Path, if_exists: str = "replace", mark: Mark | None = None) -> None:
        """Open ``path``; ``if_exists`` is ``replace``, ``append`` or ``refuse``.

        With a ``mark`` it must be there already, and is cut back to it.
        """
        self.path = path
        """Where the file is."""
        flags = os.O_RDWR | (os.O_EXCL if if_exists == "refuse" and mark is None else 0)
        try:
            self._file = os.open(path, flags | (os.O_CREAT if mark is None else 0), 0o666)
        except FileNotFoundError:
            if mark is None:
                raise
            raise LostRecordsError("was removed", f"{mark.end:,} bytes were committed") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begin = self._end = 0
            self._is_synced = self._is_in_folder = False
            status = os.fstat(self._file)
            self._is_file = stat.S_ISREG(status.st_mode)
            if self._is_file:
                if not os.path.samestat(status, os.stat(path)):
                    # Renamed between opening and locking it: what is there now is another's.
                    raise BlockingIOError
                # Not before the lock is held: what another run writes keeps its content.
                if mark is not None:
                    _compare(self._file, mark)
                    os.ftruncate(self._file, mark.end)
                    self._begin = mark.begin
                elif if_exists == "replace":
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

    def commit(self) -> Mark:
        """Make durable what was written, the name of a new file too; return where it ends."""
        if not self._is_file:
            return Mark(0, 0, 0)
        if not self._is_synced:
            os.fsync(self._file)
            self._is_synced = True
        if not self._is_in_folder:
            sync(Path(os.path.realpath(self.path)).parent)
            self._is_in_folder = True
        return _mark(self._file, self._begin, self._end)

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, part: bytes | memoryview) -> None:
        self._is_synced = False
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

    def __init__(self, path: Path, mark: Mark | None = None, is_published: bool = False) -> None:
        """Open ``NAME.part``; a link means the file that it leads to.

        With a ``mark`` the file is there, with its name if it ``is_published``, and is cut back.
        """
        self._target = Path(os.path.realpath(path))
        is_published |= _is_special(self._target)
        _refuse_busy(self._target)
        super().__init__(self._target if is_published else self.name_of(self._target), mark=mark)

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
        self._begin = self._end

    def gather(self, record: bytes | memoryview) -> None:
        """Write one record at the end, and leave the file without its name."""
        super().append(record)

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
            self.path, self._is_in_folder = self._target, False

    def publish_as(self, made: Path) -> None:
        """Give the name to a file that was made of what is here, which is removed."""
        _refuse_busy(self._target)
        os.rename(made, self._target)
        os.unlink(self.path)
        self.path = self._target
        sync(self.path.parent)

    def close(self, keep: bool = False) -> None:
        """Close the file; without its name it is removed, unless it is to be kept."""
        if self._file >= 0 and not (self.is_published or keep):
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


def mark_of(path: Path) -> Mark | None:
    """Return a mark at the end of a file that nobody writes now, None if there is no file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(file)
        return _mark(file, 0, status.st_size) if stat.S_ISREG(status.st_mode) else Mark(0, 0, 0)
    finally:
        os.close(file)


def sync(path: Path) -> None:
    """Make what was written to a file, or the names in a folder, outlast a power cut.

    Raises:
        OSError: it cannot be.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _mark(file: int, begin: int, end: int) -> Mark:
    first = max(begin, end - _COMPARED_BYTES)
    return Mark(begin, end, zlib.crc32(os.pread(file, end - first, first)))


def _compare(file: int, mark: Mark) -> None:
    """Raise `LostRecordsError` if a file does not hold what was marked."""
    size = os.fstat(file).st_size
    if size < mark.end:
        why = f"{mark.end:,} bytes were committed, and {size:,} are there"
        raise LostRecordsError("was shortened", why)
    if _mark(file, mark.begin, mark.end) != mark:
        why = f"the {mark.end:,} bytes that were committed are not the first {mark.end:,} any more"
        raise LostRecordsError("was changed", why)


def explain(path: Path, error: OSError) -> str:
    """Return what to tell the user of a failed write."""
    if isinstance(error, BlockingIOError):
        return f"{path}: is being written by another run or stage; name another file"
    if isinstance(error, LostRecordsError):
        return (
            f"{path}: {error.strerror}, so the run cannot go on behind it; put it back as it was,"
            " or start over with --fresh"
        )
    return f"{path}: cannot be written: {error.strerror}; check space and permissions"
