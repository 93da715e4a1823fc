"""A terminal for a program under test: what it draws is read, keys are typed."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

__all__ = ["Screen"]

PATIENCE_S = 30.0
_CODES = re.compile(r"\x1b\[[?0-9;]*[a-zA-Z]")


class Screen:
    """A Python program in a pseudo-terminal; use it in a ``with``.

    Args:
        arguments: of the interpreter.
        columns: of the terminal.
        rows: of the terminal.
        folder: where it runs.
        environment: what is changed of ours.
    """

    def __init__(
        self,
        *arguments: object,
        columns: int = 80,
        rows: int = 24,
        folder: Path | None = None,
        **environment: str,
    ) -> None:
        self.drawn = ""
        self.code: int | None = None
        size = struct.pack("HHHH", rows, columns, 0, 0)
        changed = {"TERM": "xterm-256color", "COLORTERM": "", "NO_COLOR": ""} | environment
        everything = {key: value for key, value in (os.environ | changed).items() if value}
        self.pid, self._file = pty.fork()
        if not self.pid:
            # Tests that run in the background, or under nohup, ignore these, and so would it.
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSWINSZ, size)
            if folder is not None:
                os.chdir(folder)
            os.execve(sys.executable, [sys.executable, *map(str, arguments)], everything)

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._file)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._file, keys.encode())

    def until(self, text: str) -> str:
        """Read until a text has been drawn; return all that came since the last call."""
        return self._read(lambda drawn: text in _CODES.sub("", drawn), text)

    def until_codes(self, codes: str) -> str:
        """Read until these codes came, for which `until` does not look."""
        return self._read(lambda drawn: codes in drawn, repr(codes))

    def until_over(self) -> str:
        """Read until the program has ended; its exit code is known then."""
        drawn = self._read(lambda _: False, "")
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return drawn

    def hang_up(self) -> int:
        """Close the terminal, as where a connection is lost; return how the program ended then."""
        os.close(self._file)
        self._file = os.open(os.devnull, os.O_RDWR)
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as it does unless a program has taken it."""
        return bool(termios.tcgetattr(self._file)[3] & termios.ECHO)

    def _read(self, reached: object, text: str) -> str:
        assert callable(reached)
        deadline, new = time.monotonic() + PATIENCE_S, ""
        while not reached(new):
            assert time.monotonic() < deadline, f"{text} did not come; there is {new[-3000:]!r}"
            if select.select([self._file], [], [], 0.1)[0]:
                try:
                    part = os.read(self._file, 65536)
                except OSError:  # the program has ended
                    part = b""
                if not part:
                    assert not text, f"it ended before {text} came; there is {new[-3000:]!r}"
                    return new
                new += part.decode(errors="replace")
        return new
