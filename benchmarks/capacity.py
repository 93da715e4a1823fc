"""The forecast of `pipeline check --capacity` beside real runs at five loads, of two pipelines.

Usage: python -m benchmarks.capacity [--quick] [--json FILE]

The costs of a pipeline are measured as the command does it. Then random events are played by
`pipeline run` at shares of the highest rate that was forecast, from well below to above it. What is
told of a run, with the forecast beside what was measured:

share     Processor time of each process for a second of the recording.
sustained Events a second that the run got through, where that is less than was offered: of runs
          during which other programs were at rest, for which some further ones are waited for.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.measure import Options, Row, Rows, command
from pipeline.capacity.calibration import calibrate
from pipeline.capacity.costs import Costs
from pipeline.capacity.forecast import forecast
from pipeline.capacity.scene import scene_of
from pipeline.capacity.trial import machine_busy_s
from pipeline.config import read_config
from pipeline.events import events_from_columns
from pipeline.graph import build_graph
from pipeline.stage import Source
from stages.formats.aedat.aedat4_writer import Aedat4Writer

__all__ = ["rows"]

_SHARES = (0.05, 0.25, 0.5, 0.8, 1.5)
_KEPT = 0.95
_AT_REST = 0.2
"""Up to how many cores other programs may take where what is sustained is measured."""
_MOST_RUNS = 12
_SMALLEST = 0.05
"""Processes that take less than that share of a core are told of together with the others only."""
_MOST_EVENTS = 16_000_000
_START_HZ = 1e6
_WEIGHTS = Path(__file__).parents[1] / "models" / "weights"
_CAMERA = """
[run]
name = "capacity"
[[stage]]
name = "camera"
use = "replay"
path = "recording.aedat4"
speed = 1
join = true
loop = {loop}
"""
_BEHIND = """
[[stage]]
name = "decision"
use = "aggregate"
over = "running"
mismatch = "allow"
[[stage]]
name = "file"
use = "jsonl"
path = "predictions.jsonl"
"""
_TIME = f"""
[[stage]]
name = "bins"
use = "time_bin"
window_us = 5_000
size = [40, 40]
[[stage]]
name = "network"
use = "snn"
weights = "{_WEIGHTS}/dvs_gesture.safetensors"
mismatch = "allow"
"""
_COUNT = f"""
[[stage]]
name = "noise"
use = "background_activity"
[[stage]]
name = "bins"
use = "count_bin"
events = 4_000
size = [34, 34]
[[stage]]
name = "network"
use = "snn"
weights = "{_WEIGHTS}/nmnist.safetensors"
mismatch = "allow"
"""
_PIPELINES = {"gesture, 5 ms": (320, 240, _TIME), "digits, 4000 events": (34, 34, _COUNT)}


class Played(NamedTuple):
    """One run."""

    rate_hz: float
    shares: dict[str, float]
    others: float

    @property
    def is_at_rest(self) -> bool:
        """Whether other programs left the machine alone."""
        return self.others < _AT_REST


def write(path: Path, width: int, height: int, rate_hz: float, seconds: float) -> int:
    """Write random events; return how often they are to be played."""
    length_s = min(seconds, _MOST_EVENTS / rate_hz)
    rng = np.random.default_rng(1)
    count = round(rate_hz * length_s)
    t = np.sort(rng.integers(0, round(length_s * 1e6), count))
    x, y = rng.integers(0, (width, height), (count, 2)).T
    with Aedat4Writer(path, width, height, compression="none") as writer:
        writer.write(events_from_columns(t, x, y, rng.integers(0, 2, count)))
    return max(1, round(seconds / length_s))


def played(folder: Path) -> Played:
    """Run the pipeline of a folder."""
    line = [sys.executable, "-P", "-m", "pipeline.cli", "run", "p.toml", "--json"]
    own, busy_s, since_s = os.times(), machine_busy_s(), time.monotonic()
    run = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True)
    wall_s, ended = time.monotonic() - since_s, os.times()
    others_s = machine_busy_s() - busy_s - (sum(ended[:4]) - sum(own[:4]))
    reports = {report["name"]: report for report in json.loads(run.stdout)["reports"]}
    camera = reports["camera"]
    return Played(
        camera["account"]["made"] / camera["wall_s"],
        {name: each["processor_s"] / camera["pace"]["event_s"] for name, each in reports.items()},
        max(0.0, others_s) / wall_s,
    )


def measured(folder: Path) -> Costs:
    """Measure the costs of the pipeline of a folder."""
    config = read_config(folder / "p.toml")
    graph = build_graph(config)
    scenes = {
        node.name: scene_of(node.stage, node.name)
        for node in graph.nodes
        if isinstance(node.stage, Source)
    }
    return calibrate(config, graph, scenes, _START_HZ)


def _row(what: str, unit: str, expected: float, found: list[float]) -> Row:
    median = statistics.median(found)
    ratio = expected / median
    return Row("capacity", what, unit, median, min(found), max(found), ratio, "forecast / measured")


def figures(name: str, costs: Costs, offered_hz: float, runs: list[Played]) -> Iterator[Row]:
    """Yield what was measured at one load, each with the forecast as a ratio to it."""
    of = f"{name}, {offered_hz / 1e6:.3g} Mev/s offered"
    loads = forecast(costs, offered_hz)
    for process, load in loads.processes.items():
        shares = [100 * run.shares[process] for run in runs]
        if statistics.median(shares) >= 100 * _SMALLEST:
            yield _row(f"{of}, {process}", "%", 100 * load.share, shares)
    total = [100 * sum(run.shares.values()) for run in runs]
    yield _row(f"{of}, all", "%", 100 * loads.machine.share, total)
    behind = [run for run in runs if run.is_at_rest and run.rate_hz < _KEPT * offered_hz]
    if behind:
        rates = [run.rate_hz / 1e6 for run in behind]
        yield _row(f"{of}, sustained", "Mev/s", loads.sustained_hz / 1e6, rates)
    elif loads.sustained_hz < offered_hz:
        yield f"{of}: what is sustained was not measured, for the machine was not at rest"


def _waits(runs: list[Played], wanted: int) -> bool:
    at_rest = sum(run.is_at_rest for run in runs)
    return at_rest < wanted and len(runs) < (_MOST_RUNS if wanted > 1 else 1)


def rows(options: Options) -> Rows:
    """Yield the shares of each process at four loads, and what was sustained at one above."""
    count, seconds = (1, 1.0) if options.quick else (3, 2.0)
    for name, (width, height, stages) in _PIPELINES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            file, recording = folder / "p.toml", folder / "recording.aedat4"
            loop = write(recording, width, height, _START_HZ, 2.0)
            file.write_text(_CAMERA.format(loop=loop) + stages + _BEHIND)
            costs = measured(folder)
            first = forecast(costs, _START_HZ)
            most_hz = first.most_hz or _START_HZ
            yield (
                f"{name}: forecast {most_hz / 1e6:.3g} Mev/s, what binds is {first.binds}; reach"
                f" {costs.reach:.2f}; fit within {costs.worst_fit:.0%} at {len(costs.trials)}"
                f" rates; others took up to {costs.others:.1f} cores"
            )
            for share in _SHARES:
                loop = write(recording, width, height, share * most_hz, seconds)
                file.write_text(_CAMERA.format(loop=loop) + stages + _BEHIND)
                runs = [played(folder) for _ in range(count)]
                while share > 1 and _waits(runs, count):
                    runs.append(played(folder))
                others = statistics.median(run.others for run in runs)
                yield f"{name}, {share:g} of the most: others took {others:.2f} cores"
                yield from figures(name, costs, share * most_hz, runs)
                print(f"{name}: {share:g} done", file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command(__doc__, rows, sys.argv[1:])
