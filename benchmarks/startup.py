"""How long `pipeline run` takes to its first prediction, with a warm and with an empty cache.

Usage: python -m benchmarks.startup [--quick] [--json FILE]

A cold run has an empty Numba cache, as the first one behind an installation; files are in the
system's cache either way. Processor time is that of all processes of the run, which plays two
seconds of the recording; on a busy machine it is the steadier figure. What a process of Python
takes to load the libraries that no run can do without is measured beside it.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Options, Row, Rows, command, compare

__all__ = ["Started", "figures", "rows"]

_PREDICTION = re.compile(r"^ *\d+\.\d{3} s  ")
_FILE = Path(__file__).parents[1] / "pipeline.toml"
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


def figures(name: str, found: Sequence[Started]) -> Iterator[Row]:
    """Yield rows of several runs."""
    walls = {
        f"{name}: to the first line": [one.line_s for one in found],
        f"{name}: until all stages are open": [one.ready_s for one in found],
        **{
            f"{name}: stage {stage} opens": [one.open_s[stage] for one in found]
            for stage in found[0].open_s
        },
        f"{name}: to the first prediction": [one.first_s for one in found],
        f"{name}: processor time of the run": [one.processor_s for one in found],
    }
    yield from compare("startup", "s", walls)


def rows(options: Options) -> Rows:
    """Yield a warm start, a cold one, and what loading the libraries takes."""
    if not _FILE.exists():
        yield f"not measured: startup: {_FILE} is not there; it is part of the source tree"
        return
    environment = dict(os.environ)
    cold = []
    for _ in range(0 if options.quick else 1):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(started(_FILE, environment | {"NUMBA_CACHE_DIR": cache}))
    started(_FILE, environment)
    warm = [started(_FILE, environment) for _ in range(options.runs)]
    walls, processor = zip(*(libraries() for _ in range(options.runs)), strict=True)
    one = "one process of Python with numpy, Numba, zmq, pydantic"
    yield from compare("startup", "s", {one: walls, f"{one}: processor time": processor})
    yield from figures("warm", warm)
    if cold:
        yield from figures("cold", cold)


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
