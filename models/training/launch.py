"""Starts the training processes of this host, watches over them, and ends them together.

Each is a fresh process that says over a pipe how it ended: with a result, stopped, or why it
failed. When one fails, all are ended, so that none waits for ever; of several reasons the first
that is not just the loss of another process is told.
"""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import EchoError, PeerError
from models.training.data import Examples
from models.training.meeting import Meeting
from models.training.place import Place
from models.training.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from models.training.trainer import TrainingResult

__all__ = ["Job", "launch"]

_LOOK_S = 0.2
_REASON_S = 5.0
"""How long to wait for the reason, once a process has lost another."""


@dataclass(frozen=True)
class Job:
    """What every training process of a host is given; all of it goes through a pipe.

    Attributes:
        recipe: What to train.
        train: Examples to learn from.
        validation: Examples to choose the epoch by.
        test: Examples for the accuracy in the card.
        out: The weights file; the first process of all writes it.
        resume: See `models.training.trainer.train`.
        threads: CPU threads of each process.
        console: Makes the console where the first process shows how it goes.
        created_by: Program and version, for the card.
    """

    recipe: Recipe
    train: Examples
    validation: Examples
    test: Examples | None
    out: Path
    resume: bool | None = None
    threads: int = 1
    console: "Callable[[], Console] | None" = None
    created_by: str = "models.training"


class _Worker:
    """One training process, seen from outside.

    Attributes:
        told: How it ended and with what; None: it has not said.
    """

    def __init__(self, context: Any, place: Place, job: Job) -> None:
        self.place = place
        self.pipe, theirs = context.Pipe()
        self.told: tuple[str, Any] | None = None
        name = f"training process {place.rank}"
        self.process = context.Process(target=_work, name=name, args=(theirs, place, job))
        self.process.start()
        theirs.close()

    def hear(self) -> bool:
        """Take in what it says; return whether it is over."""
        try:
            if self.told is None and self.pipe.poll():
                self.told = self.pipe.recv()
        except (EOFError, OSError):
            pass
        return self.told is not None or not self.process.is_alive()

    def stop(self) -> None:
        """Ask it to stop after this step."""
        with suppress(OSError):  # it is gone
            self.pipe.send("stop")

    def failure(self) -> BaseException | None:
        """Return why it failed; None: it did not."""
        if self.told is not None:
            how, what = self.told
            return what if how == "failed" else None
        self.process.join()
        code, place = self.process.exitcode, self.place
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        memory = " (for want of memory, perhaps)" if code == -signal.SIGKILL else ""
        return PeerError(
            f"training process {place.rank} of {place.count} {how}{memory}; the others were ended; "
            "the same command goes on from the last save"
        )


def launch(
    job: Job, meeting: Meeting, processes: int, stop: Callable[[], bool] = lambda: False
) -> "TrainingResult | None":
    """Train with some processes on this host, and as many on each other host of the meeting.

    Args:
        job: What they do.
        meeting: Entered; on several hosts, compared.
        processes: How many here; with GPUs, each has one.
        stop: Asked again and again; once it is true all stop after the step that is being done.

    Returns:
        What training gave; None: that is on host 0.

    Raises:
        ModelError: Training cannot be done as asked; see `models.training.trainer.train`.
        PeerError: A process ended that should not, here or on another host.
        Interrupted: `stop` said so, here or on another host.
    """
    # What every process needs is imported once; none is forked from this one, whose threads would
    # be missing there.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.training.trainer", "models.training.callbacks"])
    count, first = processes * meeting.hosts, processes * meeting.host
    workers = []
    try:
        for k in range(processes):
            place = Place(first + k, count, k, processes, meeting.address, meeting.port, met=True)
            workers.append(_Worker(context, place, job))
        _watch(workers, meeting, stop)
        return _outcome(workers, meeting)
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def _watch(workers: list[_Worker], meeting: Meeting, stop: Callable[[], bool]) -> None:
    """Wait until all are over, or one has failed.

    Raises:
        PeerError: Another host failed.
    """
    asked, since = False, None
    while True:
        over = [worker.hear() for worker in workers]
        failures = [w.failure() for w, done in zip(workers, over, strict=True) if done]
        if all(over) or any(_is_reason(f) for f in failures):
            return
        if any(f is not None for f in failures):  # the reason is another process's, or host's
            since = since or time.monotonic()
            if time.monotonic() - since > _REASON_S:
                return
        meeting.look()
        if stop() and not asked:
            asked = True
            for worker in workers:
                worker.stop()
        waiting = [x for w in workers if not w.told for x in (w.pipe, w.process.sentinel)]
        connection.wait(waiting, _LOOK_S)


def _outcome(workers: list[_Worker], meeting: Meeting) -> "TrainingResult | None":
    """Return or raise what the processes told."""
    from models.training.fit import Interrupted

    failures = [f for w in workers if w.hear() and (f := w.failure()) is not None]
    if failures:
        reason = next(filter(_is_reason, failures), failures[0])
        meeting.fail(str(reason))
        raise reason
    told = [worker.told for worker in workers if worker.told is not None]
    for how, what in told:
        if how == "stopped":
            raise Interrupted(*what)
    result: TrainingResult | None = told[0][1]
    return result


def _is_reason(failure: BaseException | None) -> bool:
    """Tell whether a failure is its own, and not the echo of another."""
    lost = isinstance(failure, PeerError) and "lost its connection" in str(failure)
    return failure is not None and not lost and not isinstance(failure, EchoError)


def _work(pipe: Any, place: Place, job: Job) -> None:
    """Be a training process."""
    stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent tells us
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    told = _told(place, job, lambda: stopping.is_set() or pipe.poll())
    with suppress(OSError):  # nobody is left to hear it
        pipe.send(told)


def _told(place: Place, job: Job, stop: Callable[[], bool]) -> tuple[str, Any]:
    """Train, and return how it ended and with what."""
    import torch

    from models.training.fit import Interrupted
    from models.training.trainer import train_among

    torch.set_num_threads(job.threads)
    console = None if job.console is None or place.rank else job.console()
    try:
        with place.joined() as peers:
            result = train_among(
                place,
                peers,
                job.recipe,
                job.train,
                job.validation,
                job.out,
                test=job.test,
                resume=job.resume,
                stop=stop,
                progress=console,
                created_by=job.created_by,
            )
    except Interrupted as stopped:
        return "stopped", (stopped.folder, stopped.step, stopped.steps)
    except Exception as error:
        if hasattr(error, "exit_code"):
            return "failed", error.with_traceback(None)
        lines = "".join(traceback.format_exception(error))
        return "failed", RuntimeError(f"training process {place.rank} met a bug:\n{lines}")
    return "done", result


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
