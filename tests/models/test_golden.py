"""Every network against the published reference code, in float64 on drawn parameters and inputs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import models
from models.network import Network
from tests.golden_draw import event_frames, golden, image_frames, tensors


class Case(NamedTuple):
    """A golden file: its network, the options that the reference had, and its input."""

    network: str
    options: dict[str, Any]
    draw: Callable[[str], NDArray[Any]]


CASES = {
    "dvs_gesture": Case("dvs_gesture", {}, lambda name: event_frames(name, (2, 60, 2, 40, 40))),
    "mnist_dvs_analog": Case("mnist_dvs", {}, lambda name: event_frames(name, (2, 20, 2, 40, 40))),
    "mnist_dvs_spike": Case(
        "mnist_dvs", {"mode": "spike"}, lambda name: event_frames(name, (2, 20, 2, 40, 40))
    ),
    "cifar10_dvs": Case("cifar10_dvs", {}, lambda name: event_frames(name, (1, 10, 2, 128, 128))),
    "luna16cls": Case("luna16cls", {}, lambda name: image_frames(name, (2, 8, 1, 32, 32))),
    "imdb": Case("imdb", {}, lambda _: np.random.default_rng(7).integers(0, 1001, (3, 500))),
    "jester_spike": Case(
        "jester", {"steps": 4}, lambda name: 2 * image_frames(name, (1, 4, 3, 112, 112))
    ),
    "esimagenet_analog": Case(
        "es_imagenet",
        {"steps": 4, "size": (112, 112)},
        lambda name: event_frames(name, (1, 4, 2, 112, 112)),
    ),
}


def by_forward(network: Network[Any], x: torch.Tensor) -> torch.Tensor:
    outputs, _ = network(x)
    return outputs


def by_step(network: Network[Any], x: torch.Tensor) -> torch.Tensor:
    state = network.initial_state(len(x))
    outputs = []
    for now in x.unbind(1):
        y, state = network.step(now, state)
        outputs.append(y)
    return torch.stack(outputs, 1)


def assert_golden(ours: torch.Tensor, theirs: NDArray[np.float64]) -> None:
    assert ours.dtype == torch.float64
    np.testing.assert_allclose(ours.numpy(), theirs.reshape(ours.shape), rtol=0, atol=1e-9)


@pytest.mark.parametrize("run", [by_forward, by_step])
@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, run: Callable[[Network[Any], torch.Tensor], torch.Tensor]) -> None:
    network_name, options, draw = CASES[name]
    x, expected = torch.from_numpy(draw(name)), golden(name)
    network = models.from_reference(network_name, tensors(name), **options)
    features = run(network, x)
    assert_golden(features.transpose(0, 1)[-60:, :, :48], expected["last_steps_first_48"])
    assert_golden(features.mean(1), expected["mean_over_steps"])

    logits = network.decide(features)  # the head once, behind the mean: the design text's order
    if network_name == "imdb":  # the reference has one logit, against 0
        assert not logits[:, 0].any()
        logits = logits[:, 1]
    assert_golden(logits, expected.get("output_time_mean_then_head", expected["output"]))

    if "output_time_mean_then_head" in expected:  # the head at every step: the reference's order
        assert_golden(network.classify(features).mean(1), expected["output"])


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("mnist", "luna"))])
def test_golden_with_the_head_at_each_step(name: str) -> None:
    network_name, options, draw = CASES[name]
    network = models.from_reference(network_name, tensors(name), head="per_step", **options)
    x = torch.from_numpy(draw(name))
    assert_golden(network.decide(by_forward(network, x)), golden(name)["output"])
    assert_golden(network.readout(by_step(network, x).mean(1)), golden(name)["output"])
