"""A time step by ONNX Runtime beside the engine and torch, in one run.

Usage: python -m benchmarks.onnx_step [--use NETWORK=WEIGHTS=RECORDING ...] [--quick] [--json FILE]

The networks, weights and frames are those of `benchmarks.stepping`; batch 1, a stream.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from benchmarks.measure import Options, Rows, beside_each, command, compare, in_turns, timed
from benchmarks.stepping import STEPS, cases, ours, plain, prepare, samples
from models.interchange.step import digest, export_onnx
from stages.inference.onnx_stepper import OnnxStepper, onnx_of

__all__ = ["rows"]


def onnx(weights: Path, x: NDArray[Any], cores: int) -> Callable[[], None]:
    """Return what steps the exported step, message by message, as the stage does."""
    if not onnx_of(weights).exists():
        export_onnx(models.load(weights), onnx_of(weights), digest(weights))
    stepper = OnnxStepper(weights, cores)

    def run() -> None:
        state = stepper.rest()
        for t in range(x.shape[1]):
            _, state = stepper.step(x[0, t : t + 1], state)

    return run


def _per_step(run: Callable[[], None], steps: int) -> Callable[[], float]:
    """Return what tells the microseconds a step of a run."""
    return lambda: 1e6 * timed(run) / steps


def rows(options: Options) -> Rows:
    """Yield each network, and the engine beside each of the others."""
    notes: list[str] = []
    for case in cases(options):
        with tempfile.TemporaryDirectory() as name:
            given, frames = prepare(case, Path(name))
            weights = Path(name) / "weights.safetensors"
            weights.write_bytes(given.read_bytes())  # the export goes beside it
            steps = 3 if options.quick else STEPS
            x = samples(frames, 1, steps).astype(np.uint8)
            for cores in (1, 2):
                of = f"{case.name}, {cores} core{'s' if cores > 1 else ''}"
                work = {
                    f"{of}, {who}": _per_step(make(weights, x, cores), steps)
                    for who, make in (("engine", ours), ("ONNX Runtime", onnx), ("torch", plain))
                }
                found = in_turns(work, min(options.runs, 5), notes)
                yield from compare("onnx", "µs", found)
                own, *others = found
                yield from beside_each("onnx", "µs", found, own, others)
    yield from notes


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
