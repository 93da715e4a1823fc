"""The dashboard beside the run that this process supervises: `pipeline run --dashboard`."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

from pipeline.observe.dashboard.app import Dashboard, folder_of, give_way, show_lines
from pipeline.observe.dashboard.held import Held
from pipeline.observe.dashboard.terminal import Terminal, is_screen

__all__ = ["dashboard"]

_END_S = 2.0


@contextmanager
def dashboard() -> Iterator[None]:
    """Show the run that goes on within the ``with``, on standard error.

    In a terminal what the run prints meanwhile is held back, and printed at the end behind the
    last picture. Elsewhere the dashboard is a line every two seconds. It has a thread of its own;
    should that fail, the run goes on without it.
    """
    if is_screen(sys.stderr.fileno()):
        with _on_screen():
            yield
    else:
        over = threading.Event()
        with _thread(_Lines(over), over):
            yield


@contextmanager
def _on_screen() -> Iterator[None]:
    last: list[str] = []
    try:
        with ExitStack() as stack:
            # In this order, since the terminal is what standard error was before it is held.
            terminal = Terminal(sys.stderr.fileno())
            err = stack.enter_context(Held(2))
            stack.enter_context(Held(1) if os.isatty(1) else nullcontext())
            stack.enter_context(terminal)
            over = threading.Event()
            screen = _Screen(Dashboard(terminal, _stop, lambda: err.latest), over)
            try:
                with _thread(screen, over):
                    yield
            finally:
                last = screen.dashboard.last(*terminal.size)
    finally:
        print("\n".join(last), end="\n\n", file=sys.stderr, flush=True)


@contextmanager
def _thread(shows: "_Lines | _Screen", over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=shows, name="dashboard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_END_S)


class _Lines:
    def __init__(self, over: threading.Event) -> None:
        self._over = over

    def __call__(self) -> None:
        give_way()
        folder = folder_of(os.getpid(), self._over.is_set)
        if folder is not None:
            show_lines(folder, _say)


class _Screen:
    def __init__(self, dashboard: Dashboard, over: threading.Event) -> None:
        self.dashboard = dashboard
        self._over = over

    def __call__(self) -> None:
        give_way()
        folder = folder_of(os.getpid(), self._over.is_set)
        if folder is not None:
            self.dashboard.show(folder)


def _stop() -> None:
    """Ask for the end as Ctrl-C does, which is heard also while nothing is played yet."""
    os.kill(os.getpid(), signal.SIGINT)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
