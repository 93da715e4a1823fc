"""How long `pipeline run` takes to its first prediction, with a warm and with an empty cache.

Usage: python -m benchmarks.startup [--runs N] [--cold N] [--json FILE] [PIPELINE.toml]

A cold run has an empty Numba cache, as the first one behind an installation; files are in the
system's cache either way. Processor time is that of all processes of the run, which plays two
seconds of the recording; on a busy machine it is the steadier figure. What a process of Python
takes to load the libraries that no run can do without is measured beside it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["main"]

_PREDICTION = re.compile(r"^ *\d+\.\d{3} s  ")
_LIBRARIES = "import numpy, numba, zmq, pydantic, msgspec"


class Started(NamedTuple):
    """One run."""

    line_s: float
    """Until the first line on the screen."""
    first_s: float
    """Until the first prediction."""
    processor_s: float
    ready_s: float
    """From the checked graph to the moment when the sources were let go."""
    open_s: dict[str, float]
    """What each stage took to open."""


def started(pipeline: Path, environment: Mapping[str, str]) -> Started:
    """Run a pipeline file and see when its first prediction comes."""
    command = [sys.executable, "-P", "-m", "pipeline.cli", "run", str(pipeline), "--json"]
    with tempfile.TemporaryDirectory() as folder:
        for change in ("camera.stop_us=2_000_000", f"file.path={folder}/predictions.jsonl"):
            command += ["--set", change]
        begun, before = time.perf_counter(), os.times()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            line_s = first_s = 0.0
            for line in run.stderr:
                now = time.perf_counter() - begun
                line_s = line_s or now
                if not first_s and _PREDICTION.match(line):
                    first_s = now
            outcome = json.loads(run.stdout.read())
    after = os.times()
    used = after.children_user + after.children_system
    return Started(
        line_s,
        first_s,
        used - before.children_user - before.children_system,
        outcome["ready_s"],
        {report["name"]: report["open_s"] for report in outcome["reports"]},
    )


def libraries() -> tuple[float, float]:
    """Return wall and processor time of a process that loads what every run needs."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", _LIBRARIES], check=True)
    after = os.times()
    used = after.children_user + after.children_system
    return time.perf_counter() - begun, used - before.children_user - before.children_system


def shown(values: Sequence[float]) -> str:
    """Return median and spread."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def main(pipeline: Path, runs: int, cold_runs: int, result: Path | None) -> None:
    """Measure, print a table, and write it as JSON where asked for."""
    environment = dict(os.environ)
    cold = []
    for _ in range(cold_runs):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(started(pipeline, environment | {"NUMBA_CACHE_DIR": cache}))
    started(pipeline, environment)
    warm = [started(pipeline, environment) for _ in range(runs)]
    alone = [libraries() for _ in range(runs)]
    table = Table("work", "wall, median (spread)", "processor", box=box.SIMPLE_HEAD)

    def row(work: str, walls: Sequence[float], processor: Sequence[float] | None = None) -> None:
        table.add_row(work, shown(walls), shown(processor) if processor else "")

    walls, processor = zip(*alone, strict=True)
    row("Python with numpy, Numba, zmq, pydantic: one process", walls, processor)
    for name, found in (("warm", warm), ("cold", cold)):
        if not found:
            continue
        table.add_section()
        row(f"{name}: to the first line", [one.line_s for one in found])
        row(f"{name}: until all stages are open", [one.ready_s for one in found])
        for stage in found[0].open_s:
            row(f"{name}: stage {stage} opens", [one.open_s[stage] for one in found])
        row(
            f"{name}: to the first prediction",
            [one.first_s for one in found],
            [one.processor_s for one in found],
        )
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    if result is not None:
        runs_found: dict[str, Any] = {
            "warm": [one._asdict() for one in warm],
            "cold": [one._asdict() for one in cold],
            "libraries_s": alone,
        }
        result.write_text(json.dumps(runs_found, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline", type=Path, nargs="?", default=Path("pipeline.toml"))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cold", type=int, default=1, help="runs with an empty cache")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    arguments = parser.parse_args()
    main(arguments.pipeline, arguments.runs, arguments.cold, arguments.json)
