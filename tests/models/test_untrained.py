"""Untrained networks: fresh weights keep deep layers silent, calibrated ones do not."""

from typing import Any

import pytest
import torch
from torch import nn

import models
from models.network import Network
from models.untrained import calibrate, random_frames, silent_layers


def fresh(name: str, **options: Any) -> Network[Any]:
    torch.manual_seed(0)
    return models.build(name, **options).eval()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jester", {"size": [32, 32], "steps": 3}),
        ("cifar10_dvs", {"size": [64, 64], "mode": "spike"}),
        ("dvs_gesture", {"size": [16, 16]}),
    ],
)
def test_every_layer_fires_after_calibration(name: str, options: dict[str, Any]) -> None:
    network = fresh(name, **options)
    assert silent_layers(network)
    weights = [parameter.clone() for parameter in network.parameters()]
    calibrate(network)
    assert silent_layers(network) == []
    assert all(map(torch.equal, weights, network.parameters()))


def test_calibration_leaves_nothing_else_changed() -> None:
    network, again = fresh("luna16cls"), fresh("luna16cls")
    drawn = torch.random.get_rng_state()
    calibrate(network, seed=3)
    calibrate(again, seed=3)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert not network.training
    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_a_layer_that_never_fires_is_named() -> None:
    network = fresh("imdb", steps=4)
    assert silent_layers(network) == []
    nn.init.constant_(network.get_parameter("fc1.norm.bias"), -100.0)
    assert silent_layers(network) == ["fc1"]


def test_random_frames_are_such_as_the_network_takes() -> None:
    words = random_frames(fresh("imdb", vocabulary=7, steps=4), 0)
    assert words.shape == (8, 4, 1, 1, 1)
    assert sorted(words.unique().tolist()) == [*range(7)]
    events = random_frames(fresh("dvs_gesture"), 0)
    assert events.shape[1:] == (8, 2, 40, 40)
    assert 0.15 < events.mean() < 0.25
    assert torch.equal(events, events.round())
    pictures = random_frames(fresh("jester", size=[20, 36]), 0)
    assert torch.equal(pictures[:, 0], pictures[:, 1])
    assert 0 <= pictures.min() < pictures.max() <= 255
    with torch.device("meta"):
        large = models.build("meta_spikeformer_8_512")
    assert random_frames(large, 0).shape == (2, 2, 3, 224, 224)
