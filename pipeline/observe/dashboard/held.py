"""What a run prints while the dashboard has the terminal: held back, and printed when that is over.

The newest lines are held, as many as a person may want to scroll through; how many were before
them is told.
"""

import os
import sys
import threading
from collections import deque
from contextlib import suppress

__all__ = ["Held"]

_MOST_LINES = 1000


class Held:
    """Holds back what this process and its children write to one of their files.

    Use it in a ``with``: what was held is printed behind it.

    Args:
        file: number of the file, 1 or 2.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._lines: deque[bytes] = deque(maxlen=_MOST_LINES)
        self._count = 0

    def __enter__(self) -> "Held":
        self._flush()
        self._kept = os.dup(self._file)
        read, write = os.pipe()
        os.dup2(write, self._file)
        os.close(write)
        self._thread = threading.Thread(target=self._read, args=(read,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        os.dup2(self._kept, self._file)
        self._thread.join(1)
        left_out = self._count - len(self._lines)
        if left_out:
            self._write(f"… {left_out} lines before these are left out\n".encode())
        self._write(b"".join(self._lines))
        os.close(self._kept)

    @property
    def latest(self) -> str:
        """The last line that was written, "" if there is none."""
        return self._lines[-1].decode(errors="replace").strip() if self._lines else ""

    def _read(self, end: int) -> None:
        """Read lines until nobody is left who could write."""
        with open(end, "rb") as lines:
            for line in lines:
                self._count += 1
                self._lines.append(line)

    def _write(self, text: bytes) -> None:
        with suppress(OSError):
            while text:
                text = text[os.write(self._kept, text) :]

    def _flush(self) -> None:
        with suppress(OSError):
            (sys.stdout if self._file == 1 else sys.stderr).flush()
