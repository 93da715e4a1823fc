"""What a run would do about crashes and overload, for ``pipeline check``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.cli.lengths import too_short
from pipeline.errors import CheckpointError
from pipeline.ports import EventsPort, FramesPort

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from pipeline.graph import Graph

__all__ = ["safety_data", "safety_lines", "warnings"]


def safety_data(config: "PipelineConfig", graph: "Graph") -> dict[str, Any]:
    """Return the tables that are set, and what stands in the folder for checkpoints."""
    kept, overload = config.checkpoint, config.overload
    set_here = config.supervision.model_fields_set
    return {
        "checkpoint": None
        if kept is None
        else {
            "directory": str(kept.directory),
            "interval_s": kept.interval_s,
            "keep": kept.keep,
            "holds": _holds(config, graph),
        },
        "supervision": {key: getattr(config.supervision, key) for key in sorted(set_here)},
        "overload": None if overload is None else {"latency_ms": overload.latency_ms},
    }


def safety_lines(config: "PipelineConfig", graph: "Graph") -> Iterator[str]:
    """Yield the same for a person, and which sinks deliver twice behind a crash."""
    from pipeline.stage import delivery_of

    kept = config.checkpoint
    if kept is not None:
        yield f"checkpoints: every {kept.interval_s:g} s, in {kept.directory}"
        yield f"    {_holds(config, graph)}"
        for node in graph.nodes:
            delivery = delivery_of(type(node.stage)) or ""
            if delivery.startswith("at least once"):
                yield f"    behind a crash '{node.name}' delivers {delivery}"
    limits = config.supervision
    if limits.model_fields_set:
        told = (f"{key} = {getattr(limits, key):g}" for key in sorted(limits.model_fields_set))
        yield f"supervision: {', '.join(told)}"
    if config.overload is not None:
        yield (
            f"overload: what is more than {config.overload.latency_ms:g} ms behind is thinned,"
            " merged, and dropped in the end"
        )


def warnings(graph: "Graph") -> Iterator[str]:
    """Yield what is allowed and seldom meant."""
    yield from too_short(graph)
    for edge in graph.edges:
        drops = edge.policy in ("drop_oldest", "drop_newest")
        of_events = isinstance(graph.port(edge.source), EventsPort)
        if drops and of_events and _makes_windows(graph, edge.receiver):
            yield (
                f"{graph.path}: stage.{edge.receiver}.policy: {edge.policy} takes whole messages of"
                " events, and windows of that time look as if nothing had happened in them; set"
                ' policy = "thin"'
            )


def _makes_windows(graph: "Graph", name: str) -> bool:
    """Return whether a stage makes windows of time, or one behind it does."""
    port = graph.port(name)
    if isinstance(port, FramesPort):
        return port.window_us is not None
    takers = {edge.receiver for edge in graph.edges if edge.sender == name}
    return any(_makes_windows(graph, taker) for taker in takers)


def _holds(config: "PipelineConfig", graph: "Graph") -> str:
    """Return what a run finds in the folder for checkpoints, and what it makes of it."""
    from pipeline.checkpoint.fingerprint import difference, fingerprint
    from pipeline.checkpoint.folder import newest_in

    assert config.checkpoint is not None
    try:
        found = newest_in(config.checkpoint.directory)
    except CheckpointError as error:
        return f"{error}; a run starts with --fresh alone"
    if found is None:
        return "holds no checkpoint yet: a run starts"
    if found.checkpoint.finished or not found.checkpoint.number:
        return "holds nothing to go on with: a run starts"
    holds = f"holds checkpoint {found.checkpoint.number} of a run that was not finished"
    told = "{place} was {ours}, and is {theirs}"
    other = difference(found.checkpoint.tables, fingerprint(graph), told)
    if other:
        return f"{holds}, and of another one: {other}; a run starts with --fresh alone"
    return f"{holds}: a run goes on with --resume, or starts over with --fresh"
