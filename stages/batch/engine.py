"""The engine: tasks dealt out to workers, results as they come, what a lost worker had done anew.

What differs between engines is only how a worker is started and heard; who gets which task, and
what becomes of that of a worker that died, is decided here for all.
"""

import signal
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pipeline.errors import StageError
from stages.batch.work import Work

__all__ = ["Answer", "Broke", "Died", "Done", "Engine", "Ready", "Worker", "on_terminate"]

T = TypeVar("T")
R = TypeVar("R")

_TRIES = 3
"""Workers that one task may take with it."""
_LOST = 3
"""Times each worker may die without any task getting done."""
_PATIENCE_S = 120.0
"""How long no worker may be there; to start one takes seconds, on a busy cluster longer."""


class Ready:
    """A worker has opened its work."""


@dataclass(frozen=True)
class Done:
    """A worker has done its task."""

    results: list[Any]


@dataclass(frozen=True)
class Broke:
    """The work failed; it would again."""

    error: Exception


@dataclass(frozen=True)
class Died:
    """A worker is gone, and with it what it was at."""

    why: str


Answer = Ready | Done | Broke | Died


class Worker(ABC):
    """One that does one task after another."""

    @abstractmethod
    def give(self, task: Any) -> None:
        """Give it a task; it has none. If it is dead it will be heard to be."""

    @abstractmethod
    def stop(self) -> None:
        """End it, whatever it is at; it may be dead already."""


@dataclass
class _Try(Generic[T]):
    """A task, and how many workers have died of it."""

    task: T
    deaths: int = 0


class Engine(ABC):
    """Does tasks with several workers; a context manager.

    Within it a SIGTERM does what Ctrl-C does, so that no worker is left behind.
    """

    patience_s = _PATIENCE_S

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many work at a time."""

    @abstractmethod
    def _start(self, work: Work[Any, Any]) -> Worker:
        """Start a worker; it answers `Ready` when it has opened the work."""

    @abstractmethod
    def _hear(self, workers: Sequence[Worker], timeout_s: float) -> Sequence[tuple[Worker, Answer]]:
        """Return what workers answer that are starting or at a task; nothing after the timeout."""

    def __enter__(self) -> Self:
        """Begin; workers are started when there is something to do."""
        self._before = on_terminate(signal.default_int_handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; the workers have ended before."""
        on_terminate(self._before)

    def map(self, work: Work[T, R], tasks: Iterable[T]) -> Iterator[R]:
        """Yield the results of all tasks, those of one together, in no order.

        Args:
            work: what to do to each.
            tasks: what to do it to.

        Raises:
            PipelineError: a task failed.
            StageError: workers die again and again, or none can be had.
        """
        waiting = deque(_Try(task) for task in tasks)
        at: dict[Worker, _Try[T] | None] = {}  # None: it is starting
        idle: list[Worker] = []
        deaths = 0
        try:
            while waiting or any(at.values()):
                most = min(self.workers, len(waiting) + sum(map(bool, at.values())))
                while len(at) + len(idle) < most:
                    at[self._start(work)] = None
                while idle and waiting:
                    worker, one = idle.pop(), waiting.popleft()
                    at[worker] = one
                    worker.give(one.task)
                heard = self._hear(list(at), self.patience_s)
                if not heard and not any(at.values()):
                    raise self._nobody()
                for worker, answer in heard:
                    tried = at.pop(worker)
                    if isinstance(answer, Died):
                        worker.stop()
                        deaths += 1
                        if tried is not None:
                            tried.deaths += 1
                            _check_tries(work, tried, answer)
                            waiting.appendleft(tried)
                        if deaths >= _LOST * self.workers:
                            raise _all_lost(deaths, answer)
                        continue
                    idle.append(worker)
                    if isinstance(answer, Broke):
                        raise answer.error
                    if isinstance(answer, Done):
                        deaths = 0
                        yield from answer.results
        finally:
            for worker in [*at, *idle]:
                worker.stop()

    def _nobody(self) -> StageError:
        return StageError(
            f"no worker started within {self.patience_s:.0f} s; the same command goes on when"
            " processors are free"
        )


def _check_tries(work: Work[T, Any], tried: _Try[T], last: Died) -> None:
    if tried.deaths >= _TRIES:
        raise StageError(
            f"{work.called(tried.task)}: {tried.deaths} workers were lost over it, one after"
            f" another ({last.why}), maybe for want of memory; with fewer --processes it takes less"
        )


def _all_lost(deaths: int, last: Died) -> StageError:
    return StageError(
        f"{deaths} workers were lost, one after another, and nothing was done ({last.why}); what"
        " is finished is kept, the same command goes on"
    )


def on_terminate(handler: Any) -> Any:
    """Set what a SIGTERM does, where that can be set; return what it did, as `signal.signal`."""
    if threading.current_thread() is not threading.main_thread() or handler is None:
        return None
    return signal.signal(signal.SIGTERM, handler)
