"""Ctrl-C and SIGTERM, counted: the first asks for an end in order, a second for one at once."""

import signal
from contextlib import suppress
from types import FrameType
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Counts them while it is entered; whoever else wants the end counts too.

    Attributes:
        count: how often somebody asked for the end.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def add(self) -> None:
        """Ask for the end."""
        self.count += 1

    def __enter__(self) -> "Interrupts":
        def handle(_number: int, _frame: FrameType | None) -> None:
            self.add()

        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # not the main thread: signals stay where they are
                self._before[number] = signal.signal(number, handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
