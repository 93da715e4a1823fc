"""The terminal while the dashboard has it: keys one by one and a screen of its own, given back.

It is given back when the ``with`` is left, however that is, when the program is stopped by Ctrl-Z
(and taken again when it goes on), and when it is told to end by a signal. Ctrl-C stays what it is.
"""

import os
import re
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.text import Text

__all__ = ["Terminal", "is_screen"]

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""A screen of its own, no cursor, no new line where one is full."""
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""What is between is shown at once, where the terminal knows it."""
_ARROWS = {"\x1b[C": "right", "\x1b[D": "left", "\x1b[A": "up", "\x1b[B": "down"}
_KEY = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O.)?|.", re.DOTALL)
"""What one key sends: a character, or a sequence that begins with Escape."""
_ROOM_S = 1.0


def is_screen(file: int, keys: int = 0) -> bool:
    """Tell whether something can be drawn to a file, and keys come from another.

    Not if the program is in the background of its terminal, or that can do nothing (TERM=dumb).
    """
    if os.environ.get("TERM", "") in ("", "dumb", "unknown") or not (
        os.isatty(file) and os.isatty(keys)
    ):
        return False
    try:
        return os.tcgetpgrp(keys) == os.getpgrp()
    except OSError:
        return False


class Terminal:
    """A terminal that is drawn to; use it in a ``with``, in the main thread.

    Args:
        file: what is drawn to.
        keys: where keys come from.
    """

    def __init__(self, file: int, keys: int = 0) -> None:
        self._file, self._keys = os.dup(file), keys
        self._lock = threading.RLock()
        self._before: dict[int, Any] = {}
        self._shown: list[str] = []
        self._size = (0, 0)
        self._held = False
        self._stale = True
        """Whether what is shown may be anything, as where the screen was given back in between."""
        with open(self._file, "w", closefd=False) as out:
            # Asked of a console, since it knows what NO_COLOR, TERM and COLORTERM mean.
            console = Console(file=out, force_terminal=True)
        self._system = ColorSystem.STANDARD
        if console.color_system is not None and console.color_system != "windows":
            self._system = ColorSystem[
                {"standard": "STANDARD", "256": "EIGHT_BIT", "truecolor": "TRUECOLOR"}[
                    console.color_system
                ]
            ]
        self.colour = not console.no_color and console.color_system is not None

    def __enter__(self) -> "Terminal":
        self._attributes = termios.tcgetattr(self._keys)
        self._take()
        handlers: dict[int, Callable[[int, FrameType | None], None]] = {
            signal.SIGTSTP: self._pause,
            signal.SIGTERM: self._end,
            signal.SIGHUP: self._end,
        }
        for number, handler in handlers.items():
            if signal.getsignal(number) == signal.SIG_DFL:
                self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._give_back()
        os.close(self._file)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            return tuple(os.get_terminal_size(self._file))  # type: ignore[return-value]
        except OSError:
            return 80, 24

    def pressed(self, wait_s: float = 0.0) -> list[str]:
        """Return the keys that were pressed, arrows by name."""
        if not select.select([self._keys], [], [], wait_s)[0]:
            return []
        try:
            raw = os.read(self._keys, 256)
        except OSError:
            return []
        keys = _KEY.findall(raw.decode(errors="ignore"))
        return [_ARROWS.get(key, key) for key in keys if key in _ARROWS or len(key) == 1]

    def draw(self, lines: Sequence[Text]) -> bool:
        """Show lines, one for each row; return False where the terminal has no room for more yet.

        Only lines that have changed are sent, which is what makes it bearable over a slow link.
        """
        with self._lock:
            if not self._held or not select.select([], [self._file], [], 0)[1]:
                return False
            # Not forgotten by whoever takes the screen: that may be amid these lines.
            if self._stale or self.size != self._size:
                self._stale, self._size, self._shown = False, self.size, []
            drawn = [self._row(line) for line in lines]
            before = self._shown if len(self._shown) == len(drawn) else [None] * len(drawn)
            changed = [
                f"\x1b[{row};1H{new}"
                for row, (new, old) in enumerate(zip(drawn, before, strict=True), 1)
                if new != old
            ]
            if changed:
                clear = "" if self._shown else "\x1b[2J"
                self._write(_BEGIN + clear + "".join(changed) + _END)
            self._shown = drawn
            return True

    def codes(self, line: Text) -> str:
        """Return a line with the codes that this terminal knows."""
        parts, line = [], line.copy()
        line.stylize_before(line.style)  # which a line without other styles would not show
        for text, style, _ in line.render(_PLAIN):
            if style is not None and not self.colour:
                style = style.without_color
            parts.append(style.render(text, color_system=self._system) if style else text)
        return "".join(parts)

    def _row(self, line: Text) -> str:
        """Return a line with what clears the rest of its row, where there is a rest."""
        full = cell_len(line.plain) >= self._size[0]
        return self.codes(line) + ("" if full else "\x1b[0m\x1b[K")

    def _take(self) -> None:
        with self._lock:
            quiet = termios.tcgetattr(self._keys)
            quiet[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(self._keys, termios.TCSANOW, quiet)
            self._write(_ENTER)
            self._stale, self._held = True, True

    def _give_back(self) -> None:
        with self._lock:
            if self._held:
                self._held = False
                self._write(_LEAVE)
                with suppress(termios.error):
                    termios.tcsetattr(self._keys, termios.TCSANOW, self._attributes)

    def _write(self, text: str) -> None:
        raw = text.encode(errors="replace")
        until_s = time.monotonic() + _ROOM_S
        with suppress(OSError):  # a terminal that is gone is none of the run's business
            while raw and time.monotonic() < until_s:
                if select.select([], [self._file], [], 0.1)[1]:
                    raw = raw[os.write(self._file, raw[:4096]) :]

    def _pause(self, number: int, _frame: FrameType | None) -> None:
        """Give the terminal back, stop as Ctrl-Z means it, and take it again when told to go on."""
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._pause)
        self._take()

    def _end(self, number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)


_PLAIN = Console(color_system=None)
