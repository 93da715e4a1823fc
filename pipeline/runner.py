"""A run, from its first process to its last: started, gone on with after a crash, ended.

Workers are forked from a process that has loaded what they need (`pipeline.starter`). With a
``[checkpoint]`` table the run goes on from the last checkpoint when one of them fails, dies or
hangs: all of them are started again, and put back to it. Without one the run fails.
"""

import queue
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO

import msgspec
import setproctitle

from pipeline.board import Board
from pipeline.checkpoints import CheckpointFolder, check_same, files_in
from pipeline.config import PipelineConfig, SupervisionConfig
from pipeline.control import Pause, Plan, Resume, Step, Stop, ToWorker
from pipeline.errors import CheckpointError, ConfigError, PipelineError, StageError
from pipeline.fingerprint import fingerprint
from pipeline.generation import Generation, StageFailure
from pipeline.graph import Graph
from pipeline.guard import host_guard
from pipeline.hosts import Hosts, bindable
from pipeline.interrupts import Interrupts
from pipeline.keys import keys_folder
from pipeline.overload import Ladder, Overload
from pipeline.ports import PredictionsPort
from pipeline.processes import Processes
from pipeline.progress import Progress
from pipeline.report import StageReport
from pipeline.rundir import RunDirectory, unwritable
from pipeline.stage import Source
from pipeline.status import EdgeStatus, HostStatus, RunStatus
from pipeline.trace import Trace

__all__ = [
    "Outcome",
    "Remote",
    "Restart",
    "StageFailure",
    "can_go_on",
    "refuse_unfinished",
    "run_pipeline",
]

_BEAT_S = 0.25
_BEATS = 5
"""How often a worker speaks within the time after which it is taken for dead."""
_SHORTEST_BEAT_S = 0.02
_POLL_S = 0.02


class Restart(msgspec.Struct, frozen=True):
    """The run was put back to a checkpoint, and went on."""

    cause: str
    checkpoint: int
    at_s: float
    """Seconds behind the start of the run at which the cause was seen."""
    down_s: float
    """How long it took until the sources were let go again."""


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
    restarts: list[Restart] = []
    overload: Overload | None = None
    """What it made the run give up; None without an ``[overload]`` table."""
    finished_before: bool = False
    """There was nothing to go on with: the run had come to its end before."""
    hosts: list[HostStatus] = []
    """The others, and what is known of their clocks."""


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
    resume: bool = False,
    fresh: bool = False,
    watch: Callable[[RunStatus], None] = lambda _: None,
    trace: Trace | None = None,
) -> Outcome:
    """Run a checked graph to its end.

    Args:
        config: the file that the graph was built from.
        graph: what to run.
        prints_to: where stages print; the caller's standard output when left out.
        remote: steers the run while it lasts.
        resume: go on from the last checkpoint of a run that was ended before its time; start where
            there is none.
        fresh: start over where such a run has left checkpoints.
        watch: told how the run stands, a few times a second and when it is over.
        trace: gathers what the stages did; None where nothing does.

    Raises:
        StageFailure: a stage failed, and the run could not go on.
        StageError: the process of a stage died or hung, and the run could not go on.
        CheckpointError: checkpoints cannot be read or written, or another run uses their folder.
        ConfigError: checkpoints are of another pipeline, or of a run that was not finished and
            nobody said what becomes of it; or it is to go on, and no folder is named for them.
    """
    if config.checkpoint is None:
        if resume:
            raise ConfigError(
                f"{config.path}: checkpoint.directory: is required with --resume; without it no"
                " run leaves checkpoints to go on from"
            )
        return _run(config, graph, prints_to, remote or Remote(), None, watch, trace)
    stages = [node.name for node in graph.nodes]
    sources = [node.name for node in graph.nodes if isinstance(node.stage, Source)]
    folder = CheckpointFolder(config.checkpoint.directory, config.checkpoint.keep)
    try:
        tables = fingerprint(graph)
        progress = Progress(folder, stages, sources, config.checkpoint.interval_s, tables)
        found = folder.newest() if resume else None
        if found is not None:
            path, checkpoint, refused = found
            check_same(checkpoint.tables, tables, path)
            for error in refused:
                print(error, file=sys.stderr)
            if checkpoint.finished:
                reports = [each.report for each in checkpoint.stages if each.report is not None]
                return Outcome(reports, True, False, True, finished_before=True)
            made = _ago(time.time() - checkpoint.made_at_s)
            print(f"going on from {path.name}, made {made}", file=sys.stderr, flush=True)
            progress.go_on(path, checkpoint.number)
        elif resume:
            print(f"{folder.path}: holds no checkpoint yet, so the run starts", file=sys.stderr)
        elif not fresh:
            _refuse_unfinished(folder)
        return _run(config, graph, prints_to, remote or Remote(), progress, watch, trace)
    finally:
        folder.close()


def can_go_on(config: PipelineConfig) -> bool:
    """Return whether there are checkpoints to go on from; whether they can be read is not asked."""
    return config.checkpoint is not None and bool(files_in(config.checkpoint.directory))


