"""The supervisor of a run: starts the workers, lets them go together, leaves nothing behind.

Workers are started at once and open their stages side by side. When the last is ready they are let
go from the sinks to the sources, so that no source speaks before everyone listens. A run ends when
every worker is done, when a stage fails or a worker dies, or when the user stops it.
"""

import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

import msgspec
import setproctitle
import zmq

from pipeline.config import PipelineConfig
from pipeline.control import (
    Abort,
    Done,
    Exit,
    Failed,
    FromWorker,
    Go,
    Pause,
    Plan,
    Ready,
    Resume,
    Step,
    Stop,
    ToWorker,
)
from pipeline.errors import PipelineError, StageError
from pipeline.graph import Graph
from pipeline.report import Failure, StageReport
from pipeline.rundir import RunDirectory, unwritable

__all__ = ["Outcome", "Remote", "StageFailure", "run_pipeline"]

_POLL_MS = 20
_DRAIN_S = 2.5
_CLOSE_S = 1.5


class StageFailure(PipelineError):
    """A stage failed in its worker; carries the worker's exit code and traceback, if any."""

    def __init__(self, stage: str, failure: Failure) -> None:
        super().__init__(f"stage '{stage}': {failure.text}")
        self.exit_code = failure.exit_code
        self.details = failure.details


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended that did not fail."""

    reports: list[StageReport]
    started: bool
    """Every stage had become ready, and the sources were let go."""
    interrupted: bool
    """The user stopped it."""
    drained: bool
    """Everything that the sources had sent was worked on to its end."""


class Remote:
    """Steers a run from another thread: pause, single step, resume, stop.

    Hand it to `run_pipeline`. What is asked for before the run has started is done when it does,
    so that a run can start paused. A turn of a source is one batch of its events, or a millisecond
    of them where it is paced.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[ToWorker] = queue.SimpleQueue()

    def pause(self) -> None:
        """Let nothing more leave the sources; what is on its way is worked on."""
        self._orders.put(Pause())

    def step(self, turns: int = 1) -> None:
        """Pause, and let so many further turns leave each source."""
        if turns < 1:
            raise ValueError(f"turns must be >= 1, got {turns}")
        self._orders.put(Step(turns))

    def resume(self) -> None:
        """Let the sources play on; their clocks go on from where they were."""
        self._orders.put(Resume())

    def stop(self) -> None:
        """End the run as Ctrl-C does: sources stop, what is on its way is worked on."""
        self._orders.put(Stop())

    def next_order(self) -> ToWorker | None:
        """Return the oldest order that was not carried out, None if there is none."""
        try:
            return self._orders.get_nowait()
        except queue.Empty:
            return None


def run_pipeline(
    config: PipelineConfig,
    graph: Graph,
    prints_to: IO[str] | None = None,
    remote: Remote | None = None,
) -> Outcome:
    """Run a checked graph to its end.

    Args:
        config: the file that the graph was built from.
        graph: what to run.
        prints_to: where stages print; the caller's standard output when left out.
        remote: steers the run while it lasts.

    Raises:
        StageFailure: a stage failed.
        StageError: the process of a stage died.
    """
    with RunDirectory() as folder:
        run_id = f"{graph.name}-{folder.name[-4:]}"
        plan = Plan(str(config.path), dict(config.tables), list(config.overrides), run_id)
        try:
            (folder / "plan").write_bytes(msgspec.msgpack.encode(plan))
        except OSError as error:
            raise unwritable(folder, error) from None
        setproctitle.setproctitle(f"pipeline: {run_id}")
        supervisor = _Supervisor(graph, folder, prints_to, remote or Remote())
        with _Signals(supervisor.interrupt):
            return supervisor.run()


