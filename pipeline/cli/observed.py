"""What is kept of a run, and told of it meanwhile: manifest, metrics, trace, log."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.graph import Graph
    from pipeline.observe.log import JsonLog
    from pipeline.observe.manifest import Recorder
    from pipeline.observe.status import RunStatus
    from pipeline.observe.trace import Trace

__all__ = ["Log", "Observed", "observed", "speak"]

Log: TypeAlias = Literal["human", "json"]


class Observed(NamedTuple):
    """Who observes a run."""

    record: "Recorder"
    trace: "Trace | None"
    log: "JsonLog | None"
    metrics_at: str
    """Where its metrics are served, "" nowhere."""

    def watch(self, status: "RunStatus") -> None:
        """Take note of how the run stands."""
        self.record.watch(status)
        if self.log is not None:
            self.log.watch(status)


def speak(log: Log) -> "JsonLog | None":
    """Return what takes all that is said from now on as JSON, None where a person reads it."""
    if log == "human":
        return None
    from pipeline.observe.log import JsonLog

    return JsonLog()


@contextmanager
def observed(
    config: "PipelineConfig",
    graph: "Graph",
    log: "JsonLog | None",
    manifest: Path | None,
    trace: Path | None,
    resumes: bool,
) -> Iterator[Observed]:
    """Observe the run within the ``with``.

    Args:
        config: the file.
        graph: that is run.
        log: what the run says as JSON; None where it speaks to a person.
        manifest: where its manifest goes, None for the user's own folder.
        trace: where its trace goes, None for none.
        resumes: whether it goes on from a checkpoint.

    Raises:
        PipelineError: a file cannot be written, or a port not be listened at.
    """
    from pipeline.observe.manifest import Recorder

    stages = [node.name for node in graph.nodes]
    traced, metrics_at = None, ""
    if log is not None:
        log.stages = stages
    with ExitStack() as stack:
        record = stack.enter_context(Recorder(config, graph, manifest, resumes))
        if trace is not None:
            from pipeline.observe.trace import Trace

            traced = stack.enter_context(Trace(trace, stages))
        if config.metrics is not None:
            from pipeline.observe.metrics import Metrics

            metrics_at = stack.enter_context(Metrics(config.metrics.port)).url
        yield Observed(record, traced, log, metrics_at)
    if traced is not None:
        for stage, count in traced.left_out.items():
            print(f"{stage}: {count:,} of its steps are not in the trace", file=sys.stderr)
