"""The whole path: from a file to frames and to predictions, beside peers and beside its own parts.

Usage: python -m benchmarks.path [--recording FILE] [--peers PYTHON ...] [--quick] [--json FILE]

The events of the recording (random ones without it) are repeated to ten million and written as
AEDAT4 with LZ4. "Through queues" is a run as `pipeline run` makes it: each stage in a process of
its own, real ZeroMQ queues between them, from the moment when the sources are let go. "In one loop"
is the same stages called one after the other in one process. Peers and processes take turns.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import (
    Options,
    Rows,
    beside_each,
    best_of,
    command,
    compare,
    in_turns,
    rate,
)
from benchmarks.reading import readers, some_events, write
from benchmarks.stepping import HERE
from pipeline.config import parse_config
from pipeline.graph import build_graph
from pipeline.messages import Message
from pipeline.offline import play, run_chain
from pipeline.registry import load_stage
from pipeline.run.runner import run_pipeline

__all__ = ["chain", "rows", "through_queues"]

BINS = {"use": "time_bin", "window_us": 10_000, "size": (40, 40)}
NETWORK = (
    {"use": "time_bin", "window_us": 25_000, "size": (40, 40)},
    {"use": "snn", "weights": HERE / "models" / "weights" / "dvs_gesture.safetensors"},
    {"use": "aggregate", "over": "sliding", "every": 10},
)


def chain(source: Any, tables: tuple[dict[str, Any], ...]) -> list[Any]:
    """Return stages that stand in a row behind a source."""
    stages, before = [], source
    for number, table in enumerate(tables):
        found = load_stage(table["use"])
        values = {key: value for key, value in table.items() if key != "use"}
        before = found(f"{table['use']}{number}", found.Config(**values), [before.port()])
        stages.append(before)
    return stages


def replay(path: Path) -> Any:
    """Return a source that plays a file."""
    found = load_stage("replay")
    return found("camera", found.Config(path=path))


def in_one_loop(path: Path, tables: tuple[dict[str, Any], ...], events: int) -> int:
    """Play a file through stages in this process; return how many events it has."""
    source = replay(path)
    for _ in run_chain(play(source), chain(source, tables)):
        pass
    return events


def steps_alone(
    messages: list[Message], path: Path, tables: tuple[dict[str, Any], ...], events: int
) -> int:
    """Send frames that lie in memory through network and aggregate."""
    _, *others = chain(replay(path), tables)
    for _ in run_chain(messages, others):
        pass
    return events


def through_queues(path: Path, tables: tuple[dict[str, Any], ...], events: int) -> float:
    """Run a pipeline, each stage in a process; return million events a second."""
    stages: list[dict[str, Any]] = [{"name": "camera", "use": "replay", "path": str(path)}]
    for number, table in enumerate(tables):
        plain = {key: str(v) if isinstance(v, Path) else v for key, v in table.items()}
        stages.append({"name": f"s{number}", **plain})
    stages.append({"name": "end", "use": "benchmarks.nothing:Nothing"})
    config = parse_config({"stage": stages}, path.with_name("bench.toml"))
    outcome = run_pipeline(config, build_graph(config))
    return events / max(report.wall_s for report in outcome.reports) / 1e6


def rows(options: Options) -> Rows:
    """Yield reading alone, frames, and predictions."""
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.aedat4"
        events = some_events(options.recording, 0.05 if options.quick else 10.0)
        count = len(events)
        write(path, events)
        del events
        reading = {
            f"file to arrays, {name}": once
            for name, once in readers("AEDAT4", path, options).items()
            if name in ("ours", "dv-processing", "faery", "aestream")
        }
        slicer = {
            f"file to 10 ms frames, {name}": once
            for name, once in readers("AEDAT4 to frames", path, options).items()
            if name != "ours"
        }
        own = "file to 10 ms frames of 40×40, ours"
        loop, queues = f"{own}, in one loop", f"{own}, through queues"
        work: dict[str, Callable[[], float]] = {
            **reading,
            **slicer,
            loop: rate(partial(in_one_loop, path, (BINS,), count)),
            queues: partial(through_queues, path, (BINS,), count),
        }
        found = in_turns(work, options.runs, notes)
        yield from compare("path", "Mev/s", found)
        others = [name for name in found if name not in (loop, queues)]
        for each in (loop, queues):
            yield from beside_each("path", "Mev/s", found, each, others)

        source = replay(path)
        frames = list(run_chain(play(source), chain(source, NETWORK[:1])))
        predictions = "file to predictions, 25 ms windows, DVS Gesture"
        whole = f"{predictions}, through queues"
        limits = {
            "file to 25 ms frames, in one loop": rate(
                partial(in_one_loop, path, NETWORK[:1], count)
            ),
            "25 ms frames in memory to predictions, in one loop": rate(
                partial(steps_alone, frames, path, NETWORK, count)
            ),
        }
        work = {
            **limits,
            f"{predictions}, in one loop": rate(partial(in_one_loop, path, NETWORK, count)),
            whole: partial(through_queues, path, NETWORK, count),
        }
        later = in_turns(work, options.runs)
        yield from compare("path", "Mev/s", later)
        slower = next(name for name in limits if name != best_of("Mev/s", later, limits))
        yield from beside_each(
            "path", "Mev/s", later, whole, [slower, f"{predictions}, in one loop"]
        )
        alone = [name for name in reading if name in found]
        yield from beside_each("path", "Mev/s", {**found, **later}, whole, alone)
    yield from notes


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
