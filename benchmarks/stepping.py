"""A time step of each network by the engine, by torch and by peers, in one run.

Usage: python -m benchmarks.stepping [--peers PYTHON ...] [--use NETWORK=WEIGHTS=RECORDING ...]
                                     [--quick] [--json FILE]

PYTHON has SpikingJelly, norse or snnTorch installed. Without ``--use`` the frames are of the
embedded recordings, and networks without shipped weights have random ones: then the rates of spikes
are not those of a trained network. Batch 1 is a stream, stepped frame by frame; batches of 16 and
64 are whole recordings, of as many steps as the network was made for. Torch, the peers and the
engine get one and two threads.

Peers have the same layers, with BatchNorm in front of the neurons: none normalises the membrane.
Their cost does not depend on how many spikes there are.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import models
import models.weights
from benchmarks.measure import (
    Options,
    Rows,
    beside_each,
    best_of,
    call,
    command,
    compare,
    in_turns,
    timed,
)
from models.engine.engine import Engine
from pipeline.messages import Frames
from pipeline.offline import play, run_chain
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.sources.replay import Replay, ReplayConfig

__all__ = ["Case", "frames_of", "rows"]

STEPS = 60
"""Steps of a stream in a run."""
BATCHES = (16, 64)
HERE = Path(models.__file__).parents[1]


class Case(NamedTuple):
    """A network to step."""

    network: str
    window_us: int | None
    """Length of a step of its recordings; None: random bytes, as those of a scan."""
    recording: Path | None = None
    weights: Path | None = None
    mode: str = "spike"

    @property
    def name(self) -> str:
        """What it is called in a table."""
        return self.network if self.mode == "spike" else f"{self.network} {self.mode}"


CASES = (
    Case(
        "dvs_gesture",
        25_000,
        HERE / "recordings" / "gestures_simulated.aedat4",
        HERE / "models" / "weights" / "dvs_gesture.safetensors",
    ),
    Case("mnist_dvs", 50_000, HERE / "recordings" / "mnist_dvs_simulated"),
    Case("cifar10_dvs", 5_000, HERE / "recordings" / "cifar10_dvs_simulated"),
    Case("mnist_dvs", 50_000, HERE / "recordings" / "mnist_dvs_simulated", mode="analog"),
    Case("luna16cls", None, mode="analog"),
)


def cases(options: Options) -> list[Case]:
    """Return the cases, those of ``--use`` in the place of what is shipped."""
    found = {case.name: case for case in CASES[: 1 if options.quick else None]}
    for use in options.use:
        network, weights, recording = use.split("=")
        card = models.read_card(Path(weights))
        mode = str(card.options["mode"])
        case = Case(network, card.window_us, Path(recording), Path(weights), mode)
        found[case.name] = case
    return list(found.values())


def frames_of(case: Case, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Bin a recording, or those of a folder -> (steps, channels, height, width)."""
    channels, height, width = shape
    if case.window_us is None or case.recording is None or not case.recording.exists():
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (STEPS, channels, height, width)).astype(np.uint8)
    source = Replay("camera", ReplayConfig(path=case.recording))
    config = TimeBinConfig(window_us=case.window_us, size=(height, width))
    stage = TimeBin("bins", config, [source.port()])
    arrays = [m.array for m in run_chain(play(source), [stage]) if isinstance(m.header, Frames)]
    return np.concatenate(arrays)