def refuse_unfinished(config: PipelineConfig) -> None:
    """Refuse to start over where a run goes on or was not finished; nothing is made or changed.

    Raises:
        CheckpointError: the folder is in use, or holds checkpoints that cannot be read.
        ConfigError: it holds checkpoints that are of use.
    """
    if config.checkpoint is not None and config.checkpoint.directory.is_dir():
        folder = CheckpointFolder(config.checkpoint.directory, config.checkpoint.keep)
        try:
            _refuse_unfinished(folder)
        finally:
            folder.close()


def _refuse_unfinished(folder: CheckpointFolder) -> None:
    try:
        found = folder.newest()
    except CheckpointError as error:
        raise CheckpointError(f"{error}; remove it, or start over by --fresh") from None
    if found is not None and not found.checkpoint.finished and found.checkpoint.number > 0:
        raise ConfigError(
            f"{folder.path}: holds checkpoint {found.checkpoint.number} of a run that was not"
            f" finished, made {_ago(time.time() - found.checkpoint.made_at_s)}; go on with it by"
            " --resume, or start over by --fresh"
        )


def _ago(seconds: float) -> str:
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name} ago"
    return f"{seconds:.0f} s ago"


def _run(
    config: PipelineConfig,
    graph: Graph,
    prints_to: IO[str] | None,
    remote: Remote,
    progress: Progress | None,
    watch: Callable[[RunStatus], None],
    trace: Trace | None,
) -> Outcome:
    with RunDirectory() as folder:
        run_id = f"{graph.name}-{folder.name[-4:]}"
        plan = Plan(
            path=str(config.path),
            tables=dict(config.tables),
            overrides=list(config.overrides),
            run_id=run_id,
            resumes=progress is not None and progress.path is not None,
            checkpoints=progress is not None,
            beat_s=_beat_s(config),
            trace=trace is not None,
            address=bindable(config.run.address or "").rpartition(":")[0] if graph.hosts else "",
        )
        setproctitle.setproctitle(f"pipeline: {run_id}")
        hosts = _hosts(config, graph)
        failure = "it was ended there"
        limits, ladder = config.supervision, None
        if config.overload is not None:
            ladder = Ladder(config.overload.latency_ms, time.monotonic())
        run = _Run(
            graph, folder, plan, prints_to, remote, limits, progress, hosts, ladder, watch, trace
        )
        try:
            with run.interrupts:
                outcome = run.run()
            failure = ""
            return outcome
        except PipelineError as error:
            failure = str(error)
            raise
        finally:
            if hosts is not None:
                hosts.close(failure)


def _hosts(config: PipelineConfig, graph: Graph) -> Hosts | None:
    """Return the other hosts of a run, which may join from now on; None where there are none."""
    if not graph.hosts:
        return None
    return Hosts(
        config.run.address or "",
        graph.hosts,
        fingerprint(graph),
        version("event-pipeline"),
        lambda context: host_guard(context, keys_folder()),
        config.supervision.silent_s,
    )


def _beat_s(config: PipelineConfig) -> float:
    """Return how often workers speak: soon enough to find them dead, or behind."""
    beat_s = min(_BEAT_S, config.supervision.silent_s / _BEATS)
    if config.overload is not None:
        beat_s = min(beat_s, max(_SHORTEST_BEAT_S, config.overload.latency_ms / 2000))
    return beat_s


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


class _Run:
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
        ladder: Ladder | None,
        watch: Callable[[RunStatus], None],
        trace: Trace | None,
    ) -> None:
        self._trace = trace
        self._hosts, self._ladder, self._watch = hosts, ladder, watch
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
            while True:
                if processes is None or processes.over:
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
        plan = self._plan
        if self._progress is not None and self._progress.path is not None:
            plan = msgspec.structs.replace(plan, resumes=True)
        try:
            (self._folder / "plan").write_bytes(msgspec.msgpack.encode(plan))
        except OSError as error:
            raise unwritable(self._folder, error) from None
        return Processes(self._folder, self._prints_to)

    def _serve(self, generation: Generation, processes: Processes) -> bool:
        path = None
        if self._progress is not None:
            self._progress.go_on(self._progress.path, self._progress.number)
            path = self._progress.path
        if self._hosts is not None and not self._launch_on_hosts(self._hosts, generation, path):
            return True
        return generation.serve(
            processes, path, self._next_order, lambda: self.interrupts.count, self._show
        )

    def _launch_on_hosts(self, hosts: Hosts, generation: Generation, path: Path | None) -> bool:
        """Wait until all hosts are there, and start their workers; False if interrupted."""
        told: list[str] = []
        self._keep_in_touch()
        while not hosts.ready:
            missing = hosts.missing
            if missing and missing != told:
                told = missing
                on = "; ".join(f"pipeline run FILE --only {one}" for one in missing)
                print(
                    f"waiting for {', '.join(missing)}; start there: {on}",
                    file=sys.stderr,
                    flush=True,
                )
            if self.interrupts.count:
                return False
            time.sleep(_POLL_S)
            self._show()
            self._keep_in_touch()
        saved = None if path is None else path.read_bytes()
        plan = msgspec.structs.replace(self._plan, resumes=path is not None)
        hosts.launch(generation.number, msgspec.msgpack.encode(plan), saved)
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
