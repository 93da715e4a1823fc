"""One trial: the pipeline is run as it is, with a scene in its cameras' place and a pace to keep.

It is a run like any other, so what is measured is all that a process costs: the stage's step, its
queues, being woken a thousand times a second. Seen from inside the step most of that is missing.
What sinks write goes into a folder that is thrown away.
"""

import math
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.capacity.scene import Scene
from pipeline.config import PipelineConfig, parse_config
from pipeline.errors import StageError
from pipeline.graph import Graph, build_graph
from pipeline.report import StageReport
from pipeline.run.runner import run_pipeline
from pipeline.stage import Source

__all__ = ["Trial", "machine_busy_s", "try_at"]

_SECONDS = 2.0
_SHORTEST_S = 1e-3
_KEPT = 0.95
_TICKS = os.sysconf("SC_CLK_TCK")


class Trial(msgspec.Struct, frozen=True):
    """What was seen of one run."""

    offered_hz: float
    """Events a second of each camera, as they were due."""
    rate_hz: float
    """Events a second of each camera that the run got through."""
    needs: dict[str, float]
    """Process -> processor time for each second of what the cameras saw, in cores."""
    messages: dict[str, float]
    """Process -> messages that it takes and puts out in a second of what the cameras saw."""
    busy: dict[str, float]
    """Process -> share of the time that a stage of it was in its own step, waiting for a device
    included; of its busiest."""
    others: float
    """Processor time a second that other programs took meanwhile, in cores."""

    @property
    def is_behind(self) -> bool:
        """Whether the run did not get through what was offered in its time."""
        return self.rate_hz < _KEPT * self.offered_hz

    @property
    def had(self) -> dict[str, float]:
        """Process -> processor time for each second of the run, in cores."""
        kept = self.rate_hz / self.offered_hz
        return {name: need * kept for name, need in self.needs.items()}


def try_at(
    config: PipelineConfig,
    graph: Graph,
    scenes: Mapping[str, Scene],
    rate_hz: float,
    seconds: float = _SECONDS,
) -> Trial:
    """Run the pipeline at a rate for a few seconds.

    Args:
        config: the file.
        graph: what was built from it.
        scenes: what is played in the place of each source.
        rate_hz: events a second of each.
        seconds: for how long at least.

    Raises:
        PipelineError: the run failed.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-capacity-") as name:
        folder = Path(name)
        pace = _Pace(rate_hz, seconds)
        tables = _tables(config, graph, scenes, pace, folder)
        trial_config = parse_config(tables, config.path)
        trial_graph = build_graph(trial_config)
        busy_s, since_s = machine_busy_s(), time.monotonic()
        own = os.times()
        with open(os.devnull, "w") as nowhere:
            outcome = run_pipeline(trial_config, trial_graph, nowhere)
        ended = os.times()
        wall_s = time.monotonic() - since_s
        others_s = machine_busy_s() - busy_s - (sum(ended[:4]) - sum(own[:4]))
    failures = [report.failure for report in outcome.reports if report.failure is not None]
    if outcome.interrupted:
        raise KeyboardInterrupt
    if failures:
        raise StageError(f"a trial at {rate_hz:,.0f} events/s failed: {failures[0].text}")
    reports = {report.name: report for report in outcome.reports}
    played = [reports[node.name] for node in trial_graph.nodes if isinstance(node.stage, Source)]
    run_s = max(report.wall_s for report in played)
    made = sum(report.account.made for report in played if report.account is not None)
    paces = [report.pace for report in played if report.pace is not None]
    due_s = max(_SHORTEST_S, *(pace.event_s / pace.speed for pace in paces))
    return Trial(
        made / len(played) / due_s,
        made / len(played) / run_s,
        {
            group: max(reports[node.name].processor_s for node in nodes) / due_s
            for group, nodes in trial_graph.groups.items()
        },
        {
            group: sum(_messages(reports[node.name]) for node in nodes) / due_s
            for group, nodes in trial_graph.groups.items()
        },
        {
            group: max(reports[node.name].busy_s for node in nodes) / run_s
            for group, nodes in trial_graph.groups.items()
        },
        max(0.0, others_s) / wall_s,
    )


def _messages(report: StageReport) -> int:
    return sum(queue.messages for queue in (*report.received, *report.sent))


class _Pace(NamedTuple):
    rate_hz: float
    seconds: float


def _tables(
    config: PipelineConfig,
    graph: Graph,
    scenes: Mapping[str, Scene],
    pace: _Pace,
    folder: Path,
) -> dict[str, Any]:
    """Return tables for a trial: it leaves nothing elsewhere, and gives nothing up."""
    nodes = {node.stage.table: node.stage for node in reversed(graph.nodes)}
    rows = []
    for table in config.stages:
        stage = nodes[table.name]
        common = {"name": table.name, "queue": table.queue, "copies": table.copies}
        if table.group is not None:
            common["group"] = table.group
        if isinstance(stage, Source):
            place = folder / table.name
            place.mkdir()
            rows.append(common | _replay(scenes[table.name], pace, stage.speed, place))
            continue
        options = stage.config.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude_none=True
        )
        for key in stage.writes:
            if (file := getattr(stage.config, key)) is not None:
                place = folder / table.name
                place.mkdir(exist_ok=True)
                options[key] = str(place / file.name)
        common |= {"use": table.use}
        if table.inputs is not None:
            common["from"] = list(table.inputs)
        rows.append(common | options)
    tables: dict[str, Any] = {
        "run": {"name": config.run.name, "transport": config.run.transport},
        "supervision": config.supervision.model_dump(),
        "stage": rows,
    }
    if config.checkpoint is not None:
        own = {"directory": str(folder / "checkpoints")}
        tables["checkpoint"] = config.checkpoint.model_dump(mode="json") | own
    return tables


def _replay(scene: Scene, pace: _Pace, speed: float, folder: Path) -> dict[str, Any]:
    """Return the keys of a source that plays a scene for some seconds."""
    # As long as it lasts; a pipeline that is not paced is asked about a camera.
    speed = speed or 1.0
    paths, length_s = scene.write(folder, pace.rate_hz / speed, pace.seconds * speed)
    return {
        "use": "replay",
        "path": [str(path) for path in paths],
        "speed": speed,
        "loop": max(1, math.ceil(pace.seconds * speed / length_s)),
        "join": scene.is_endless,
    }


def machine_busy_s() -> float:
    """Return the processor time that all programs have taken, in s; 0 where nobody tells."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq = map(int, file.readline().split()[1:8])
    except OSError:
        return 0.0
    return (user + nice + system + irq + softirq) / _TICKS
