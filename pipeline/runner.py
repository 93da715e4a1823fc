"""The supervisor of a run: starts the workers, lets them go together, leaves nothing behind.

Workers are forked from a process that has loaded what they need (`pipeline.starter`), and open
their stages side by side. When the last is ready they are let go from the sinks to the sources, so
that no source speaks before everyone listens. A run ends when every worker is done, when a stage
fails or a worker dies, or when the user stops it.
"""

import queue
import signal
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
    Compiles,
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
from pipeline.processes import Processes
from pipeline.report import Failure, StageReport
from pipeline.rundir import RunDirectory, unwritable

__all__ = ["Outcome", "Remote", "StageFailure", "run_pipeline"]

_POLL_MS = 20
_DRAIN_S = 2.5
_CLOSE_S = 1.5
_COMPILES = "compiling kernels, once for this machine: about 10 s"


class StageFailure(PipelineError):
    """A stage failed in its worker; carries the worker's exit code and traceback, if any."""

    def __init__(self, stage: str, failure: Failure) -> None:
        super().__init__(f"stage '{stage}': {failure.text}" if stage else failure.text)
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
    ready_s: float = 0.0
    """How long it took until the sources were let go; 0 where they were not."""


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
        self._processes: Processes | None = None
        self._ready: dict[str, Ready] = {}
        self._done: dict[str, Done] = {}
        self._compiles = False
        self._begun, self._ready_s = time.monotonic(), 0.0
        self._interrupts = 0
        self._drain_until: float | None = None

    def interrupt(self) -> None:
        """Ask for the run to end; a second time, without draining."""
        self._interrupts += 1

    def run(self) -> Outcome:
        self._processes = Processes(self._folder, self._prints_to)
        try:
            drained = self._supervise(self._processes)
        finally:
            self._end(self._processes)
            self._socket.close(0)
            self._context.term()
        reports = {report.name: report for done in self._done.values() for report in done.reports}
        order = [node.name for node in self._graph.nodes if node.name in reports]
        return Outcome(
            reports=[reports[name] for name in order],
            started=self._all_ready,
            interrupted=self._interrupts > 0,
            drained=drained,
            ready_s=self._ready_s,
        )

    @property
    def _all_ready(self) -> bool:
        return len(self._ready) == len(self._graph.groups)

    @property
    def _all_done(self) -> bool:
        return len(self._done) == len(self._graph.groups)

    def _supervise(self, processes: Processes) -> bool:
        """Serve the workers until all are done; return whether everything was drained."""
        stopping = False
        while not self._all_done:
            self._wait(processes, self._hear)
            lost = next((group for group in processes.codes if group not in self._done), None)
            if lost is not None or processes.over:
                # Their last words, if they had any, say more than their death.
                while self._socket.poll(0):
                    self._hear()
                if self._all_done:
                    break
                raise self._death(processes, lost)
            if self._all_ready:
                self._obey()
            if self._interrupts and not stopping:
                stopping = True
                if not self._all_ready:
                    return True
                self._drain_until = time.monotonic() + _DRAIN_S
                self._tell_all(Stop())
            if self._drain_until is not None and (
                self._interrupts > 1 or time.monotonic() > self._drain_until
            ):
                return False
        return True

    def _wait(self, processes: Processes, hear: Callable[[], None]) -> None:
        """Hear whoever speaks, or wait a moment for somebody to."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(processes, zmq.POLLIN)
        poller.poll(_POLL_MS)
        processes.read()
        while self._socket.poll(0):
            hear()

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
        elif isinstance(message, Compiles):
            self._say_that_it_compiles()
        else:
            self._ready[group] = message
            if self._all_ready:
                self._ready_s = time.monotonic() - self._begun
                ready = self._ready.values()
                self._obey()
                self._tell_all(Go({k: v for each in ready for k, v in each.endpoints.items()}))

    def _death(self, processes: Processes, group: str | None) -> PipelineError:
        if group is None:
            return StageError(
                "the process from which all stages are started was killed;"
                " if nobody did that, memory may have run out"
            )
        names = " + ".join(f"'{node.name}'" for node in self._graph.groups[group])
        code, who = processes.codes[group], f"its process {processes.pids[group]}"
        if code >= 0:
            return StageError(f"stage {names}: {who} ended with exit code {code}")
        with suppress(ValueError):
            return StageError(
                f"stage {names}: {who} was killed by {signal.Signals(-code).name};"
                " if nobody did that, memory may have run out"
            )
        return StageError(f"stage {names}: {who} was killed by signal {-code}")

    def _tell_all(self, order: ToWorker) -> None:
        """Tell every worker, sinks first."""
        for group in reversed(self._graph.groups):
            self._socket.send_multipart([group.encode(), msgspec.msgpack.encode(order)])

    def _end(self, processes: Processes) -> None:
        """Let workers leave in order; insist where they do not."""
        self._tell_all(Exit() if self._all_done else Abort())
        self._wait_until_gone(processes, _CLOSE_S if processes.pids else 0)
        if not processes.gone:
            processes.kill()
            self._wait_until_gone(processes, _CLOSE_S)
        processes.close()

    def _wait_until_gone(self, processes: Processes, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not processes.gone and time.monotonic() < deadline:
            self._wait(processes, self._hear_last_words)

    def _hear_last_words(self) -> None:
        """Keep what a worker that was told to give up has counted until then."""
        identity, body = self._socket.recv_multipart()
        message = msgspec.msgpack.decode(body, type=FromWorker)
        if isinstance(message, Done):
            self._done.setdefault(identity.decode(), message)

    def _say_that_it_compiles(self) -> None:
        if not self._compiles:
            self._compiles = True
            print(_COMPILES, file=sys.stderr, flush=True)
