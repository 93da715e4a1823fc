"""What supervises a run: it starts generation after generation, until one has come to its end.

Workers are forked from a process that has loaded what they need (`pipeline.run.starter`). With
checkpoints the run goes on from the last one when one of them fails, dies or hangs: all of them are
started again, and put back to it. Without, the run fails.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from pipeline.checkpoint.progress import Progress
from pipeline.config import SupervisionConfig
from pipeline.errors import CheckpointError, PipelineError, StageError
from pipeline.graph import Graph
from pipeline.hosts.others import Hosts
from pipeline.observe.board import Board
from pipeline.observe.status import EdgeStatus, RunStatus
from pipeline.observe.trace import Trace
from pipeline.ports import PredictionsPort
from pipeline.queue.overload import Ladder
from pipeline.run.control import Plan, Stop, ToWorker
from pipeline.run.folder import unwritable
from pipeline.run.generation import Generation
from pipeline.run.interrupts import Interrupts
from pipeline.run.outcome import Outcome, Restart
from pipeline.run.processes import Processes
from pipeline.run.remote import Remote

__all__ = ["Supervisor"]

_POLL_S = 0.02


class _Crash:
    """What made a generation end before its time."""

    def __init__(self, cause: str, seen_s: float) -> None:
        self.cause, self._seen_s = cause, seen_s
        self.checkpoint = 0
        self._followed_by: Generation | None = None

    def follow(self, generation: Generation) -> None:
        """Take note of the next start; those before it may have failed before they were let go."""
        if self._followed_by is None or not self._followed_by.let_go_s:
            self._followed_by = generation

    def restart(self, begun_s: float) -> Restart:
        assert self._followed_by is not None
        up_s = self._followed_by.let_go_s or time.monotonic()  # stopped before it was let go
        down_s = up_s - self._seen_s
        return Restart(
            self.cause, self.checkpoint, round(self._seen_s - begun_s, 3), round(down_s, 3)
        )


def _carried(graph: Graph) -> dict[str, tuple[str, str, str]]:
    """Return of each queue its kind, who takes it, and what the scores of predictions are."""
    ports = {
        (node.name, source): port
        for node in graph.nodes
        for source, port in zip(node.inputs, node.stage.inputs, strict=True)
    }
    uses = {node.name: node.use for node in graph.nodes}
    carried = {}
    for edge in graph.edges:
        port = ports[edge.receiver, edge.source]
        scores = port.scores if isinstance(port, PredictionsPort) else ""
        carried[edge.name] = port.kind, uses[edge.receiver], scores
    return carried


def _told_more(error: PipelineError, more: str) -> PipelineError:
    error.args = (f"{error}; {more}",)
    return error


class Supervisor:
    """Runs a graph in the processes of its folder; see `pipeline.run.runner.run_pipeline`."""

    def __init__(
        self,
        graph: Graph,
        folder: Path,
        plan: Plan,
        prints_to: IO[str] | None,
        remote: Remote,
        limits: SupervisionConfig,
        progress: Progress | None,
        hosts: Hosts | None,
        without: Callable[[Sequence[str]], tuple[Graph, list[str]] | None],
        ladder: Ladder | None,
        watch: Callable[[RunStatus], None],
        trace: Trace | None,
    ) -> None:
        self._trace = trace
        self._hosts, self._ladder, self._watch = hosts, ladder, watch
        self._without = without
        self._graph, self._folder, self._plan = graph, folder, plan
        self._prints_to, self._remote = prints_to, remote
        self._limits, self._progress = limits, progress
        self._board = Board(folder)
        self._over = False
        self._carried = _carried(graph)
        self._generation: Generation | None = None
        self._begun_s = time.monotonic()
        self.interrupts = Interrupts()
        self._crashes: list[_Crash] = []
        self._in_vain = 0
        """Restarts since the run last worked for a while."""

    def run(self) -> Outcome:
        """Start generation after generation, until one has come to its end."""
        processes: Processes | None = None
        ready_s = 0.0
        try:
            self._write_plan()
            while True:
                moved = self._hosts is not None and self._wait_for(self._hosts)
                if processes is None or processes.over or moved:
                    processes = self._load(processes)
                number = len(self._crashes)
                generation = Generation(
                    self._graph,
                    self._folder,
                    number,
                    self._limits,
                    self._progress,
                    self._hosts,
                    self._ladder,
                    self._trace,
                )
                if self._ladder is not None:
                    self._ladder.begin_anew(time.monotonic())
                for crash in self._crashes:
                    crash.follow(generation)
                self._generation = generation
                error: PipelineError | None = None
                drained = False
                try:
                    drained = self._serve(generation, processes)
                except PipelineError as failure:
                    error = failure
                    self._crashes.append(_Crash(str(failure), time.monotonic()))
                finally:
                    generation.end(processes)
                if error is not None:
                    self._hold_on(error, generation)
                    continue
                ready_s = ready_s or generation.ready_s
                return Outcome(
                    reports=generation.reports(),
                    started=generation.started,
                    interrupted=self.interrupts.count > 0,
                    drained=drained,
                    ready_s=ready_s,
                    restarts=[crash.restart(self._begun_s) for crash in self._crashes],
                    overload=None if self._ladder is None else self._ladder.result(),
                    hosts=[] if self._hosts is None else self._hosts.status(),
                )
        finally:
            if processes is not None:
                processes.close()
            self._over = True
            self._board.show_last(self._told())
            self._board.close()

    def _hold_on(self, error: PipelineError, generation: Generation) -> None:
        """Wait as long as is due before the next start; raise where there must be none."""
        progress, limits = self._progress, self._limits
        if self.interrupts.count:
            raise _told_more(error, "go on with --resume") if progress is not None else error
        # What is wrong from the beginning is no crash.
        hopeless = error.exit_code != 1 or not (generation.started or len(self._crashes) > 1)
        if progress is None or progress.path is None or hopeless:
            raise error
        try:
            progress.look_again()
        except CheckpointError as none_left:
            raise _told_more(error, str(none_left)) from None
        resume = "go on with --resume"
        # A stage that always fails at the same event may get past a checkpoint every time.
        worked_s = time.monotonic() - generation.let_go_s if generation.started else 0.0
        self._in_vain = 1 if worked_s >= limits.well_after_s else self._in_vain + 1
        if self._in_vain > limits.restarts:
            raise _told_more(
                error,
                f"given up after {limits.restarts} restarts, the last from checkpoint"
                f" {progress.number}; mend it, then {resume}",
            )
        self._crashes[-1].checkpoint = progress.number
        print(f"{error}; going on from checkpoint {progress.number}", file=sys.stderr, flush=True)
        pause_s = limits.backoff_s * 2 ** (self._in_vain - 2) if self._in_vain > 1 else 0.0
        until_s = time.monotonic() + min(pause_s, limits.backoff_max_s)
        while time.monotonic() < until_s and not self.interrupts.count:
            time.sleep(_POLL_S)
            self._keep_in_touch()
        if self.interrupts.count:
            raise _told_more(error, f"stopped before the run went on; {resume}")

    def _load(self, old: Processes | None) -> Processes:
        if old is not None:
            old.close()
        self._write_plan()
        return Processes(self._folder, self._prints_to)

    def _write_plan(self) -> None:
        """Lay down what the processes are built by; it also tells others that there is a run."""
        plan = self._plan
        if self._progress is not None and self._progress.path is not None:
            plan = msgspec.structs.replace(plan, resumes=True)
        try:
            (self._folder / "plan").write_bytes(msgspec.msgpack.encode(plan))
        except OSError as error:
            raise unwritable(self._folder, error) from None

    def _serve(self, generation: Generation, processes: Processes) -> bool:
        path = None
        if self._progress is not None:
            self._progress.go_on(self._progress.path, self._progress.number)
            path = self._progress.path
        if self._hosts is not None:
            if self.interrupts.count:
                return True  # before it began
            self._launch_on_hosts(self._hosts, generation, path)
        return generation.serve(
            processes, path, self._next_order, lambda: self.interrupts.count, self._show
        )

    def _launch_on_hosts(self, hosts: Hosts, generation: Generation, path: Path | None) -> None:
        """Start the workers of all hosts, which are there."""
        saved = None if path is None else path.read_bytes()
        plan = msgspec.structs.replace(self._plan, resumes=path is not None)
        hosts.launch(generation.number, msgspec.msgpack.encode(plan), saved)

    def _wait_for(self, hosts: Hosts) -> bool:
        """Wait until all hosts are there; return whether stages have gone to others meanwhile."""
        told: list[str] = []
        moved, since_s = False, time.monotonic()
        self._keep_in_touch()
        while not hosts.ready and not self.interrupts.count:
            missing = hosts.missing
            if missing and missing != told:
                told = missing
                on = "; ".join(f"pipeline run FILE --only {one}" for one in missing)
                print(
                    f"waiting for {', '.join(missing)}; start there: {on}",
                    file=sys.stderr,
                    flush=True,
                )
            late = time.monotonic() - since_s >= self._limits.move_after_s
            if missing and late and self._crashes and self._move_from(hosts, missing):
                moved, since_s = True, time.monotonic()
            time.sleep(_POLL_S)
            self._show()
            self._keep_in_touch()
        return moved

    def _move_from(self, hosts: Hosts, missing: Sequence[str]) -> bool:
        """Have copies of stages run without these hosts; return whether that is of any use."""
        found = self._without([*hosts.away, *missing])
        if found is None:
            return False
        self._graph, overrides = found
        self._plan = msgspec.structs.replace(self._plan, overrides=overrides)
        self._carried = _carried(self._graph)
        hosts.regroup(self._graph.hosts)
        print(
            f"going on without {', '.join(missing)}: other hosts take over its stages",
            file=sys.stderr,
            flush=True,
        )
        return True

    def _keep_in_touch(self) -> None:
        """Go on speaking with other hosts while no worker runs there."""
        if self._hosts is not None:
            with suppress(StageError):  # whoever begins anew has nothing to lose
                self._hosts.read()
                self._hosts.look()

    def _show(self) -> None:
        self._board.show(self._told)

    def _told(self) -> RunStatus:
        status = self._status()
        self._watch(status)
        if self._trace is not None:
            self._trace.watch(status)
        return status

    def _status(self) -> RunStatus:
        """Return how the run stands."""
        generation, progress = self._generation, self._progress
        stages = {} if generation is None else generation.stages
        sent = {count.name: count for each in stages.values() for count in each.sent}
        dealt = {count.name: count for each in stages.values() for count in each.received}
        state = "starting" if not self._crashes else "restarting"
        if self._over:
            state = "over"
        elif generation is not None and generation.started:
            state = "paused" if self._board.paused else "running"
        if self.interrupts.count and not self._over:
            state = "stopping"
        return RunStatus(
            run_id=self._plan.run_id,
            name=self._graph.name,
            path=str(self._graph.path),
            at_s=round(time.monotonic() - self._begun_s, 3),
            state=state,
            stages=[stages[n.name] for n in self._graph.nodes if n.name in stages],
            edges=[
                EdgeStatus(
                    edge.name,
                    edge.sender,
                    edge.receiver,
                    max(0, sent[edge.name].messages - dealt[edge.name].messages)
                    if edge.name in sent and edge.name in dealt
                    else 0,
                    edge.capacity,
                    *self._carried[edge.name],
                )
                for edge in self._graph.edges
            ],
            checkpoint=None if progress is None or progress.number < 0 else progress.number,
            checkpoint_age_s=None if progress is None else progress.age_s,
            restarts=len(self._crashes),
            level=0 if self._ladder is None else self._ladder.level,
            last_cause=self._crashes[-1].cause if self._crashes else "",
            hosts=[] if self._hosts is None else self._hosts.status(),
        )

    def _next_order(self) -> ToWorker | None:
        order = self._remote.next_order() or self._board.next_order()
        if isinstance(order, Stop):
            self.interrupts.add()
            return None
        return order
