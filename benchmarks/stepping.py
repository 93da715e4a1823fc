"""A time step of each network by the engine, by torch and by peers, in one run.

Usage: python -m benchmarks.stepping [--peers PYTHON] [--batch N] [--rounds N] [--json FILE]
[--only NAME] [--use NAME=WEIGHTS=RECORDING]. PYTHON has SpikingJelly, norse or snnTorch installed.
Without ``--use`` the frames are of the embedded recordings, and networks without shipped weights
have random ones. A batch is stepped on two threads, a stream on one; torch and the peers get one
and two threads, and the better counts. Rounds take turns, so that all meet the same noise.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

import models
import models.weights
from benchmarks.stepping_peers import PEERS
from models.engine.engine import Engine
from pipeline.messages import Frames
from pipeline.offline import play, run_chain
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.sources.replay import Replay, ReplayConfig

STEPS = 60
"""Steps of a round."""


class Case(NamedTuple):
    """What is measured."""

    weights: Path | None
    recording: Path


CASES = {
    "dvs_gesture": Case(
        Path("models/weights/dvs_gesture.safetensors"),
        Path("recordings/gestures_simulated.aedat4"),
    ),
    "mnist_dvs": Case(None, Path("recordings/mnist_dvs_simulated")),
    "cifar10_dvs": Case(None, Path("recordings/cifar10_dvs_simulated")),
}
WINDOW_US = {"dvs_gesture": 25_000, "mnist_dvs": 100_000, "cifar10_dvs": 5_000}


def read_frames(name: str, recording: Path, size: tuple[int, int]) -> NDArray[Any]:
    """Bin a recording, or the first of a folder -> (steps, channels, height, width)."""
    path = next(p for p in sorted(recording.iterdir())) if recording.is_dir() else recording
    source = Replay("camera", ReplayConfig(path=path))
    config = TimeBinConfig(window_us=WINDOW_US[name], size=size)
    stage = TimeBin("bins", config, [source.port()])
    arrays = [m.array for m in run_chain(play(source), [stage]) if isinstance(m.header, Frames)]
    frames = np.concatenate(arrays)
    return np.tile(frames, (-(-STEPS // len(frames)), 1, 1, 1))[:STEPS]


def prepare(name: str, case: Case, folder: Path) -> tuple[Path, NDArray[Any]]:
    """Return weights and frames; without weights, random ones whose statistics fit the frames."""
    if case.weights is not None:
        height, width = models.read_card(case.weights).input_size
        return case.weights, read_frames(name, case.recording, (height, width))
    torch.manual_seed(0)
    network = models.build(name, mode="spike")
    height, width = network.input_shape[1:]
    frames = read_frames(name, case.recording, (height, width))
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        network.train()(torch.from_numpy(frames)[None])
    card = models.ModelCard(
        network=name,
        options=network.options,
        classes=tuple(f"class {k}" for k in range(network.options["classes"])),
        sensor_size=(height, width),
        input_size=(height, width),
        window_us=WINDOW_US[name],
        steps=network.options["steps"],
        data="none: random weights",
        accuracy="none",
        licence="Apache-2.0",
        created_by="benchmarks.stepping",
    )
    path = folder / f"{name}.safetensors"
    models.weights.save(network.eval(), card, path)
    return path, frames


def layer_table(engine: Engine) -> list[tuple[str, int, int, int, int, int, int]]:
    """Describe the layers for `benchmarks.stepping_peers`."""
    rows = []
    for layer in engine.layers:
        g = layer.geometry
        if layer.is_map:
            pool = g.out_height // layer.out_size[0]
            row = ("conv", g.inputs, g.outputs, g.kernel_height, g.stride, g.padding, pool)
        else:
            row = ("fc", g.inputs * g.height * g.width, g.outputs, 1, 1, 0, 1)
        rows.append(row)
    return rows


def ours(weights: Path, x: NDArray[Any]) -> Callable[[], None]:
    """Return what steps the engine: a stream message by message, a batch on two threads."""
    engine = Engine.load(weights)
    engine.tune()

    def run() -> None:
        state = engine.initial_state(len(x))
        if len(x) > 1:
            engine.forward(x, state, threads=2)
            return
        for t in range(x.shape[1]):
            engine.step(x[:, t], state)

    return run


def plain(weights: Path, x: NDArray[Any], threads: int) -> Callable[[], None]:
    """Return what steps the torch network, which computes as the reference code does."""
    network = models.load(weights)
    frames = torch.from_numpy(x.astype(np.float32))

    def run() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            state = network.initial_state(len(x))
            for t in range(x.shape[1]):
                _, state = network.step(frames[:, t], state)

    return run


def here(run: Callable[[], None], steps: int) -> list[float]:
    """Return microseconds a step, once."""
    start = time.perf_counter()
    run()
    return [1e6 * (time.perf_counter() - start) / steps]


def there(python: str, name: str, layers: str, frames: Path, threads: int) -> list[float]:
    """Return microseconds a step of a peer, or nothing where it is not installed."""
    script = Path(__file__).with_name("stepping_peers.py")
    command = [python, str(script), name, layers, str(frames), str(threads), "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found: list[float] = json.loads(done.stdout) if done.returncode == 0 else []
    return found


def compare(name: str, case: Case, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure one network -> what was measured, by name, microseconds a step of each round."""
    weights, frames = prepare(name, case, folder)
    x = np.repeat(frames[None], options.batch, 0)
    file = folder / "frames.npy"
    np.save(file, x)
    engine = Engine.load(weights)
    layers = json.dumps(layer_table(engine))
    work: dict[str, Callable[[], list[float]]] = {}
    run = ours(weights, x)
    run()
    work["the engine"] = lambda run=run: here(run, STEPS)
    for threads in (1, 2):
        run = plain(weights, x, threads)
        run()
        work[f"our torch network, {threads} threads"] = lambda run=run: here(run, STEPS)
        for peer in PEERS if options.peers else ():
            work[f"{peer}, {threads} threads"] = lambda peer=peer, threads=threads: there(
                options.peers, peer, layers, file, threads
            )
    taken: dict[str, list[float]] = {each: [] for each in work}
    for _ in range(options.rounds):
        for each, once in work.items():
            taken[each] += once()
    return {each: found for each, found in taken.items() if found}


def show(name: str, batch: int, taken: dict[str, list[float]]) -> Table:
    """Draw the table of one network."""
    table = Table("by", "µs a step", "spread", "engine is faster by", box=box.SIMPLE_HEAD)
    table.title = f"{name}, batch {batch}"
    first = statistics.median(taken["the engine"])
    for each, found in taken.items():
        median = statistics.median(found)
        spread = f"{min(found):.0f} to {max(found):.0f}"
        table.add_row(each, f"{median:.0f}", spread, f"{median / first:.1f} ×")
    return table


def main() -> None:
    """Measure, print a table for each network, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", action="append")
    parser.add_argument("--use", action="append", default=[])
    options = parser.parse_args()
    cases = dict(CASES)
    for use in options.use:
        name, weights, recording = use.split("=")
        cases[name] = Case(Path(weights), Path(recording))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or cases:
            found[name] = compare(name, cases[name], options, Path(folder))
            Console().print(show(name, options.batch, found[name]))
    if options.json:
        options.json.write_text(json.dumps({"batch": options.batch, "us_a_step": found}))


if __name__ == "__main__":
    main()
