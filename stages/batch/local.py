"""The engine of one machine: processes that last, each with a pipe."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from stages.batch.engine import Answer, Broke, Died, Done, Engine, Ready, Worker
from stages.batch.remote import end_with, portable
from stages.batch.work import Work

__all__ = ["LocalEngine"]

T = TypeVar("T")
R = TypeVar("R")


class LocalEngine(Engine):
    """Works in processes of this machine; with one only, in the caller's own.

    Args:
        processes: how many; None: as many as the machine has processors.
    """

    def __init__(self, processes: int | None) -> None:
        self._processes = processes or os.cpu_count() or 1

    @property
    def workers(self) -> int:
        """How many work at a time."""
        return self._processes

    def map(self, work: Work[T, R], tasks: Iterable[T]) -> Iterator[R]:
        """Yield the results of all tasks, see `Engine.map`; of one process as they are made."""
        listed = list(tasks)
        if self._processes > 1 and len(listed) > 1:
            yield from super().map(work, listed)
            return
        work.open()
        try:
            for task in listed:
                yield from work.do(task)
        finally:
            work.close()

    def _start(self, work: Work[Any, Any]) -> Worker:
        return _Process(work)

    def _hear(self, workers: Sequence[Worker], timeout_s: float) -> Sequence[tuple[Worker, Answer]]:
        by_pipe = {one.pipe: one for one in workers if isinstance(one, _Process)}
        # A process that dies closes its end: that is heard as an answer is, and after all of those.
        heard = wait(list(by_pipe), timeout_s)
        return [(by_pipe[pipe], by_pipe[pipe].answer()) for pipe in heard if pipe in by_pipe]


class _Process(Worker):
    """A process of this machine."""

    def __init__(self, work: Work[Any, Any]) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        arguments = (os.getpid(), pickle.dumps(work), theirs, self.pipe)
        self._process = multiprocessing.Process(target=_serve, args=arguments)
        self._process.start()
        theirs.close()

    def give(self, task: Any) -> None:
        """Send it a task."""
        with suppress(OSError):  # it is dead, and will be heard to be
            self.pipe.send(task)

    def answer(self) -> Answer:
        """Return what it has to say; there is something."""
        try:
            answer: Answer = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return Died(f"process {self._process.pid}: {how}")
        return answer

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(parent: int, pickled: bytes, pipe: Connection, parents_end: Connection) -> None:
    """Do tasks until the parent ends, however it does, or kills this process."""
    parents_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent says what becomes of it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent)
    try:
        work: Work[Any, Any] = pickle.loads(pickled)
        work.open()
        pipe.send(Ready())
        while True:
            pipe.send(Done(list(work.do(pipe.recv()))))
    except (EOFError, BrokenPipeError):
        pass
    except Exception as error:
        pipe.send(Broke(portable(error)))
