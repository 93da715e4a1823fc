"""One generation of a run's workers: from their start to their end, or to the first that fails.

Workers open their stages side by side. When the last is ready they are let go from the sinks to the
sources, so that no source speaks before everyone listens. A generation ends when every worker is
done, when a stage fails, when a worker dies or falls silent, or when the user stops it.
"""

import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import zmq

from pipeline.checkpoint.progress import Progress
from pipeline.config import SupervisionConfig
from pipeline.errors import PipelineError, StageError
from pipeline.graph import Graph
from pipeline.hosts.others import Hosts
from pipeline.observe.status import StageStatus
from pipeline.observe.trace import Trace
from pipeline.queue.overload import Ladder
from pipeline.report import Failure, StageReport
from pipeline.run.control import (
    Abort,
    Alive,
    Checkpoint,
    Compiles,
    Done,
    Exit,
    Failed,
    FromWorker,
    Go,
    Kept,
    Level,
    Ready,
    Stop,
    ToWorker,
    Traced,
)
from pipeline.run.processes import Processes
from pipeline.run.stage_thread import control_endpoint

__all__ = ["Generation", "StageFailure"]

_POLL_MS = 20
_DRAIN_S = 2.5
_CLOSE_S = 1.5
_COMPILES = "compiling kernels, once for this machine: about 10 s"


class StageFailure(PipelineError):
    """A stage failed in its worker; carries the worker's exit code and traceback, if any."""

    def __init__(self, stage: str, failure: Failure, host: str = "") -> None:
        where = f" on host '{host}'" if host else ""
        super().__init__(f"stage '{stage}'{where}: {failure.text}" if stage else failure.text)
        self.exit_code = failure.exit_code
        self.details = failure.details


