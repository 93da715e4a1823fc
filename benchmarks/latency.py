"""Latency of real-time replay at several offered loads: from event to prediction.

Usage: python -m benchmarks.latency [--rates M ...] [--seconds S] [--runs N] [--json FILE]

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

Of several runs the one with the median of p99 is shown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.events import events_from_columns
from stages.formats.aedat.aedat4_writer import Aedat4Writer

__all__ = ["main"]

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


def main(rates: list[float], seconds: float, runs: int, result: Path | None) -> None:
    """Measure, print a table, and write it as JSON where asked for."""
    columns = ("offered", "event p50, p99, max ms", "transit p50, p99, max ms", "late", "lost")
    table = Table(*columns, "CPU", "of it", box=box.SIMPLE_HEAD)
    found: list[Played] = []
    for rate in rates:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "p.toml").write_text(_PIPELINE)
            write(folder / "recording.aedat4", rate, seconds)
            several = [played(folder, rate) for _ in range(runs)]
        several.sort(key=lambda one: one.transit["p99_ms"])
        one = several[len(several) // 2]
        found += several
        times = [
            ", ".join(f"{each[key]:.1f}" for key in ("p50_ms", "p99_ms", "max_ms"))
            for each in (one.latency, one.transit)
        ]
        shares = {name: used / seconds for name, used in one.processor_of_s.items()}
        table.add_row(
            f"{rate:g} Mev/s",
            *times,
            f"{one.late_max_ms:.1f} ms",
            f"{one.lost:,}",
            f"{sum(shares.values()):.0%}",
            ", ".join(f"{name} {share:.0%}" for name, share in shares.items()),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    if result is not None:
        result.write_text(json.dumps([one._asdict() for one in found], indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 10.0, 50.0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write all figures")
    arguments = parser.parse_args()
    main(arguments.rates, arguments.seconds, arguments.runs, arguments.json)
