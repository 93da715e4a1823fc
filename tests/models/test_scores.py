"""What the class scores of each network are, told without loading it."""

from pathlib import Path

import pytest
import torch
from weights import random_weights

import models
from models.network import Network
from models.scores import scores_of

SMALL = {
    "dvs_gesture spike": ("dvs_gesture", {"mode": "spike"}, "rate"),
    "dvs_gesture analog": ("dvs_gesture", {"mode": "analog"}, "activity"),
    "mnist_dvs": ("mnist_dvs", {}, "logit"),
    "imdb": ("imdb", {}, "probability"),
}


@pytest.mark.parametrize("what", SMALL)
def test_scores_are_what_the_card_says(what: str, tmp_path: Path) -> None:
    name, options, kind = SMALL[what]
    size = (1, 1) if name == "imdb" else (8, 8)
    classes = ("a", "b") if name == "imdb" else tuple("abcdef")
    path = random_weights(
        tmp_path / "a.safetensors", network=name, size=size, classes=classes, steps=20, **options
    )
    assert scores_of(models.read_card(path)) == kind
    network = models.load(path)
    torch.manual_seed(1)
    frames = torch.randint(0, 3, (16, 20, *network.input_shape))
    with torch.no_grad():
        scores = network.scores(network.decide(network(frames)[0]))
    if kind == "rate":
        steps_fired = scores * 20
        torch.testing.assert_close(steps_fired, steps_fired.round(), atol=1e-4, rtol=0)
    elif kind == "probability":
        torch.testing.assert_close(scores.sum(-1), torch.ones(16))
    assert (scores.min() >= 0) == (kind != "logit")
    assert (scores.max() <= 1) == (kind in ("rate", "probability"))


@pytest.mark.parametrize("name", models.NETWORKS)
def test_only_networks_that_say_so_make_more_of_logits(name: str) -> None:
    network = models.network_class(name)
    assert (network.scores is Network.scores) == (name != "imdb")
    assert (network.classify is Network.classify) == (name in models.SCORES_ALREADY)
