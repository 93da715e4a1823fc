"""Synaptic operations and firing rates against a brute-force count of the torch network's maps."""

from typing import Any

import numpy as np
import pytest
import torch
from engines import engine_of
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import nn

import models
from models.engine.convolution import Geometry
from models.engine.statistics import LayerWork, Work, fan_out, work_of
from models.layers import LifLayer
from models.network import Network
from models.untrained import calibrate

Array = NDArray[Any]


def lively(name: str, **options: Any) -> Network[Any]:
    torch.manual_seed(1)
    network = models.build(name, **options)
    calibrate(network)
    return network.requires_grad_(False)


def synapses(product: nn.Module, active: torch.Tensor) -> int:
    """Count the synapses that active inputs reach: a product whose weights are all 1."""
    ones = torch.ones_like(product.weight)
    if isinstance(product, nn.Linear):
        return int(nn.functional.linear(active, ones).sum())
    assert isinstance(product, nn.Conv2d)
    return int(
        nn.functional.conv2d(active, ones, None, product.stride, product.padding).double().sum()
    )


def brute_force(network: Network[Any], frames: Array) -> tuple[Array, Array]:
    """Return (operations, fired) of each layer, and the synapses of each, from torch's own maps."""
    layers = [each for each in network.children() if isinstance(each, LifLayer)]
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    handles = [
        layer.register_forward_hook(lambda _, x, found: seen.append((x[0][0], found[0])))
        for layer in layers
    ]
    network(torch.from_numpy(frames)[None])
    for handle in handles:
        handle.remove()
    counts, dense = np.zeros((len(layers), 2), np.int64), []
    for k, layer in enumerate(layers):
        assert layer.product is not None
        for t, (x, y) in enumerate(seen[k :: len(layers)]):
            # What the normalisation of the input adds everywhere is no event.
            x = x if k else torch.from_numpy(frames[t : t + 1])
            x = x.flatten(1) if isinstance(layer.product, nn.Linear) else x
            counts[k] += synapses(layer.product, (x != 0).float()), int((y != 0).sum())
        dense.append(synapses(layer.product, torch.ones(x.shape)))
    return counts, np.array(dense)


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dvs_gesture": ("dvs_gesture", {"size": (9, 13)}),
    "mnist_dvs": ("mnist_dvs", {"size": (9, 13), "head": "per_step"}),
    "cifar10_dvs": ("cifar10_dvs", {"size": (63, 70), "mode": "spike"}),
}


@pytest.mark.parametrize("name", CASES)
def test_counts_are_those_of_torchs_own_maps(name: str) -> None:
    network_name, options = CASES[name]
    network = lively(network_name, **options)
    engine = engine_of(network)
    frames = np.random.default_rng(0).poisson(0.3, (5, *network.input_shape)).astype(np.uint8)
    expected, dense = brute_force(network, frames)
    counts = engine.no_counts()
    engine.forward(frames[None], counts=counts)
    np.testing.assert_array_equal(counts, expected)
    assert (expected[1:, 0] > 0).all()

    work = work_of(engine, counts, len(frames))
    steps = network.options["steps"]
    layers = [layer for layer in work.layers if layer.name != "classifier"]
    assert work.steps == steps
    np.testing.assert_allclose([layer.dense for layer in layers], dense * steps)
    np.testing.assert_allclose(
        [layer.operations for layer in layers], expected[:, 0] / len(frames) * steps
    )
    neurons = [tensor.numel() for tensor in network.initial_state(1)]
    np.testing.assert_allclose(
        [layer.rate for layer in layers], expected[:, 1] / len(frames) / neurons
    )


def test_batches_on_threads_count_as_much_as_one_by_one() -> None:
    network = lively("dvs_gesture", size=(9, 13))
    engine = engine_of(network)
    frames = np.random.default_rng(0).poisson(0.3, (5, 3, *network.input_shape)).astype(np.uint8)
    threaded, alone = engine.no_counts(), engine.no_counts()
    engine.forward(frames, threads=2, counts=threaded)
    for one in frames:
        engine.forward(one[None], counts=alone)
    np.testing.assert_array_equal(threaded, alone)
    assert threaded.any()


@given(data=st.data(), stride=st.integers(1, 3))
def test_the_fan_out_is_that_of_a_convolution_of_ones(data: st.DataObject, stride: int) -> None:
    height, width, kernel_height, kernel_width = (data.draw(st.integers(1, 6)) for _ in range(4))
    padding = data.draw(st.integers(0, min(kernel_height, kernel_width) - 1))
    assume(height + 2 * padding >= kernel_height and width + 2 * padding >= kernel_width)
    g = Geometry.of((height, width, 1), 1, (kernel_height, kernel_width), stride, padding)
    ones = torch.ones(1, 1, kernel_height, kernel_width)
    x = torch.zeros(1, 1, height, width, requires_grad=True)
    nn.functional.conv2d(x, ones, None, stride, padding).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(fan_out(g), x.grad[0, 0].numpy())


def test_what_is_multiplied_and_what_the_classifier_does() -> None:
    spiking = lively("mnist_dvs", size=(8, 8), mode="spike", steps=10)
    engine = engine_of(spiking)
    *layers, classifier = work_of(engine, engine.no_counts(), 0).layers
    assert [layer.multiplies for layer in layers] == [True, False, False]
    assert classifier.operations == 128 * 512 + 512 * 128 + 128 * 10

    engine.card = replace(engine.card, frame="binary")
    assert not work_of(engine, engine.no_counts(), 0).layers[0].multiplies

    analog = engine_of(lively("mnist_dvs", size=(8, 8), head="per_step", steps=10))
    *layers, classifier = work_of(analog, analog.no_counts(), 0).layers
    assert all(layer.multiplies for layer in layers)
    assert classifier.operations == 10 * (128 * 512 + 512 * 128 + 128 * 10)


def test_energies_and_lines() -> None:
    work = Work(
        steps=60,
        layers=(
            LayerWork("conv1", 0.043, 2e6, 20e6, multiplies=True),
            LayerWork("fc1", 0.25, 1e6, 10e6, multiplies=False),
            LayerWork("classifier", np.nan, 5e3, 5e3, multiplies=True),
        ),
    )
    assert work.energy_j == pytest.approx((2e6 * 4.6 + 1e6 * 0.9 + 5e3 * 4.6) * 1e-12)
    assert work.dense_energy_j == pytest.approx(30.005e6 * 4.6e-12)
    assert [*work.lines()] == [
        "60 steps, those of a prediction, took 3 M synaptic operations of 30 M dense (10.0%), "
        "about 10.1 µJ of 138 µJ (45 nm: 0.9 pJ an addition, 4.6 pJ with a multiplication)",
        "conv1: 4.3% of neurons active a step, 2 M of 20 M operations (10.0%, multiplied)",
        "fc1: 25.0% of neurons active a step, 1 M of 10 M operations (10.0%)",
        "classifier: 5 k of 5 k operations (100.0%, multiplied)",
    ]
