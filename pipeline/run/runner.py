"""A run, from the file that names its stages to its outcome: begun, or gone on with."""

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import IO

import setproctitle

from pipeline.checkpoint.fingerprint import fingerprint
from pipeline.checkpoint.folder import CheckpointFolder, check_same
from pipeline.checkpoint.progress import Progress
from pipeline.checkpoint.results import check_results, results_of
from pipeline.config import PipelineConfig
from pipeline.errors import ConfigError, PipelineError
from pipeline.graph import Graph, without_hosts
from pipeline.hosts.others import Hosts, bindable
from pipeline.observe.status import RunStatus
from pipeline.observe.trace import Trace
from pipeline.queue.guard import host_guard
from pipeline.queue.keys import keys_folder
from pipeline.queue.overload import Ladder
from pipeline.run.control import Plan
from pipeline.run.folder import RunDirectory
from pipeline.run.outcome import Outcome
from pipeline.run.remote import Remote
from pipeline.run.supervisor import Supervisor
from pipeline.run.unfinished import ago, refuse_in
from pipeline.stage import Source

__all__ = ["run_pipeline"]

_BEAT_S = 0.25
_BEATS = 5
"""How often a worker speaks within the time after which it is taken for dead."""
_SHORTEST_BEAT_S = 0.02


def run_pipeline(
    config: PipelineConfig,
    graph: Graph,
    prints_to: IO[str] | None = None,
    remote: Remote | None = None,
    resume: bool = False,
    fresh: bool = False,
    watch: Callable[[RunStatus], None] = lambda _: None,
    trace: Trace | None = None,
    starting: Callable[[], None] = lambda: None,
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
        starting: called when nothing is left that would refuse the run, before its first process.

    Raises:
        StageFailure: a stage failed, and the run could not go on.
        StageError: the process of a stage died or hung, and the run could not go on.
        CheckpointError: checkpoints cannot be read or written, or another run uses their folder; or
            what it has left when it had come to its end before is not what it was.
        ConfigError: checkpoints are of another pipeline, or of a run that was not finished and
            nobody said what becomes of it; or it is to go on, and no folder is named for them.
    """
    if config.checkpoint is None:
        if resume:
            raise ConfigError(
                f"{config.path}: checkpoint.directory: is required with --resume; without it no"
                " run leaves checkpoints to go on from"
            )
        return _run(config, graph, prints_to, remote or Remote(), None, watch, trace, starting)
    stages = [node.name for node in graph.nodes]
    sources = [node.name for node in graph.nodes if isinstance(node.stage, Source)]
    folder = CheckpointFolder(config.checkpoint.directory, config.checkpoint.keep)
    try:
        tables = fingerprint(graph)
        progress = Progress(
            folder,
            stages,
            sources,
            config.checkpoint.interval_s,
            tables,
            lambda: results_of(graph),
        )
        found = folder.newest() if resume else None
        if found is not None:
            path, checkpoint, refused = found
            check_same(checkpoint.tables, tables, path)
            for error in refused:
                print(error, file=sys.stderr)
            if checkpoint.finished:
                check_results(checkpoint.results, graph)
                reports = [each.report for each in checkpoint.stages if each.report is not None]
                count = len(checkpoint.results)
                return Outcome(reports, True, False, True, finished_before=True, results=count)
            made = ago(time.time() - checkpoint.made_at_s)
            print(f"going on from {path.name}, made {made}", file=sys.stderr, flush=True)
            progress.go_on(path, checkpoint.number)
        elif resume:
            print(f"{folder.path}: holds no checkpoint yet, so the run starts", file=sys.stderr)
        elif not fresh:
            refuse_in(folder)
        return _run(config, graph, prints_to, remote or Remote(), progress, watch, trace, starting)
    finally:
        folder.close()


def _run(
    config: PipelineConfig,
    graph: Graph,
    prints_to: IO[str] | None,
    remote: Remote,
    progress: Progress | None,
    watch: Callable[[RunStatus], None],
    trace: Trace | None,
    starting: Callable[[], None],
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
        run = Supervisor(
            graph,
            folder,
            plan,
            prints_to,
            remote,
            limits,
            progress,
            hosts,
            lambda missing: without_hosts(config, missing),
            ladder,
            watch,
            trace,
        )
        starting()
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
