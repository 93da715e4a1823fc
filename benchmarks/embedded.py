"""The chain of `pipeline.toml` over the embedded recording, for what is put beside it."""

import hashlib
import os
from pathlib import Path

from benchmarks.measure import CannotMeasure
from pipeline.config import read_config
from pipeline.graph import build_graph
from pipeline.observe.trace import Trace
from pipeline.run.runner import run_pipeline

__all__ = ["DELAY", "PROCESSORS", "run_embedded"]

DELAY = "delay, p99"
"""From an event to the prediction that it is in; measured where events come at their own times."""

PROCESSORS = "processor time for a million events"

_PIPELINE = Path(__file__).parents[1] / "pipeline.toml"


def run_embedded(
    name: str,
    folder: Path,
    loops: int,
    sums: set[str],
    trace: Trace | None = None,
    speed: float = 0.0,
) -> dict[str, float]:
    """Run the chain into a file of JSON lines.

    Args:
        name: of what is measured.
        folder: where the file goes.
        loops: how often the recording is played.
        sums: hashes of what the runs before wrote; this one's is added.
        trace: gathers what the stages do.
        speed: how many times as fast as recorded; 0 is as fast as can be.

    Returns:
        Million events a second, what they took of the stages' processors, which others who use the
        machine disturb less, and their delay where they are paced.

    Raises:
        CannotMeasure: Not all runs write the same bytes.
    """
    file = folder / "predictions.jsonl"
    chosen = [
        f"camera.speed={speed}",
        f"camera.loop={loops}",
        f"file.path={file}",
        "screen.every=1000000",
    ]
    config = read_config(_PIPELINE, chosen)
    with open(os.devnull, "w") as nowhere:
        outcome = run_pipeline(config, build_graph(config), nowhere, trace=trace)
    sums.add(hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest())
    if len(sums) != 1:
        raise CannotMeasure(f"a run, {name}, has written something else than those before")
    camera = outcome.reports[0]
    assert camera.account is not None
    events = camera.account.made / 1e6
    used_s = sum(report.processor_s for report in outcome.reports)
    delays = [report.latency for report in outcome.reports if report.latency is not None]
    late = {f"{DELAY}, {name}": max(each.p99_ms for each in delays)} if delays else {}
    return late | {
        name: events / max(report.wall_s for report in outcome.reports),
        f"{PROCESSORS}, {name}": used_s * 1e3 / events,
    }
