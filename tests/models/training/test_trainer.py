"""Training on a toy problem that no single frame answers: which way does the bar move?"""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

import models
from models import ModelError, read_card
from models.layers import FcLif
from models.network import Network
from models.training import LabelledFrames, Recipe, TrainingResult, evaluate, train
from models.training.metrics import accuracy, firing_rates, recall


def moving_bars(count: int, person: int, seed: int) -> LabelledFrames:
    """Draw a bar that wraps round, going left or right from anywhere; polarity says nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    start = rng.integers(0, 8, count)
    column = (start[:, None] + (2 * labels - 1)[:, None] * np.arange(8)) % 8  # (count, steps)
    frames = rng.poisson(0.02, (count, 8, 2, 8, 8))
    frames += 2 * (column[:, :, None, None, None] == np.arange(8))
    classes = ("left", "right")
    groups = np.full(count, person)
    return LabelledFrames(frames.astype(np.uint8), labels, groups, classes, (8, 8), 1000)


def recipe(**training: Any) -> Recipe:
    section: dict[str, Any] = {
        "epochs": 4,
        "learning_rate": 2e-3,
        "logit_scale": 10,
        "norm_momentum": 0.2,
    }
    return Recipe.model_validate(
        {
            "data": {"set": "bars", "people": 1, "validation_people": 1, "test_people": 1},
            "input": {},
            "network": {
                "name": "dvs_gesture",
                "options": {"classes": 2, "size": [8, 8], "steps": 8},
            },
            "training": section | training,
            "card": {"data": "simulated bars", "licence": "Apache-2.0"},
        }
    )


TRAIN, VALIDATION = moving_bars(64, 0, 1), moving_bars(40, 1, 2)


@pytest.fixture(scope="module")
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, shown: io.StringIO) -> TrainingResult:
    out = tmp_path_factory.mktemp("trained") / "bars.safetensors"
    before = torch.random.get_rng_state()
    result = train(recipe(), TRAIN, VALIDATION, out, Console(file=shown, width=120), "tests 1")
    assert torch.equal(before, torch.random.get_rng_state())
    return result


def test_it_learns(result: TrainingResult) -> None:
    assert result.accuracy >= 0.85
    assert result.confusion.sum() == 40
    assert not result.warnings


def test_the_best_epoch_is_what_the_file_holds(result: TrainingResult) -> None:
    network = models.load(result.path)
    confusion = evaluate(network, VALIDATION.frames, VALIDATION.labels, batch=7)
    np.testing.assert_array_equal(confusion, result.confusion)
    assert result.accuracy == pytest.approx(max(e.accuracy for e in result.history), abs=0.1)


def test_the_card_says_what_it_is(result: TrainingResult) -> None:
    card = read_card(result.path)
    assert card == result.card
    assert (card.network, card.classes, card.steps) == ("dvs_gesture", ("left", "right"), 8)
    assert (card.input_size, card.sensor_size, card.window_us) == ((8, 8), (8, 8), 1000)
    assert (card.data, card.created_by) == ("simulated bars", "tests 1")
    assert f"{result.accuracy:.1%} of 40 validation recordings of 1 people" in card.accuracy


def test_every_epoch_is_shown(result: TrainingResult, shown: io.StringIO) -> None:
    text = shown.getvalue()
    assert "epoch 1/4: loss" in text
    assert "epoch 4/4: loss" in text
    assert "firing rates: conv1" in text
    assert len(result.history) == 4


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    options = {"epochs": 1, "crop_steps": 3, "shift_px": 1, "drop_probability": 0.2}
    files = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        train(recipe(**options, seed=seed), TRAIN, VALIDATION, tmp_path / name)
        files.append(models.load(tmp_path / name).state_dict())
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])
    assert not all(torch.equal(files[0][key], files[2][key]) for key in files[0])


def test_the_other_options_run(tmp_path: Path) -> None:
    options = {"clip_norm": 0.1, "label_smoothing": 0.1, "warm_up_steps": 2, "norm_momentum": None}
    result = train(recipe(epochs=1, **options), TRAIN, VALIDATION, tmp_path / "w")
    assert np.isfinite(result.history[0].loss)


def test_dead_layers_are_warned_of(tmp_path: Path) -> None:
    few = moving_bars(4, 0, 1)
    dark = dataclasses.replace(few, frames=np.zeros_like(few.frames))
    options = {"classes": 2, "size": [8, 8], "lif": {"theta": 50.0}}
    plain = recipe(epochs=1)
    dead = plain.model_copy(
        update={"network": plain.network.model_copy(update={"options": options})}
    )
    result = train(dead, dark, moving_bars(4, 1, 2), tmp_path / "w")
    assert any(warning.startswith("layer conv1 is dead: 0.00%") for warning in result.warnings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": TRAIN.groups}, r"nobody may be in both .* got groups \[0\]"),
        ({"window_us": 5}, "window_us must be the same .* got 1000 and 5"),
        ({"classes": ("a", "b", "c")}, "classes must be the same"),
    ],
)
def test_splits_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    other = dataclasses.replace(moving_bars(64, 1, 1), **changes)
    with pytest.raises(ModelError, match=message):
        train(recipe(), TRAIN, other, tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_the_number_of_classes_must_be_the_datas(tmp_path: Path) -> None:
    three = ("a", "b", "c")
    with pytest.raises(ModelError, match=r"network.options.classes must be 3, .* got 2"):
        train(
            recipe(),
            dataclasses.replace(TRAIN, classes=three),
            dataclasses.replace(VALIDATION, classes=three),
            tmp_path / "w",
        )


class Brightest(Network[tuple[torch.Tensor, ...]]):
    """Answers with the brightest column."""

    name = "brightest"

    def __init__(self) -> None:
        super().__init__(
            classes=3,
            steps=2,
            input_channels=1,
            size=(1, 3),
            mode="spike",
            head="after_mean",
            sharing="all",
            lif=None,
        )
        self.scale = torch.nn.Parameter(torch.ones(()))

    def initial_state(self, batch: int) -> tuple[torch.Tensor, ...]:
        return ()

    def run(
        self, x: torch.Tensor, state: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        return x.flatten(2) * self.scale, state


def test_rows_are_true_and_columns_are_predicted() -> None:
    frames: NDArray[np.uint8] = np.zeros((4, 2, 1, 1, 3), np.uint8)
    frames[range(4), :, 0, 0, [0, 1, 1, 1]] = 1
    network = Brightest().train()
    confusion = evaluate(network, frames, np.array([0, 0, 1, 1]), batch=3)
    assert confusion.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert network.training
    assert accuracy(confusion) == 0.75
    np.testing.assert_array_equal(recall(confusion), [0.5, 1.0, np.nan])


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