def samples(frames: NDArray[Any], batch: int, steps: int) -> NDArray[Any]:
    """Cut stretches that start at different times -> (batch, steps, channels, height, width)."""
    starts = np.arange(batch) * max(1, len(frames) // batch)
    return frames[(starts[:, None] + np.arange(steps)) % len(frames)]


def prepare(case: Case, folder: Path) -> tuple[Path, NDArray[Any]]:
    """Return weights and frames; without weights, random ones whose statistics fit the frames."""
    if case.weights is not None:
        card = models.read_card(case.weights)
        return case.weights, frames_of(case, (card.options["input_channels"], *card.input_size))
    import torch

    torch.manual_seed(0)
    network = models.build(case.network, mode=case.mode)
    channels, height, width = network.input_shape
    frames = frames_of(case, (channels, height, width))
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        network.train()(torch.from_numpy(frames[:STEPS])[None])
    card = models.ModelCard(
        network=case.network,
        options=network.options,
        classes=tuple(f"class {k}" for k in range(network.options["classes"])),
        sensor_size=(height, width),
        input_size=(height, width),
        window_us=case.window_us,
        steps=network.options["steps"],
        data="none: random weights",
        accuracy="none",
        licence="Apache-2.0",
        created_by="benchmarks.stepping",
    )
    path = folder / f"{case.name}.safetensors"
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


def ours(weights: Path, x: NDArray[Any], cores: int) -> Callable[[], None]:
    """Return what steps the engine: a stream message by message, of a batch a sample a core."""
    engine = Engine.load(weights, cores if len(x) == 1 else 1)
    engine.tune()

    def run() -> None:
        state = engine.initial_state(len(x))
        if len(x) > 1:
            engine.forward(x, state, threads=cores)
            return
        for t in range(x.shape[1]):
            engine.step(x[:, t], state)

    return run


def plain(weights: Path, x: NDArray[Any], threads: int) -> Callable[[], None]:
    """Return what steps the torch network, which computes as the reference code does."""
    import torch

    network = models.load(weights)
    frames = torch.from_numpy(x.astype(np.float32))

    def run() -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            state = network.initial_state(len(x))
            for t in range(x.shape[1]):
                _, state = network.step(frames[:, t], state)

    return run


def peers_of(options: Options) -> dict[str, list[str]]:
    """Return for each interpreter the peers that no one before it has; ours has torch."""
    found: dict[str, list[str]] = {}
    known: set[str] = set()
    for python in (*options.peers, sys.executable):
        found[python] = [
            name for name in call(python, "stepping_peers.py", "list") if name not in known
        ]
        known.update(found[python])
    return {python: names for python, names in found.items() if names}


def there(
    python: str, names: list[str], layers: str, frames: Path, threads: int, of: str
) -> dict[str, float]:
    """Return microseconds a step of several peers, each the better of two."""
    line = (json.dumps(names), layers, frames, threads, 2)
    found = call(python, "stepping_peers.py", *line, OMP_NUM_THREADS=str(threads))
    return {f"{of}, {name}, {_cores(threads)}": min(taken) for name, taken in found.items()}


def work_of(
    case: Case, weights: Path, x: NDArray[Any], peers: dict[str, list[str]], folder: Path
) -> dict[str, Callable[[], float | dict[str, float]]]:
    """Return who steps a batch, by name; each tells microseconds a step."""
    batch, steps = x.shape[:2]
    file = folder / "frames.npy"
    np.save(file, x)
    layers = json.dumps(layer_table(Engine.load(weights)))
    of = f"{case.name}, batch {batch}"
    work: dict[str, Callable[[], float | dict[str, float]]] = {}
    for threads in (1, 2) if batch == 1 else (2,):
        for who, make in (("engine", ours), ("our torch network", plain)):
            run = make(weights, x, threads)
            work[f"{of}, {who}, {_cores(threads)}"] = lambda run=run: 1e6 * timed(run) / steps
        for python, names in peers.items():
            wanted = [name for name in names if _comparable(name, case, batch)]
            if wanted:
                work[f"{of}, {', '.join(wanted)}, {_cores(threads)}"] = partial(
                    there, python, wanted, layers, file, threads, of
                )
    return work


def _comparable(peer: str, case: Case, batch: int) -> bool:
    """Tell whether a peer is stepped: none has analog neurons; of batches the best one."""
    if "alone" in peer:
        return True
    return case.mode == "spike" and (batch == 1 or "SpikingJelly" in peer)


def _cores(count: int) -> str:
    return f"{count} core{'s' if count > 1 else ''}"


def rows(options: Options) -> Rows:
    """Yield each network, and the engine at its best beside each other at its best."""
    peers, notes = peers_of(options), []
    for case in cases(options):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            weights, frames = prepare(case, folder)
            card = models.read_card(weights)
            for batch in (1, *BATCHES[: 1 if options.quick else None]):
                if batch > 1 and case.mode != "spike":
                    continue
                steps = STEPS if batch == 1 else card.steps or STEPS
                if options.quick:
                    steps, batch = 3, min(batch, 2)
                x = samples(frames, batch, steps)
                runs = min(options.runs, 5 if batch == 1 else 3)
                found = in_turns(work_of(case, weights, x, peers, folder), runs, notes)
                yield from compare("step", "µs", found)
                whose: dict[str, list[str]] = {}
                for each in found:
                    whose.setdefault(each.rpartition(", ")[0], []).append(each)
                best = [best_of("µs", found, those) for those in whose.values()]
                own = next(each for each in best if ", engine, " in each)
                best.remove(own)
                yield from beside_each("step", "µs", found, own, best)
    yield from notes


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
