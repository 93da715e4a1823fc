"""The emulated chip: the network itself in float32, near it in the chip's float16."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import models
from models.ka200.emulator import Emulator
from models.network import Network

STEPS = 20


@pytest.fixture(scope="module")
def network() -> Network[Any]:
    torch.manual_seed(0)
    network = models.build("dvs_gesture", size=(16, 16)).eval().requires_grad_(False)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(0.05)
    return network


FRAMES = np.random.default_rng(0).poisson(0.3, (STEPS, 2, 16, 16)).astype(np.uint8)


def steps(emulator: Emulator, frames: NDArray[Any] = FRAMES) -> NDArray[np.float32]:
    return np.stack([emulator.step(frame) for frame in frames])


def test_in_float32_it_is_the_network(network: Network[Any]) -> None:
    expected = network(torch.from_numpy(FRAMES)[None])[0][0].numpy()
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(steps(Emulator(network, dtype=torch.float32)), expected)


def test_in_float16_it_is_nearly_the_network(network: Network[Any]) -> None:
    expected = network(torch.from_numpy(FRAMES)[None])[0][0].numpy()
    emulator = Emulator(network)
    outputs = steps(emulator)
    assert {array.dtype for array in emulator.arrays().values()} == {np.dtype(np.float16)}
    assert (outputs == expected).mean() > 0.8  # untrained: many a membrane is near the threshold
    assert network.dtype == torch.float32


def test_a_reset_forgets_all_and_nothing_else_does(network: Network[Any]) -> None:
    emulator = Emulator(network)
    once = steps(emulator)
    assert (steps(emulator) != once).any()
    emulator.reset()
    np.testing.assert_array_equal(steps(emulator), once)


def test_what_is_kept_takes_the_stream_up_again(network: Network[Any]) -> None:
    whole, first, second = steps(Emulator(network)), Emulator(network), Emulator(network)
    steps(first, FRAMES[:7])
    second.restore(first.arrays())
    steps(first, FRAMES)  # the arrays are copies
    np.testing.assert_array_equal(steps(second, FRAMES[7:]), whole[7:])


def test_the_mean_is_kept_on_the_chip(network: Network[Any]) -> None:
    mean = steps(Emulator(network, mean_steps=STEPS, dtype=torch.float32))
    outputs = steps(Emulator(network, dtype=torch.float32))
    np.testing.assert_allclose(mean[-1], outputs.mean(0), rtol=1e-5)


def test_the_layout_on_the_chip_is_no_concern_of_the_frames(network: Network[Any]) -> None:
    last = Emulator(network, layout="nhwc")
    np.testing.assert_array_equal(steps(last), steps(Emulator(network)))