class Generation:
    """The workers, as their supervisor sees them.

    Args:
        graph: what they run.
        folder: the run's.
        number: counts the generations of a run.
        limits: when a worker is taken for dead.
        progress: what is kept of them in checkpoints; None where none are made.
        hosts: on which some of them run; None where all are here.
        ladder: what overload makes them give up; None where nothing is.
        trace: gathers what they did; None where nothing does.

    Attributes:
        number: which generation of the run it is.
        ready_s: how long it took until every stage was ready, and the sources were let go.
        let_go_s: when that was, by the monotonic clock.
        stages: what each was doing when it was last heard of.
    """

    def __init__(
        self,
        graph: Graph,
        folder: Path,
        number: int,
        limits: SupervisionConfig,
        progress: Progress | None,
        hosts: Hosts | None = None,
        ladder: Ladder | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._trace = trace
        self._ladder = ladder
        self._hosts = hosts
        self._graph, self.number, self._limits = graph, number, limits
        self._progress = progress
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(control_endpoint(folder, number))
        self._ready: dict[str, Ready] = {}
        self._done: dict[str, Done] = {}
        self._heard_s: dict[str, float] = {}
        self.stages: dict[str, StageStatus] = {}
        self._begun_s = self._looked_s = self._awake_s = time.monotonic()
        self.ready_s = self.let_go_s = 0.0
        self._told_stop = self._compiles = False
        self._next_order: Callable[[], ToWorker | None] = lambda: None
        self._drain_until: float | None = None

    @property
    def started(self) -> bool:
        """Whether every stage has become ready."""
        return len(self._ready) == len(self._graph.groups)

    def reports(self) -> list[StageReport]:
        """Return what the stages reported, in the order of the graph."""
        reports = {report.name: report for done in self._done.values() for report in done.reports}
        return [reports[node.name] for node in self._graph.nodes if node.name in reports]

    def serve(
        self,
        processes: Processes,
        checkpoint: Path | None,
        next_order: Callable[[], ToWorker | None],
        interrupts: Callable[[], int],
        watch: Callable[[], None] = lambda: None,
    ) -> bool:
        """Start the workers and serve them until all are done or told to stop.

        Args:
            processes: none of an older generation is left.
            checkpoint: to go on from.
            next_order: what the user wants of sources that play.
            interrupts: how often the user has asked for the end.
            watch: called again and again meanwhile.

        Returns:
            Whether everything that the sources had sent was worked on.

        Raises:
            StageFailure: a stage failed.
            StageError: a process died, or fell silent.
        """
        self._next_order, self._begun_s = next_order, time.monotonic()
        loaded = processes.loaded
        processes.start(self.number, checkpoint)
        while not self._all_done:
            self._wait(processes)
            watch()
            self._bury(processes)
            if self._all_done:
                break
            waited_s = time.monotonic() - self._begun_s
            if loaded and not processes.pids and waited_s > self._limits.silent_s:
                processes.kill_starter()
            if self.started:
                self._go_on()
            self._look_for_the_silent(processes)
            if interrupts() and not self._told_stop:
                if not self.started:
                    return True
                self._stop()
            if self._drain_until is not None and (
                interrupts() > 1 or time.monotonic() > self._drain_until
            ):
                return False
        return True

    def end(self, processes: Processes) -> None:
        """Let workers leave in order; insist where they do not."""
        self._tell_all(Exit() if self._all_done else Abort())
        deadline = time.monotonic() + (_CLOSE_S if processes.pids or self._hosts else 0)
        while not self._gone(processes) and time.monotonic() < deadline:
            self._wait(processes, last_words=True)
        deadline = time.monotonic() + _CLOSE_S
        while not self._gone(processes) and time.monotonic() < deadline:
            processes.kill()
            if self._hosts is not None:
                self._hosts.kill()
            self._wait(processes, last_words=True)
        self._socket.close(0)
        self._context.term()

    @property
    def _all_done(self) -> bool:
        return len(self._done) == len(self._graph.groups)

    def _wait(self, processes: Processes, last_words: bool = False) -> None:
        """Hear whoever speaks, or wait a moment for somebody to."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(processes, zmq.POLLIN)
        if self._hosts is not None:
            poller.register(self._hosts.socket, zmq.POLLIN)
        poller.poll(_POLL_MS)
        self._look_at_the_clock()
        processes.read()
        self._hear_all(last_words)

    def _hear_all(self, last_words: bool) -> None:
        while self._socket.poll(0):
            identity, body = self._socket.recv_multipart()
            self._hear(identity.decode(), body, last_words)
        if self._hosts is not None:
            try:
                said = self._hosts.read()
                self._hosts.look()
            except StageError:
                if not last_words:
                    raise
            else:
                for group, body in said:
                    self._hear(group, body, last_words)

    def _gone(self, processes: Processes) -> bool:
        """Whether no worker is left, here or on another host."""
        return processes.gone and (self._hosts is None or self._hosts.gone)

    def _hear(self, group: str, body: bytes, last_words: bool) -> None:
        self._heard_s[group] = time.monotonic()
        message: FromWorker = msgspec.msgpack.decode(body, type=FromWorker)
        if isinstance(message, Done):
            # What a worker that was told to give up has counted until then is told too.
            self._done.setdefault(group, message)
        elif isinstance(message, Traced):
            if self._trace is not None:
                self._trace.take(message)
        elif last_words:
            pass
        elif isinstance(message, Failed):
            raise StageFailure(message.stage, message.failure, self._host_of(group))
        elif isinstance(message, Compiles):
            self._say_that_it_compiles()
        elif isinstance(message, Alive):
            self._take_pulse(message)
        elif isinstance(message, Kept):
            if self._progress is not None and not self._told_stop:
                self._progress.keep(message)
        else:
            self._ready[group] = message
            if self.started:
                self._let_go()

    def _let_go(self) -> None:
        self.let_go_s = time.monotonic()
        self.ready_s = self.let_go_s - self._begun_s
        endpoints = {k: v for each in self._ready.values() for k, v in each.endpoints.items()}
        self._pass_on_orders()  # a run can be paused before it has begun
        self._tell_all(Go(endpoints))

    def _pass_on_orders(self) -> None:
        while (order := self._next_order()) is not None:
            self._tell_all(order)

    def _go_on(self) -> None:
        self._pass_on_orders()
        if self._progress is not None and not self._told_stop:
            number = self._progress.due()
            if number is not None:
                self._tell_all(Checkpoint(number, self._progress.oldest))

        if self._ladder is not None and self._ladder.step(time.monotonic()):
            self._tell_all(Level(self._ladder.level))
            if self._ladder.remark:
                print(self._ladder.remark, file=sys.stderr, flush=True)

    def _stop(self) -> None:
        self._told_stop = True
        self._drain_until = time.monotonic() + _DRAIN_S
        self._tell_all(Stop())

    def _bury(self, processes: Processes) -> None:
        """Raise if a process has ended that was not done."""
        codes = dict(processes.codes)
        if self._hosts is not None:
            codes |= self._hosts.codes
        lost = next((group for group in codes if group not in self._done), None)
        if lost is None and not processes.over:
            return
        # Their last words, if they had any, say more than their death.
        self._hear_all(last_words=False)
        if self._all_done or (lost in self._done and not processes.over):
            return
        if lost is None:
            raise StageError(
                "the process from which all stages are started was killed;"
                " if nobody did that, memory may have run out"
            )
        code, who = codes[lost], self._process_of(lost, processes)
        if code >= 0:
            raise StageError(f"{self._named(lost)}: {who} ended with exit code {code}")
        name = f"signal {-code}"
        with suppress(ValueError):
            name = signal.Signals(-code).name
        raise StageError(
            f"{self._named(lost)}: {who} was killed by {name};"
            " if nobody did that, memory may have run out"
        )

    def _look_for_the_silent(self, processes: Processes) -> None:
        """Raise if a worker has said nothing for too long, and kill it."""
        now, limit, option = time.monotonic(), self._limits.silent_s, "silent_s"
        if not self.started and limit < self._limits.stuck_s:
            # While it imports torch from a slow disk a worker cannot speak.
            limit, option = self._limits.stuck_s, "stuck_s"
        for group in self._graph.groups:
            silent_s = now - self._heard_s.setdefault(group, now)
            there = self._hosts is not None and group in self._hosts
            if silent_s <= limit or group in self._done or not (there or group in processes.pids):
                continue
            processes.kill([group])
            if self._hosts is not None and there:
                self._hosts.kill(group)
            raise StageError(
                f"{self._named(group)}: {self._process_of(group, processes)} has not answered for"
                f" {silent_s:.1f} s (supervision.{option} = {limit:g}); was it stopped, or is the"
                " machine overloaded?"
            )

    def _look_at_the_clock(self) -> None:
        """Give all their time anew where we were stopped ourselves, and they with us perhaps."""
        now = time.monotonic()
        if now - self._looked_s > self._limits.silent_s / 2:
            self._heard_s = dict.fromkeys(self._heard_s, now)
            self._awake_s = now
        self._looked_s = now

    def _take_pulse(self, message: Alive) -> None:
        """Raise if a stage hangs."""
        limit = self._limits.stuck_s
        for stage in message.stages:
            self.stages[stage.name] = stage
            if self._ladder is not None:
                self._ladder.hear(stage.name, stage.lag_s, stage.offered, stage.pressed)
            if min(stage.busy_s, time.monotonic() - self._awake_s) > limit:
                raise StageError(
                    f"stage '{stage.name}': has been busy with one message for {stage.busy_s:.1f} s"
                    f" (supervision.stuck_s = {limit:g}); it hangs, or needs a higher limit"
                )

    def _host_of(self, group: str) -> str:
        """Return on which other host a group runs, "" if it does here."""
        nodes = self._graph.groups.get(group)
        return nodes[0].host if nodes else ""

    def _process_of(self, group: str, processes: Processes) -> str:
        if host := self._host_of(group):
            return f"its process on host '{host}'"
        return f"its process {processes.pids.get(group, '')}".rstrip()

    def _named(self, group: str) -> str:
        return "stage " + " + ".join(f"'{node.name}'" for node in self._graph.groups[group])

    def _tell_all(self, order: ToWorker) -> None:
        """Tell every worker, sinks first."""
        for group in reversed(self._graph.groups):
            body = msgspec.msgpack.encode(order)
            if self._hosts is not None and group in self._hosts:
                self._hosts.tell(group, body)
            else:
                self._socket.send_multipart([group.encode(), body])

    def _say_that_it_compiles(self) -> None:
        if not self._compiles:
            self._compiles = True
            print(_COMPILES, file=sys.stderr, flush=True)
