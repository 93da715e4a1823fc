"""How far the emulated chip is from the network."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import models
from models.errors import ModelError
from models.ka200.parity import compare
from models.network import Network
from models.untrained import calibrate, random_frames


@pytest.fixture(scope="module")
def network() -> Network[tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    built = models.build("luna16cls", mode="spike", steps=3)
    calibrate(built)
    return built


def seven_frames(network: Network[tuple[torch.Tensor, ...]]) -> NDArray[np.float32]:
    frames: NDArray[np.float32] = random_frames(network, 1)[:3].flatten(0, 1)[:7].numpy()
    return frames


def test_in_float32_nothing_differs(network: Network[tuple[torch.Tensor, ...]]) -> None:
    parity = compare(network, seven_frames(network), torch.float32)
    assert (parity.arithmetic, parity.steps) == ("float32", 7)
    assert (parity.predictions, parity.agreed) == (2, 2), "two whole stretches of three steps"
    assert parity.difference_max == 0 < parity.output_max
    assert [layer.name for layer in parity.layers] == ["conv1", "conv2", "conv3"]
    for layer in parity.layers:
        assert (layer.agreement, layer.first_difference, layer.difference_max) == (1, None, 0)
        assert layer.fired == layer.fired_on_chip > 0


def test_in_float16_a_little_differs(network: Network[tuple[torch.Tensor, ...]]) -> None:
    parity = compare(network, seven_frames(network))
    assert parity.arithmetic == "float16"
    for layer in parity.layers:
        assert 0.9 < layer.agreement <= 1
        assert 0 < layer.difference_rms < 0.2 * layer.membrane_rms
        assert (layer.first_difference is None) == (layer.agreement == 1)


def test_what_is_counted_is_what_the_network_does(
    network: Network[tuple[torch.Tensor, ...]],
) -> None:
    frames = random_frames(network, 1)[0, :2]
    (layer, *_) = compare(network, frames.numpy(), torch.float32).layers
    fired, square, v = 0, 0.0, torch.zeros(1, 32, 32, 32)
    with torch.inference_mode():
        for frame in frames:
            y, v = network.conv1(frame[None, None], v)
            fired += int(y.sum())
            square += float((v.double() ** 2).mean()) / 2
    assert (layer.neurons, layer.fired) == (32 * 32 * 32, fired)
    assert layer.membrane_rms == pytest.approx(square**0.5)


def test_a_transformer_is_compared_as_it_is_compiled() -> None:
    torch.manual_seed(0)
    options = {"size": [16, 16], "classes": 5, "steps": 1}
    parity = compare(
        models.build("meta_spikeformer_8_384", **options).eval(),
        np.full((1, 3, 16, 16), 100, np.uint8),
        torch.float32,
    )
    assert {layer.agreement for layer in parity.layers} == {1}
    assert len(parity.layers) == len({layer.name for layer in parity.layers}) == 77


@pytest.mark.parametrize("shape", [(0, 1, 32, 32), (3, 2, 32, 32)])
def test_frames_that_do_not_fit_are_refused(
    network: Network[tuple[torch.Tensor, ...]], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ModelError, match=r"luna16cls takes frames \(steps, 1, 32, 32\) .*, got"):
        compare(network, np.zeros(shape, np.uint8))
