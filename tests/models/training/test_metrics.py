"""Confusion, recall, loss, firing rates."""

import numpy as np
import pytest
import torch

from models.layers import FcLif
from models.network import Network, Options
from models.tau_lif import TauLifLayer
from models.training.confusion import accuracy, recall
from models.training.data import LabelledFrames
from models.training.metrics import cross_entropy, evaluate, firing_rates


class Brightest(Network[tuple[torch.Tensor, ...]]):
    """Answers with the brightest column."""

    name = "brightest"
    defaults = Options(classes=3, steps=2, input_channels=1, size=(1, 3), mode="spike")

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def initial_state(self, batch: int) -> tuple[torch.Tensor, ...]:
        return ()

    def run(
        self, x: torch.Tensor, state: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        return x.flatten(2) * self.scale, state


def test_rows_are_true_and_columns_are_predicted() -> None:
    frames = np.zeros((4, 2, 1, 1, 3), np.uint8)
    frames[range(4), :, 0, 0, [0, 1, 1, 1]] = 1
    labels = np.array([0, 0, 1, 1])
    examples = LabelledFrames(frames, labels, labels, ("a", "b", "c"), (1, 3), None)
    network = Brightest().train()
    confusion = evaluate(network, examples, batch=3)
    assert confusion.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert network.training
    assert accuracy(confusion) == 0.75
    np.testing.assert_array_equal(recall(confusion), [0.5, 1.0, np.nan])


def test_loss_of_one_who_does_not_know() -> None:
    logits = np.zeros((2, 4), np.float32)
    assert cross_entropy(logits, np.array([0, 3])) == pytest.approx(np.log(4))


def test_firing_rates_see_steps_and_let_go() -> None:
    layer = torch.nn.ModuleDict({"only": FcLif(1, 4).eval()})
    only = layer["only"]
    assert isinstance(only, FcLif)
    with torch.no_grad():
        only.fc.weight.zero_()
        only.fc.bias.copy_(torch.tensor([1.0, 1, 1, 0]))
        with firing_rates(layer) as rates:
            only(torch.zeros(1, 1, 1), only.initial_state(1))
        only(torch.zeros(1, 1, 1), only.initial_state(1))
    assert rates.rates == {"only": 0.75}
    assert not only._forward_hooks


def test_firing_rates_of_the_transformers_neurons() -> None:
    layer = TauLifLayer(1)
    x = torch.tensor([0.0, 3.0, 3.0, 3.0]).reshape(1, 1, 1, 2, 2)  # half is integrated
    with firing_rates(torch.nn.ModuleDict({"only": layer})) as rates:
        layer(x, torch.zeros(1, 1, 2, 2))
    assert rates.rates == {"only": 0.75}
