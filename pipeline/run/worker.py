"""A worker: the process that runs the stages of one group, each in a thread of its own.

It is a fork of the starter (`pipeline.run.starter`). Its main thread listens to the supervisor; the
stages' threads own their queues. Its standard input is a pipe from the supervisor: when that
closes, the supervisor is gone, and so is the worker.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import setproctitle
import zmq

from pipeline.checkpoint.folder import read_checkpoint
from pipeline.observe.trace import TracedPulse
from pipeline.queue.guard import host_guard, run_guard
from pipeline.queue.keys import keys_folder
from pipeline.report import StageReport, failure_of
from pipeline.run.control import (
    Abort,
    Alive,
    Checkpoint,
    Compiles,
    Done,
    Exit,
    Failed,
    Forget,
    FromWorker,
    Go,
    Level,
    Order,
    Pause,
    Ready,
    Resume,
    Speed,
    Step,
    Stop,
    ToWorker,
)
from pipeline.run.playback import Playback
from pipeline.run.stage_thread import Assignment, Bell, StageThread

__all__ = ["tell_failure", "work"]

_LAST_WORDS_MS = 500


class _Worker:
    def __init__(self, task: Assignment) -> None:
        nodes = task.graph.groups[task.group]
        names = "+".join(node.name for node in nodes)
        setproctitle.setproctitle(f"pipeline: {task.plan.run_id}/{names}")
        saved = None if task.checkpoint is None else read_checkpoint(task.checkpoint)
        # The stages' context ends on an abort; what is said to the supervisor goes on.
        self._stage_context = zmq.Context()
        if task.graph.hosts:
            guard = host_guard(self._stage_context, keys_folder())
        else:
            guard = run_guard(self._stage_context, task.folder)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, task.group.encode())
        self._socket.connect(task.control)
        self._bell = Bell()
        self._beat_s = task.plan.beat_s
        self._threads = []
        arrived = [] if saved is None else [c for part in saved.stages for c in part.received]
        for node in nodes:
            if saved is not None:
                node.stage.resumes = True
            state = None if saved is None else saved.of(node.name)
            thread = StageThread(node, task, self._stage_context, guard, self._bell, state, arrived)
            self._threads.append(thread)
        self._compiles = _Compiles()

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        self._until(lambda: all(thread.ready.is_set() for thread in self._threads))
        endpoints = {k: v for thread in self._threads for k, v in thread.endpoints.items()}
        self._tell(Ready(endpoints))
        self._until(lambda: all(thread.over.is_set() for thread in self._threads))
        # How it stood at the end is what whoever watches the run goes on seeing.
        self._tell_of_the_stages()
        self._tell(Done(self._reports()))
        self._until(lambda: False)

    def _until(self, reached: Callable[[], bool]) -> None:
        """Serve the supervisor until ``reached``; a stage's failure is told at once."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        beat_s = 0.0
        while True:
            # Asked in this order: a thread that has ended has left its failure behind by then.
            over = reached()
            for thread in self._threads:
                while not thread.kept.empty():
                    self._tell(thread.kept.get())
            failures = [thread.failure for thread in self._threads if thread.failure is not None]
            if failures:
                for thread in self._threads:
                    thread.failure = None
                self._tell(failures[0])
                reached = _never
            elif over:
                return
            if self._compiles.is_news():
                self._tell(Compiles())
            if time.monotonic() >= beat_s:
                # All workers of a machine speak at once, so that what they say of a queue fits.
                beat_s = (time.monotonic() // self._beat_s + 1) * self._beat_s
                self._tell_of_the_stages()
            # Not for longer than a beat, and Numba rings no bell either.
            poller.poll(max(1, round((beat_s - time.monotonic()) * 1000)))
            self._bell.hush()
            while self._socket.poll(0):
                self._obey(msgspec.msgpack.decode(self._socket.recv(), type=ToWorker))

    def _obey(self, order: ToWorker) -> None:
        if isinstance(order, Go):
            for thread in self._threads:
                thread.go(order.endpoints)
        elif isinstance(order, Checkpoint):
            for thread in self._threads:
                thread.playback.checkpoint(order.number, order.oldest)
        elif isinstance(order, Level):
            for thread in self._threads:
                thread.level = order.level
        elif isinstance(order, Pause | Step | Resume | Speed | Forget | Stop):
            for thread in self._threads:
                _tell(thread.playback, order)
        elif isinstance(order, Abort | Exit):
            for thread in self._threads:
                thread.give_up()
            self._stage_context.term()
            for thread in self._threads:
                thread.join()
            if isinstance(order, Abort):
                self._tell(Done(self._reports()))
            self._socket.close(_LAST_WORDS_MS)
            self._context.term()
            raise SystemExit(0)

    def _reports(self) -> list[StageReport]:
        return [thread.report for thread in self._threads if thread.report is not None]

    def _tell_of_the_stages(self) -> None:
        self._tell(Alive([thread.status() for thread in self._threads]))
        for thread in self._threads:
            if isinstance(thread.pulse, TracedPulse):
                traced = thread.pulse.traced(thread.node.name)
                if traced.spans:
                    self._tell(traced)

    def _tell(self, message: FromWorker) -> None:
        self._socket.send(msgspec.msgpack.encode(message))


def _tell(playback: Playback, order: Order) -> None:
    if isinstance(order, Pause):
        playback.pause()
    elif isinstance(order, Step):
        playback.step(order.turns)
    elif isinstance(order, Resume):
        playback.resume()
    elif isinstance(order, Speed):
        playback.play_at(order.speed)
    elif isinstance(order, Forget):
        playback.forget()
    else:
        playback.stop()


def _never() -> bool:
    return False


class _Compiles:
    """Whether Numba has begun to compile what it does not have in its cache."""

    def __init__(self) -> None:
        self._told = "numba" not in sys.modules
        if not self._told:
            from numba.core.event import RecordingListener, register

            self._compilations = RecordingListener()  # type: ignore[no-untyped-call]
            register("numba:compile", self._compilations)  # type: ignore[no-untyped-call]

    def is_news(self) -> bool:
        """Tell it once."""
        if self._told or not self._compilations.buffer:
            return False
        self._told = True
        return True


_PR_SET_PDEATHSIG = 1


def _die_with_starter(starter: int) -> None:
    """Be killed when the starter ends, also while stopped: a file that is kept open is locked."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != starter:
        os.kill(os.getpid(), signal.SIGKILL)


def _die_with_supervisor(folder: Path) -> None:
    """From now on wait for the end of standard input, then leave nothing behind."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def work(task: Assignment) -> None:
    """Run one group of a run; the process is its own, and no stage of it is open."""
    _die_with_starter(task.starter)
    _die_with_supervisor(task.folder)
    try:
        worker = _Worker(task)
    except Exception as error:
        tell_failure(task.control, task.group, error)
        return
    worker.run()


def tell_failure(control: str, name: str, error: Exception) -> None:
    """Report a failure from before a worker stood; wait until it is heard.

    Args:
        control: where the supervisor listens.
        name: of the group, or "" where it is all of them.
        error: what went wrong.
    """
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.IDENTITY, (name or "starter").encode())
        socket.linger = 2000
        socket.connect(control)
        socket.send(msgspec.msgpack.encode(Failed(name, failure_of(error))))
        socket.poll(2000)
