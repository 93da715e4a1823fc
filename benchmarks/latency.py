"""Latency of real-time replay at several offered loads: from event to prediction.

Usage: python -m benchmarks.latency [--quick] [--json FILE]

A recording of random events on a sensor of 320×240 is played at speed 1 through time_bin (25 ms,
40×40), the DVS Gesture network, aggregate (a prediction each window) and jsonl, each in a process
of its own. What is told of a run:

event     From the moment when the window's last event was due to when its prediction was written.
transit   The same from the moment when the message that closed the window left the source. What
          lies between is the source's pace: it lets events go in slices of a millisecond, each when
          its end is due.
late      The furthest that a slice left the source behind its due time: above the capacity of the
          machine it grows with the length of the run. A file source waits; it never drops.
lost      Events that no window holds, and windows without a prediction.
CPU       Processor time of the stages' processes a second, in all and of each stage.

"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import Options, Row, Rows, command, compare
from pipeline.events import events_from_columns
from stages.formats.aedat.aedat4_writer import Aedat4Writer

__all__ = ["Played", "figures", "rows"]

_WIDTH, _HEIGHT = 320, 240
_PACKET_US = 10_000
_WEIGHTS = Path(__file__).parents[1] / "models" / "weights" / "dvs_gesture.safetensors"
_PIPELINE = f"""
[run]
name = "latency"
[[stage]]
name = "camera"
use = "replay"
path = "recording.aedat4"
speed = 1
[[stage]]
name = "bins"
use = "time_bin"
window_us = 25_000
size = [40, 40]
[[stage]]
name = "network"
use = "snn"
weights = "{_WEIGHTS}"
[[stage]]
name = "decision"
use = "aggregate"
over = "running"
[[stage]]
name = "file"
use = "jsonl"
path = "predictions.jsonl"
"""


class Played(NamedTuple):
    """One run."""

    rate_mev_s: float
    latency: dict[str, Any]
    transit: dict[str, Any]
    late_max_ms: float
    lost: int
    wall_s: float
    processor_s: float
    processor_of_s: dict[str, float]


def write(path: Path, rate_mev_s: float, seconds: float) -> int:
    """Write a recording of random events at a steady rate; return how many."""
    rng = np.random.default_rng(0)
    in_packet = round(rate_mev_s * _PACKET_US)
    with Aedat4Writer(path, _WIDTH, _HEIGHT) as writer:
        for begin_us in range(0, round(seconds * 1e6), _PACKET_US):
            t = begin_us + np.sort(rng.integers(0, _PACKET_US, in_packet))
            x, y = rng.integers(0, (_WIDTH, _HEIGHT), (in_packet, 2)).T
            writer.write(events_from_columns(t, x, y, rng.integers(0, 2, in_packet)))
    return in_packet * len(range(0, round(seconds * 1e6), _PACKET_US))


def played(folder: Path, rate_mev_s: float) -> Played:
    """Replay the recording in a folder once."""
    command = [sys.executable, "-P", "-m", "pipeline.cli", "run", "p.toml", "--json"]
    before, begun = os.times(), time.perf_counter()
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    after, wall_s = os.times(), time.perf_counter() - begun
    reports = {report["name"]: report for report in json.loads(run.stdout)["reports"]}
    file, camera = reports["file"], reports["camera"]
    windows = reports["bins"]["account"]["due"]
    refused = sum(sum(report["account"]["refused"].values()) for report in reports.values())
    return Played(
        rate_mev_s,
        file["latency"],
        file["transit"],
        camera["pace"]["late_max_ms"],
        refused + windows - file["account"]["made"],
        wall_s,
        after.children_user + after.children_system - before.children_user - before.children_system,
        {name: report["processor_s"] for name, report in reports.items()},
    )


def figures(found: list[Played], seconds: float) -> Iterator[Row]:
    """Yield rows of several runs of one rate."""
    of = f"{found[0].rate_mev_s:g} Mev/s offered"
    for what in ("transit", "latency"):
        for key in ("p50", "p99", "max"):
            values = [getattr(one, what)[f"{key}_ms"] for one in found]
            name = "from event" if what == "latency" else "transit"
            yield from compare("latency", "ms", {f"{of}, {name}, {key}": values})
    yield from compare("latency", "ms", {f"{of}, late, max": [one.late_max_ms for one in found]})
    lost = {f"{of}, lost": [float(one.lost) for one in found]}
    yield from compare("latency", "events", lost)
    for stage in found[0].processor_of_s:
        shares = [100 * one.processor_of_s[stage] / seconds for one in found]
        yield from compare("latency", "%", {f"{of}, CPU, {stage}": shares})
    total = [100 * sum(one.processor_of_s.values()) / seconds for one in found]
    yield from compare("latency", "%", {f"{of}, CPU, all stages": total})


def rows(options: Options) -> Rows:
    """Yield latency, what was lost, and processor time, for several offered rates."""
    seconds = 0.5 if options.quick else 10.0
    for rate in (1.0,) if options.quick else (1.0, 10.0, 50.0):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "p.toml").write_text(_PIPELINE)
            write(folder / "recording.aedat4", rate, seconds)
            found = [played(folder, rate) for _ in range(min(options.runs, 3))]
        yield from figures(found, seconds)


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
