"""The dashboard at work: news in, pictures and lines out, keys back to the run.

It takes what it can get. While it is drawing, what the run shows is left out; it draws seldom
enough to use a few percent of one core at most, and gives way to everybody else.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.observe.attach import Attached, running
from pipeline.observe.dashboard.render import KEYS, render, summary
from pipeline.observe.dashboard.terminal import Terminal
from pipeline.observe.dashboard.view import View
from pipeline.run.control import Forget, Order, Pause, Resume, Speed, Step, Stop

__all__ = ["Dashboard", "folder_of", "give_way", "show_lines"]

_FRAME_S = 0.1
_SHARE = 0.06
"""Of one core, at most."""
_NOTICE_S = 3.0
_LINE_S = 2.0
_LOOK_S = 0.05
_SLOWEST, _FASTEST = 1 / 64, 64.0


def folder_of(process: int, gone: Callable[[], bool]) -> Path | None:
    """Wait for the run that a process supervises; return its folder, None when that is off."""
    while not gone():
        for run in running():
            if run.process == process:
                return run.folder
        time.sleep(_LOOK_S)
    return None


def give_way() -> None:
    """Let every other process or thread have the processor first; only this thread is meant."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


class Dashboard:
    """Shows a run in a terminal until it is over, or its viewer has seen enough.

    Args:
        terminal: entered.
        quits: what the key q does: ``leave`` alone, or ``stop`` the run too.
        remark: the latest line that the run wrote to standard error, "" for none.

    Attributes:
        view: what was known at the end.
        left: whether the viewer left before the run was over.
    """

    def __init__(
        self, terminal: Terminal, quits: str = "leave", remark: Callable[[], str] = str
    ) -> None:
        self._terminal, self._quits, self._remark = terminal, quits, remark
        self.view = View()
        self.left = False
        self._until_s = 0.0

    def show(self, folder: Path, gone: Callable[[], bool] = lambda: False) -> None:
        """Show the run in ``folder`` until it is over."""
        with Attached(folder) as attached:
            due_s = 0.0
            while not (attached.over or self.left or gone()):
                self._watch(attached)
                for news in attached.news(max(0.0, min(_FRAME_S, due_s - time.monotonic()))):
                    self.view.take(news)
                status = self.view.status
                if status is not None and status.state == "over":
                    return
                for key in self._terminal.pressed():
                    self._press(key, attached)
                if time.monotonic() >= due_s:
                    used_s = time.thread_time()
                    self._draw()
                    used_s = time.thread_time() - used_s
                    due_s = time.monotonic() + max(_FRAME_S, used_s / _SHARE)
            if attached.over:
                self.view.lose()

    def last(self, columns: int, rows: int) -> list[str]:
        """Return the last picture, with the terminal's codes, without empty lines at its end."""
        self.view.notice = ""
        lines = render(self.view, columns, rows, self._terminal.colour)
        drawn = [self._terminal.codes(line).rstrip() for line in lines]
        while drawn and not drawn[-1]:
            drawn.pop()
        return drawn

    def _draw(self) -> None:
        view = self.view
        if time.monotonic() > self._until_s:
            view.notice = self._remark()
        view.image.fade(time.monotonic())
        keys = f" {KEYS}  q {self._quits}"
        columns, rows = self._terminal.size
        self._terminal.draw(render(view, columns, rows, self._terminal.colour, keys))

    def _watch(self, attached: Attached) -> None:
        view = self.view
        seen = {stage for stage in (view.pictured, view.decided) if stage is not None}
        attached.watch(seen, view.gauged - seen)

    def _press(self, key: str, attached: Attached) -> None:
        paused = self.view.status is not None and self.view.status.state == "paused"
        if key == "q":
            if self._quits == "stop":
                self._order(attached, Stop(), "stopping: what is on its way is worked on")
            else:
                self.left = True
        elif key == " ":
            order: Order = Resume() if paused else Pause()
            self._order(attached, order, "goes on" if paused else "pausing")
        elif key in ("s", "right"):
            self._order(attached, Step(1), "one step")
        elif key in ("+", "=", "up"):
            self._change_speed(attached, 2)
        elif key in ("-", "down"):
            self._change_speed(attached, 0.5)
        elif key == "r":
            self._order(attached, Forget(), "reset: membranes begin at rest")
        elif key == "i":
            self.view.picture_next()
            self._say(f"image: {self.view.pictured}")

    def _change_speed(self, attached: Attached, factor: float) -> None:
        speed = self.view.speed
        if not speed:
            self._say("the source has no speed to change: it plays live, or as fast as it can")
            return
        speed = min(max(speed * factor, _SLOWEST), _FASTEST)
        self._order(attached, Speed(speed), f"speed {speed:g}")

    def _order(self, attached: Attached, order: Order, notice: str) -> None:
        attached.order(order)
        self._say(notice)

    def _say(self, notice: str) -> None:
        self.view.notice, self._until_s = notice, time.monotonic() + _NOTICE_S


def show_lines(
    folder: Path, say: Callable[[str], None], gone: Callable[[], bool] = lambda: False
) -> None:
    """Tell of a run in lines, one in two seconds and the last when it is over: no terminal."""
    view, due_s = View(), 0.0
    with Attached(folder) as attached:
        while not (attached.over or gone()):
            for news in attached.news(_FRAME_S):
                view.take(news)
            if view.decided is not None:
                attached.watch({view.decided})
            over = view.status is not None and view.status.state == "over"
            if over or (view.status is not None and time.monotonic() >= due_s):
                due_s = time.monotonic() + _LINE_S
                say(summary(view))
            if over:
                return
        if attached.over:
            view.lose()
            say(summary(view))
