"""Accuracy against offered load: the recordings in a real run, faster and faster than recorded.

The run has the queues and policies of the pipeline's file. Where the file gives up nothing, its
source would only wait, and the accuracy would be the same at any load: then an ``[overload]`` table
is laid over it, and that is told. Each recording is played whole, one after another.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pipeline.config import PipelineConfig, parse_config
from pipeline.errors import ConfigError
from pipeline.graph import build_graph
from pipeline.messages import Start
from pipeline.report import StageReport
from pipeline.run.runner import run_pipeline
from stages.datasets.data_set import Item
from stages.datasets.frames import events_of, recorded
from stages.evaluation.intervals import Interval, wilson
from stages.evaluation.plan import Plan
from stages.formats.aedat.aedat4_writer import Aedat4Writer

__all__ = ["Load", "LoadPoint", "measure_load"]

_LATENCY_MS = 100.0
"""Of the table that is laid over a file that gives up nothing."""


class LoadPoint(msgspec.Struct, frozen=True):
    """What became of all recordings at one speed."""

    speed: float
    """Times faster than recorded, as it was asked for."""
    reached: float
    """To what it came, reading and the time between recordings included. It is less where the
    source waited: each recording has a clock of its own, which begins when there is room for it."""
    events_a_second: float
    """Events in a second, while a recording plays at the speed that was asked for."""
    top1: float
    top1_interval: Interval
    unanswered: int
    lost: dict[str, int]
    """What overload took, by what it is and how; nothing where nothing was."""


class Load(msgspec.Struct, frozen=True):
    """Accuracy against offered load."""

    policy: str
    """What gave up something, in words."""
    points: list[LoadPoint]


def measure_load(
    config: PipelineConfig,
    plan: Plan,
    items: Sequence[Item],
    labels: Sequence[int],
    speeds: Sequence[float],
    progress: Callable[[str, int, int], None],
) -> Load:
    """Run the pipeline on all recordings, at one speed after another.

    Args:
        config: of the pipeline, for its queues and policies.
        plan: the stages.
        items: the recordings; they must hold events.
        labels: class of each, an index into the model's.
        speeds: times faster than recorded, above 0.
        progress: called with what is done.

    Raises:
        ConfigError: the recordings hold no events.
        PipelineError: a run failed.
    """
    sheds = config.overload is not None or any(table.policy != "block" for table in config.stages)
    own = "the pipeline's own policies"
    policy = own if sheds else f"[overload] with latency_ms = {_LATENCY_MS:g}, which the file lacks"
    points = []
    with tempfile.TemporaryDirectory(prefix="pipeline-load-") as place:
        files, events, span_us = _files([plan.played(item) for item in items], Path(place))
        for number, speed in enumerate(speeds):
            progress("runs under load", number, len(speeds))
            out = Path(place) / f"{number}.jsonl"
            tables = _tables(config, plan, files, speed, out, sheds)
            changed = parse_config(tables, config.path)
            with (Path(place) / "printed").open("w") as prints_to:
                outcome = run_pipeline(changed, build_graph(changed), prints_to)
            if outcome.interrupted:
                raise KeyboardInterrupt
            answers = _answers(out)
            (source,) = (one for one in outcome.reports if one.name == plan.source.name)
            right = sum(answers.get(k) == label for k, label in enumerate(labels))
            points.append(
                LoadPoint(
                    speed=speed,
                    reached=span_us / 1e6 / source.wall_s,
                    events_a_second=events / max(span_us, 1) * 1e6 * speed,
                    top1=right / len(labels),
                    top1_interval=wilson(right, len(labels)),
                    unanswered=len(labels) - len(answers),
                    lost=_lost(outcome.reports),
                )
            )
        progress("runs under load", len(speeds), len(speeds))
    return Load(policy, points)


def _files(items: Sequence[Item], folder: Path) -> tuple[list[str], int, int]:
    """Return a file for each item, its events and nothing else; how many in all, how long, µs."""
    files, events, span_us = [], 0, 0
    for number, one in enumerate(recorded(items)):
        start = one.messages[0].header
        assert isinstance(start, Start)
        try:
            held = events_of(one)
        except ConfigError:
            raise ConfigError(
                f"--load: takes recordings of events, '{one.item.source['use']}' plays none; leave"
                " it out"
            ) from None
        path = folder / f"{number:06d}.aedat4"
        with Aedat4Writer(path, start.width, start.height) as writer:
            writer.write(held)
        files.append(str(path))
        events += len(held)
        span_us += int(held["t"][-1] - held["t"][0]) if len(held) else 0
    return files, events, span_us


def _tables(
    config: PipelineConfig, plan: Plan, files: list[str], speed: float, out: Path, sheds: bool
) -> dict[str, Any]:
    """Return the tables of the run."""
    tables = {table.name: table for table in config.stages}
    source = {"name": plan.source.name, "use": "replay", "path": files, "speed": speed}
    rows = [source]
    for one in plan.stages:
        own = tables[one.name]
        place: dict[str, Any] = {"from": rows[-1]["name"], "queue": own.queue, "policy": own.policy}
        rows.append({"name": one.name, "use": one.use, **place, **one.options})
    rows.append({"name": "answers_", "use": "jsonl", "path": str(out)})
    latency_ms = config.overload.latency_ms if config.overload else _LATENCY_MS
    overload = {"overload": {"latency_ms": latency_ms}} if config.overload or not sheds else {}
    return {"run": {"name": config.run.name}, "stage": rows, **overload}


def _answers(path: Path) -> dict[int, int]:
    """Return the last answer of each recording that has one, by its number."""
    answers: dict[int, int] = {}
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                row = json.loads(line)
                answers[row["epoch"]] = int(np.argmax(row["scores"]))
    return answers


def _lost(reports: Sequence[StageReport]) -> dict[str, int]:
    """Return what queues gave up, by unit and how."""
    lost: Counter[str] = Counter()
    for report in reports:
        for queue in report.sent:
            unit = "messages" if report.account is None else report.account.unit_out
            for how, count in queue.lost.items():
                lost[f"{unit} {how}"] += count
    return {what: count for what, count in lost.items() if count}
