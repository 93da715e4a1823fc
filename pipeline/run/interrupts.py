"""Who asked for the end: Ctrl-C, SIGTERM, a closed terminal; a second time it is not waited for."""

import os
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
        terminals = [file for file in (1, 2) if os.isatty(file)]

        def handle(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGHUP:
                # What is still to be said has nobody to be said to, and no place to be written.
                nowhere = os.open(os.devnull, os.O_WRONLY)
                for file in terminals:
                    os.dup2(nowhere, file)
                os.close(nowhere)
            self.add()

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not so under nohup
            numbers.append(signal.SIGHUP)
        for number in numbers:
            with suppress(ValueError):  # not the main thread: signals stay where they are
                self._before[number] = signal.signal(number, handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
