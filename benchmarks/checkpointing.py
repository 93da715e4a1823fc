"""What checkpoints cost a run, how large they are, and how long it is down after a crash.

Usage: python -m benchmarks.checkpointing [--recording FILE] [--quick] [--json FILE]

The chain of the DVS Gesture network plays a recording as fast as it can into a file of JSON lines,
each stage in a process of its own. Runs with and without checkpoints take turns. A run is down from
the moment when a crash is seen until its sources are let go again, all workers being new.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Options, Row, Rows, command, compare, in_turns
from benchmarks.path import NETWORK
from benchmarks.reading import some_events, write
from pipeline.config import parse_config
from pipeline.graph import build_graph
from pipeline.run.outcome import Outcome
from pipeline.run.runner import run_pipeline

__all__ = ["rows"]

_EVERY_S = (10.0, 1.0, 0.1)
_LOOPS = 8
_HANG_S = 0.5


def run(
    path: Path, every_s: float | None, loops: int, fault: dict[str, Any] | None = None
) -> Outcome:
    """Run the chain, a checkpoint every so many seconds or none; a fault may strike it."""
    folder = path.parent
    stages: list[dict[str, Any]] = [
        {"name": "camera", "use": "replay", "path": str(path), "loop": loops}
    ]
    for number, table in enumerate(NETWORK):
        plain = {key: str(v) if isinstance(v, Path) else v for key, v in table.items()}
        stages.append({"name": f"s{number}", **plain})
        if fault is not None and not number:
            stages.append({"name": "fault", "marks": str(folder / "marks"), **fault})
    stages.append({"name": "file", "use": "jsonl", "path": str(folder / "out.jsonl")})
    tables: dict[str, Any] = {"stage": stages, "supervision": {"silent_s": _HANG_S}}
    if every_s is not None:
        tables["checkpoint"] = {"directory": str(folder / "kept"), "interval_s": every_s}
    config = parse_config(tables, folder / "bench.toml")
    return run_pipeline(config, build_graph(config), fresh=True)


def speed(path: Path, every_s: float | None, loops: int, events: int) -> float:
    """Return million events a second."""
    outcome = run(path, every_s, loops)
    return loops * events / max(report.wall_s for report in outcome.reports) / 1e6


def down(path: Path, fault: str) -> float:
    """Return for how long a run is down that a fault strikes in its middle."""
    (restart,) = run(path, 0.1, 2, {"use": fault, "from_us": 5_000_000}).restarts
    return restart.down_s


def sizes(path: Path) -> Iterator[Row]:
    """Yield how large a checkpoint is that is made while the recording plays."""
    run(path, 0.1, 2)
    largest = max(each.stat().st_size for each in (path.parent / "kept").glob("checkpoint-*"))
    yield from compare("checkpoint", "MB", {"a checkpoint of this chain": [largest / 1e6]})


def rows(options: Options) -> Rows:
    """Yield speeds, a size, and how long a run is down."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.aedat4"
        events = some_events(options.recording, 0.05 if options.quick else 10.0)
        count, loops = len(events), 1 if options.quick else _LOOPS
        write(path, events)
        del events
        chain = "file to a file of predictions, through queues"
        work: dict[str, Callable[[], float]] = {
            f"{chain}, a checkpoint every {every_s:g} s": partial(
                speed, path, every_s, loops, count
            )
            for every_s in _EVERY_S
        }
        found = in_turns({chain: partial(speed, path, None, loops, count), **work}, options.runs)
        yield from compare("checkpoint", "Mev/s", found, chain)
        yield from sizes(path)
        if not options.quick:
            struck = {
                "down after a stage was killed": partial(down, path, "fault_kill"),
                f"down after a stage hung, seen within {_HANG_S:g} s": partial(
                    down, path, "fault_hang"
                ),
            }
            yield from compare("checkpoint", "s", in_turns(struck, options.runs))


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
