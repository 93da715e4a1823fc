"""A training step of the DVS Gesture network, beside SpikingJelly's: seconds and memory.

Usage: python -m benchmarks.training [--peers PYTHON] [--rounds 5] [--steps 3]

A step is forward, loss, backward and Adam of a batch of 16 times 60 steps of 2×40×40, 5 % of them
events, in float32 on all cores. Every round measures each in a process of its own, one after the
other; PYTHON has SpikingJelly, best with the same torch. Its network is as near as it can be: see
`training_step.spikingjelly`. The lines with bfloat16 products stand apart: no peer has them here.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import training_step

__all__ = ["main"]


def measured(python: str, name: str, steps: int) -> dict[str, Any]:
    """Run one in an interpreter and return what it says."""
    command = [python, str(Path(training_step.__file__)), name, str(steps)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has SpikingJelly")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="measured in each round")
    options = parser.parse_args()

    pythons = dict.fromkeys(training_step.STEPS, sys.executable)
    pythons["SpikingJelly"] = options.peers
    found: dict[str, list[dict[str, Any]]] = {
        name: [] for name, python in pythons.items() if python
    }
    for _ in range(options.rounds):
        for name, results in found.items():
            results.append(measured(pythons[name], name, options.steps))

    base = "SpikingJelly" if options.peers else "our plain loop"
    table = Table(
        *("training step", "seconds", "spread", "ratio", "of the step", "peak memory", "ratio"),
        box=box.SIMPLE_HEAD,
        caption="torch " + ", ".join(sorted({result["torch"] for (result, *_) in found.values()})),
    )

    def seconds(name: str) -> list[float]:
        return [second for result in found[name] for second in result["seconds"]]

    def peak(name: str) -> float:
        return max(result["peak_mb"] for result in found[name])

    for name, results in found.items():
        median = statistics.median(seconds(name))
        added = max(result["peak_mb"] - result["before_mb"] for result in results)
        table.add_row(
            name,
            f"{median:.2f}",
            f"{min(seconds(name)):.2f} to {max(seconds(name)):.2f}",
            f"{median / statistics.median(seconds(base)):.2f}",
            f"{added:.0f} MB",
            f"{peak(name):.0f} MB",
            f"{peak(name) / peak(base):.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
