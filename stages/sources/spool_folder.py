"""The folder of a spool: its segments by number, private to the user, written by one process."""

import fcntl
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.errors import DeviceError

__all__ = ["SpoolFolder"]

_NAME = re.compile(r"spool-(\d{8})")


class SpoolFolder:
    """Where segments lie.

    Args:
        path: made if need be.

    Raises:
        DeviceError: it cannot be made or used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(0, "Permission denied")
        except OSError as error:
            raise DeviceError(
                f"{path}: cannot be used as a spool: {error.strerror}; name another folder"
            ) from None

    def segment(self, number: int) -> Path:
        """Return the file of a segment."""
        return self.path / f"spool-{number:08d}"

    def numbers(self) -> list[int]:
        """Return the segments that there are, the oldest first."""
        found = (_NAME.fullmatch(name) for name in os.listdir(self.path))
        return sorted(int(match.group(1)) for match in found if match)

    def lock(self) -> int | None:
        """Return a descriptor that keeps other writers out while it is open; None if one is."""
        lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove segments; those that are gone already are none of its concern."""
        for number in numbers:
            with suppress(OSError):
                self.segment(number).unlink()

    def clear(self) -> None:
        """Remove all segments, unless another run writes them.

        Raises:
            DeviceError: one does.
        """
        lock = self.lock()
        if lock is None:
            raise DeviceError(
                f"{self.path}: another run writes its spool here; end it, or name another folder"
            )
        self.remove(self.numbers())
        os.close(lock)
