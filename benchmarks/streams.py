"""Many cameras into one network: throughput, what batching gains, delays, and who gets how much.

Usage: python -m benchmarks.streams [--quick] [--json FILE]

1, 4, 16 and 64 simulated cameras play the gestures that lie beside the project, each from another
place; each has bins of its own, and all share one network with a state for each. Cameras and bins
are threads of one process, the network is one, what times its outputs another.

windows/s   As fast as the network takes them, one by one and in batches, with either engine.
µs          What the network itself worked for a window, in the same runs.
fairness    Jain's index of how many outputs each camera had when half of all had come: 1 where all
            had as many, 1/n where one had all.
ms          In real time, 40 windows a second and camera: from the end of a window to its output.
"""

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Options, Rows, command, compare, in_turns
from pipeline.config import parse_config
from pipeline.graph import build_graph
from pipeline.messages import Events, Start
from pipeline.run.runner import run_pipeline
from stages.sources.replay import Replay, ReplayConfig

__all__ = ["rows"]

_ROOT = Path(__file__).parents[1]
_RECORDING = _ROOT / "recordings" / "gestures_simulated.aedat4"
_WEIGHTS = _ROOT / "models" / "weights" / "dvs_gesture.safetensors"
_WINDOW_US = 25_000
_CAMERAS = (1, 4, 16, 64)
_WINDOWS = {"event": 8_000, "torch": 1_600}
"""Of all cameras together."""
_REAL_TIME_S = 10
_RUNS = 3


def rows(options: Options) -> Rows:
    """Yield, for each number of cameras, one by one beside batches; then real time."""
    runs = min(_RUNS, options.runs)
    numbers = (1, 4) if options.quick else _CAMERAS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        period_us = _prepare(folder)
        run = partial(_run, folder, period_us)
        for engine, total in _WINDOWS.items():
            windows = total // 20 if options.quick else total
            for cameras in numbers:
                batch = max(cameras, 2)
                ways = {
                    f"{engine}, {cameras} camera{'s' * (cameras > 1)}, one by one": {"batch": 1},
                    f"{engine}, {cameras} camera{'s' * (cameras > 1)}, batches": {"batch": batch},
                    f"{engine}, {cameras} camera{'s' * (cameras > 1)}, batches, 2 threads": {
                        "batch": batch,
                        "threads": 2,
                    },
                }
                work = {
                    way: partial(
                        run, way, cameras, windows // cameras, 0.0, {"engine": engine, **o}
                    )
                    for way, o in ways.items()
                }
                found = in_turns(work, runs)
                first = next(iter(ways))
                for what, unit in (("", "windows/s"), ("network, ", "µs"), ("fairness, ", "")):
                    group = "many cameras" if not what else f"many cameras: {what.strip(', ')}"
                    chosen = {f"{what}{way}": found[f"{what}{way}"] for way in ways}
                    beside = f"{what}{first}" if unit else None
                    yield from compare(group, unit, chosen, beside)
        seconds = 1 if options.quick else _REAL_TIME_S
        for cameras in numbers:
            way = f"real time, {cameras} camera{'s' * (cameras > 1)}, batches"
            count = seconds * 1_000_000 // _WINDOW_US
            batch = {"batch": max(cameras, 2), "engine": "event"}
            found = in_turns({way: partial(run, way, cameras, count, 1.0, batch)}, runs)
            kinds = ("p50", "p99", "p99 of the worst camera", "p99 of the best camera")
            yield from compare(
                "many cameras: delay", "ms", {f"{way}, {k}": found[f"{k}, {way}"] for k in kinds}
            )
            lost = {f"{way}, lost": found[f"lost, {way}"]}
            yield from compare("many cameras: delay", "windows", lost)


def _prepare(folder: Path) -> int:
    """Write the recording's events as the cameras want them; return how long they last, in µs."""
    replay = Replay("camera", ReplayConfig(path=_RECORDING))
    replay.open()
    parts, state = [], replay.initial_state()
    for played in replay.play(state):
        for message in played.messages:
            if isinstance(message.header, Start):
                epoch = message.header.epoch
            if isinstance(message.header, Events) and epoch == 0:
                parts.append(message.array.copy())
    replay.close()
    events = np.concatenate(parts)
    events["t"] -= events["t"][0]
    np.save(folder / "events.npy", events)
    return int(events["t"][-1]) // _WINDOW_US * _WINDOW_US


def _run(
    folder: Path,
    period_us: int,
    way: str,
    cameras: int,
    windows: int,
    speed: float,
    network: Mapping[str, Any],
) -> dict[str, float]:
    names = [f"camera{k}" for k in range(cameras)]
    timed = folder / "timed.json"
    stages: list[dict[str, Any]] = [
        {
            "name": name,
            "use": "benchmarks.cameras:Camera",
            "group": "cameras",
            "events": str(folder / "events.npy"),
            "period_us": period_us,
            "offset_us": k * (period_us // cameras // _WINDOW_US) * _WINDOW_US,
            "windows": windows,
            "speed": speed,
        }
        for k, name in enumerate(names)
    ]
    stages += [
        {
            "name": "bins",
            "use": "time_bin",
            "from": names,
            "copies": "each",
            "group": "cameras",
            "window_us": _WINDOW_US,
            "size": [40, 40],
        },
        {"name": "network", "use": "snn", "weights": str(_WEIGHTS), **network},
        {"name": "timed", "use": "benchmarks.cameras:Timed", "path": str(timed)},
    ]
    config = parse_config({"stage": stages}, folder / "p.toml")
    with open(os.devnull, "w") as nowhere:
        outcome = run_pipeline(config, build_graph(config), nowhere)
    reports = {report.name: report for report in outcome.reports}
    for report in outcome.reports:
        if report.failure is not None:
            raise RuntimeError(report.failure.text)
    found = json.loads(timed.read_text())
    total = sum(each["all"] for each in found.values())
    shares = [each["by_half"] for each in found.values()]
    return {
        way: total / reports["network"].wall_s,
        f"network, {way}": reports["network"].busy_s * 1e6 / total,
        f"fairness, {way}": sum(shares) ** 2 / (cameras * sum(share**2 for share in shares)),
        f"p50, {way}": statistics.median(each["p50_ms"] for each in found.values()),
        f"p99, {way}": statistics.median(each["p99_ms"] for each in found.values()),
        f"p99 of the worst camera, {way}": max(each["p99_ms"] for each in found.values()),
        f"p99 of the best camera, {way}": min(each["p99_ms"] for each in found.values()),
        f"lost, {way}": cameras * windows - total,
    }


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
