"""Marks: which rows a fault has struck already, kept where a crash does not reach them.

A fault that kills its process comes to the same row again when the run goes on from a checkpoint.
The state of the stage cannot tell that it was there, since it is as of the checkpoint; a file can.
"""

import os
from pathlib import Path

__all__ = ["Marks"]


class Marks:
    """A file with a line for each row that was struck."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def clear(self) -> None:
        """Forget all of them.

        Raises:
            OSError: the file cannot be removed.
        """
        self._path.unlink(missing_ok=True)

    def read(self) -> set[str]:
        """Return the lines; none where there is no file.

        Raises:
            OSError: the file cannot be read.
        """
        try:
            return set(self._path.read_text(encoding="ascii", errors="replace").split("\n")) - {""}
        except FileNotFoundError:
            return set()

    def add(self, line: str) -> None:
        """Add a line; when this returns it outlives the process, and the machine.

        Raises:
            OSError: it cannot be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="ascii") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