class _Signals:
    """Routes Ctrl-C and SIGTERM to one handler while the run lasts."""

    def __init__(self, handler: Callable[[], None]) -> None:
        self._handler = handler
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        def handle(_number: int, _frame: FrameType | None) -> None:
            self._handler()

        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # not the main thread: signals stay where they are
                self._before[number] = signal.signal(number, handle)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class _Supervisor:
    def __init__(
        self, graph: Graph, folder: Path, prints_to: IO[str] | None, remote: Remote
    ) -> None:
        self._graph = graph
        self._remote = remote
        self._prints_to = prints_to
        self._folder = folder
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(f"ipc://{folder}/control")
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._ready: dict[str, Ready] = {}
        self._done: dict[str, Done] = {}
        self._interrupts = 0
        self._drain_until: float | None = None

    def interrupt(self) -> None:
        """Ask for the run to end; a second time, without draining."""
        self._interrupts += 1

    def run(self) -> Outcome:
        try:
            for group in self._graph.groups:
                self._workers[group] = self._start(group)
            drained = self._supervise()
        finally:
            self._end_workers()
            self._socket.close(0)
            self._context.term()
        reports = {report.name: report for done in self._done.values() for report in done.reports}
        order = [node.name for node in self._graph.nodes if node.name in reports]
        return Outcome(
            reports=[reports[name] for name in order],
            started=len(self._ready) == len(self._graph.groups),
            interrupted=self._interrupts > 0,
            drained=drained,
        )

    def _start(self, group: str) -> "subprocess.Popen[bytes]":
        # -P keeps the working directory out of the import path: its folders may be named like ours.
        command = [sys.executable, "-P", "-m", "pipeline.worker", str(self._folder), group]
        # Ctrl-C goes to every process of the terminal, and a service manager's SIGTERM to the
        # whole group. What they mean the supervisor decides: workers inherit them blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._prints_to)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _supervise(self) -> bool:
        """Serve the workers until all are done; return whether everything was drained."""
        stopping = False
        while len(self._done) < len(self._workers):
            while self._socket.poll(_POLL_MS):
                self._hear()
            for group, worker in self._workers.items():
                if worker.poll() is not None and group not in self._done:
                    # Its last words, if it had any, say more than its death.
                    while self._socket.poll(0):
                        self._hear()
                    raise self._death(group, worker.returncode)
            if len(self._done) == len(self._workers):
                break
            if len(self._ready) == len(self._workers):
                self._obey()
            if self._interrupts and not stopping:
                stopping = True
                if len(self._ready) < len(self._workers):
                    return True
                self._drain_until = time.monotonic() + _DRAIN_S
                self._tell_all(Stop())
            if self._drain_until is not None and (
                self._interrupts > 1 or time.monotonic() > self._drain_until
            ):
                return False
        return True

    def _obey(self) -> None:
        while (order := self._remote.next_order()) is not None:
            if isinstance(order, Stop):
                self.interrupt()
            else:
                self._tell_all(order)

    def _hear(self) -> None:
        identity, body = self._socket.recv_multipart()
        group = identity.decode()
        message = msgspec.msgpack.decode(body, type=FromWorker)
        if isinstance(message, Failed):
            raise StageFailure(message.stage, message.failure)
        if isinstance(message, Done):
            self._done[group] = message
            return
        self._ready[group] = message
        if len(self._ready) == len(self._workers):
            endpoints = {k: v for ready in self._ready.values() for k, v in ready.endpoints.items()}
            self._obey()
            self._tell_all(Go(endpoints))

    def _death(self, group: str, code: int) -> PipelineError:
        names = " + ".join(f"'{node.name}'" for node in self._graph.groups[group])
        if code >= 0:
            how = f"ended with exit code {code}"
        else:
            with suppress(ValueError):
                return StageError(
                    f"stage {names}: its process {self._workers[group].pid} was killed by"
                    f" {signal.Signals(-code).name}; if nobody did that, memory may have run out"
                )
            how = f"was killed by signal {-code}"
        return StageError(f"stage {names}: its process {self._workers[group].pid} {how}")

    def _tell_all(self, order: ToWorker) -> None:
        """Tell every worker, sinks first."""
        for group in reversed(self._workers):
            self._socket.send_multipart([group.encode(), msgspec.msgpack.encode(order)])

    def _end_workers(self) -> None:
        """Let workers leave in order; insist where they do not."""
        finished = len(self._done) == len(self._workers)
        self._tell_all(Exit() if finished else Abort())
        self._wait_for_workers(_CLOSE_S)
        for worker in self._workers.values():
            worker.kill()
            worker.wait()
            if worker.stdin is not None:
                worker.stdin.close()

    def _wait_for_workers(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            there = [worker for worker in self._workers.values() if worker.poll() is None]
            while self._socket.poll(_POLL_MS if there else 0):
                self._hear_last_words()
            if not there:
                return

    def _hear_last_words(self) -> None:
        """Keep what a worker that was told to give up has counted until then."""
        identity, body = self._socket.recv_multipart()
        message = msgspec.msgpack.decode(body, type=FromWorker)
        if isinstance(message, Done):
            self._done.setdefault(identity.decode(), message)
