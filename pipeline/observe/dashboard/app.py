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

from pipeline.observe.attach import Attached
from pipeline.observe.dashboard.head import summary
from pipeline.observe.dashboard.keys import STOP_AT_ONCE, keys_now
from pipeline.observe.dashboard.render import render
from pipeline.observe.dashboard.terminal import Terminal
from pipeline.observe.dashboard.view import View
from pipeline.run.control import Forget, Order, Pause, Resume, Speed, Step
from pipeline.run.folder import live_runs, process_of

__all__ = ["Dashboard", "folder_of", "give_way", "show_lines"]

_FRAME_S = 0.1
_SHARE = 0.06
"""Of one core, at most."""
_NOTICE_S = 3.0
_LINE_S = 2.0
_LOOK_S = 0.05
_SLOWEST, _FASTEST = 1 / 64, 64.0
_SAME = {" ": "space", "right": "s", "=": "+", "up": "+", "down": "-"}
"""Keys that do the same as another."""
_NAMED = ("space", "s", "r")


def folder_of(process: int, gone: Callable[[], bool]) -> Path | None:
    """Wait for the run that a process supervises; return its folder, None when that is off."""
    while not gone():
        # One that waits for other hosts is there too, though it has no plan yet.
        for folder in live_runs():
            if process_of(folder) == process:
                return folder
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
        stop: what the key q does, which asks for the end of the run; None where it only leaves.
        remark: the latest line that the run wrote to standard error, "" for none.

    Attributes:
        view: what was known at the end.
        left: whether the viewer left before the run was over.
    """

    def __init__(
        self,
        terminal: Terminal,
        stop: Callable[[], None] | None = None,
        remark: Callable[[], str] = str,
    ) -> None:
        self._terminal, self._stop, self._remark = terminal, stop, remark
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
                if self.view.over:
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
        while lines and not lines[-1].plain.strip():
            lines.pop()
        return [self._terminal.codes(line).rstrip() for line in lines]

    def _draw(self) -> None:
        view = self.view
        if time.monotonic() > self._until_s:
            view.notice = self._remark()
        view.fade(time.monotonic())
        columns, rows = self._terminal.size
        self._terminal.draw(render(view, columns, rows, self._terminal.colour, self._keys))

    @property
    def _keys(self) -> dict[str, str]:
        return keys_now(self.view, stops=self._stop is not None)

    def _watch(self, attached: Attached) -> None:
        view = self.view
        seen = {stage for stage in (view.pictured, view.decided) if stage is not None}
        attached.watch(seen, view.gauged - seen)

    def _press(self, key: str, attached: Attached) -> None:
        key = _SAME.get(key, key)
        does = self._keys.get(key)
        if key == "q":
            self._quit()
        elif key in ("+", "-"):
            self._change_speed(attached, 2 if key == "+" else 0.5)
        elif does is None:
            if key in _NAMED and self.view.status is not None:
                self._say(f"{key} does nothing now: the run is {self.view.status.state}")
        elif key == "space":
            order: Order = Resume() if does == "go on" else Pause()
            self._order(attached, order, "goes on" if does == "go on" else "pausing")
        elif key == "s":
            self._order(attached, Step(1), "one step")
        elif key == "r":
            self._order(attached, Forget(), "reset: membranes begin at rest")
        elif key == "i":
            self.view.picture_next()
            self._say(f"image: {self.view.pictured}")

    def _quit(self) -> None:
        if self._stop is None:
            self.left = True
        else:
            at_once = self._keys.get("q") == STOP_AT_ONCE
            self._stop()
            self._say("stopping: what is on its way is " + ("left" if at_once else "worked on"))

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
