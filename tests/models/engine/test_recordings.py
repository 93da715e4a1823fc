"""The engine against the torch network on real recordings: the same spikes, over many steps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines import beside, engine_of
from numpy.typing import NDArray
from shared import SHARED
from streams import rows, through

import models
from models.engine.engine import Engine
from models.network import Network
from models.untrained import calibrate
from pipeline.offline import play
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.sources.replay import Replay, ReplayConfig

WEIGHTS = Path(__file__).parents[3] / "models" / "weights"
AEDAT4 = SHARED / "recordings" / "aedat4"
HAND_CLAPPING = AEDAT4 / "tonic_sample.aedat4"
HAND_GESTURE = AEDAT4 / "redpob_dvSave-2024_06_13_16_16_25.aedat4"


def read(path: Path, size: tuple[int, int], window_us: int) -> NDArray[np.uint8]:
    """Return a recording as the stages bin it, (steps, 2, height, width)."""
    source = Replay("camera", ReplayConfig(path=path))
    bins = TimeBin("bins", TimeBinConfig(window_us=window_us, size=list(size)), [source.port()])
    frames: NDArray[np.uint8] = rows(through([bins], play(source)))
    return frames


def untrained(name: str, **options: Any) -> Network[Any]:
    torch.manual_seed(0)
    network = models.build(name, **options)
    calibrate(network)
    return network.requires_grad_(False)


def hold(engine: Engine, network: Network[Any], frames: NDArray[np.uint8]) -> int:
    """Compare layer by layer and as a whole; return how many decisions were compared."""
    found = beside(engine, network, frames)
    assert found.differing <= found.decisions / 1e6
    assert found.furthest < 1e-4
    outputs, _ = network(torch.from_numpy(frames)[None])
    if not found.differing:
        np.testing.assert_allclose(found.outputs, outputs[0].numpy(), rtol=1e-4, atol=1e-4)
    return found.decisions


@pytest.mark.shared
@pytest.mark.parametrize(
    ("recording", "window_us"),
    [(HAND_CLAPPING, 25_000), (HAND_CLAPPING, 5_000), (HAND_GESTURE, 25_000)],
)
def test_the_gesture_network_fires_as_torchs_does(recording: Path, window_us: int) -> None:
    path = WEIGHTS / "dvs_gesture.safetensors"
    frames = read(recording, (40, 40), window_us)
    assert len(frames) >= 24
    assert hold(Engine.load(path), models.load(path), frames) > 1_000_000


@pytest.mark.shared
def test_the_digit_network_puts_out_what_torchs_does() -> None:
    path = WEIGHTS / "nmnist.safetensors"
    engine, network = Engine.load(path), models.load(path)
    recordings = sorted((SHARED / "nmnist" / "Train").glob("*/*.bin"))[::160]
    assert len(recordings) == 5
    decisions = [hold(engine, network, read(one, (34, 34), 16_000)) for one in recordings]
    assert sum(decisions) > 5_000_000


@pytest.mark.shared
@pytest.mark.parametrize("mode", ["spike", "analog"])
@pytest.mark.parametrize("head", ["after_mean", "per_step"])
def test_the_object_network_does_what_torchs_does(mode: str, head: str) -> None:
    network = untrained("cifar10_dvs", mode=mode, head=head)
    frames = read(HAND_GESTURE, (128, 128), 5_000)[200:206]
    assert frames.any()
    assert hold(engine_of(network), network, frames) > 1_000_000
