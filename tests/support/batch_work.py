"""Work for tests of engines; in a module of its own, as workers import it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import RecordingError
from stages.batch import Work

__all__ = ["Deadly", "Failing", "Slow", "Squares"]


class Squares(Work[int, tuple[int, int]]):
    """Squares numbers, and tells each time in which process."""

    def do(self, task: int) -> Iterator[tuple[int, int]]:
        yield task, task * task

    def called(self, task: int) -> str:
        return f"number {task}"


class Deadly(Squares):
    """Kills the worker that is given 3, so many times; how often is counted in a folder."""

    def __init__(self, folder: Path, times: int) -> None:
        self._folder, self._times = folder, times

    def do(self, task: int) -> Iterator[tuple[int, int]]:
        if task == 3 and (died := len(list(self._folder.iterdir()))) < self._times:
            (self._folder / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().do(task)


class Failing(Squares):
    """Fails at 3, by a mistake of the data's or by a bug."""

    def __init__(self, is_bug: bool) -> None:
        self._is_bug = is_bug

    def do(self, task: int) -> Iterator[tuple[int, int]]:
        if task == 3:
            raise KeyError("no such thing") if self._is_bug else RecordingError("3.bin: is broken")
        return super().do(task)


class Slow(Squares):
    """Tells its process for 0, and takes a minute for all others."""

    def do(self, task: int) -> Iterator[tuple[int, int]]:
        if task:
            time.sleep(60)
        yield task, os.getpid()
