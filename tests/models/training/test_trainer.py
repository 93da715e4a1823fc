"""Training on a toy problem that no single frame answers: which way does the bar move?"""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from rich.console import Console
from training_runs import moving_bars, recipe

import models
from models import ModelError, read_card
from models.card import TrainedWords
from models.training import LabelledFrames
from models.training.metrics import evaluate
from models.training.report import draw_rates
from models.training.trainer import TrainingResult, finished, train
from models.weights import save

TRAIN, VALIDATION, TEST = moving_bars(64, 0, 1), moving_bars(40, 1, 2), moving_bars(20, 2, 3)


@pytest.fixture(scope="module")
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, shown: io.StringIO) -> TrainingResult:
    out = tmp_path_factory.mktemp("trained") / "bars.safetensors"
    before = torch.random.get_rng_state()
    console = Console(file=shown, width=120)
    made = train(
        recipe(), TRAIN, VALIDATION, out, test=TEST, progress=console, created_by="tests 1"
    )
    assert torch.equal(before, torch.random.get_rng_state())
    return made


def test_it_learns(result: TrainingResult) -> None:
    assert result.accuracy >= 0.85
    assert result.confusion.sum() == 40
    assert result.test is not None
    assert result.test.sum() == 20
    assert not result.warnings


def test_the_best_epoch_is_what_the_file_holds(result: TrainingResult) -> None:
    network = models.load(result.path)
    np.testing.assert_array_equal(evaluate(network, VALIDATION, batch=7), result.confusion)
    assert result.accuracy == pytest.approx(max(e.accuracy for e in result.history), abs=0.1)


def test_the_card_says_what_it_is(result: TrainingResult) -> None:
    card = read_card(result.path)
    assert card == result.card
    assert (card.network, card.classes, card.steps) == ("dvs_gesture", ("left", "right"), 8)
    assert (card.input_size, card.sensor_size, card.window_us) == ((8, 8), (8, 8), 1000)
    assert (card.data, card.created_by) == ("simulated bars", "tests 1")
    assert result.test is not None
    tested = f"test: {result.test.trace()} of 20 right ({result.test.trace() / 20:.1%})"
    chosen = f"validation: {result.confusion.trace()} of 40 right ({result.accuracy:.1%})"
    groups = "of 1 groups (people, recordings)"
    assert card.accuracy == f"{tested} {groups} never seen; {chosen} {groups}"


def test_every_epoch_is_shown_and_logged(result: TrainingResult, shown: io.StringIO) -> None:
    text = shown.getvalue()
    assert "epoch 1/4: loss" in text
    assert "epoch 4/4: loss" in text
    assert "firing rates: conv1" in text
    assert len(result.history) == 4
    folder = result.path.with_suffix("")
    assert len((folder / "metrics.csv").read_text().splitlines()) == 5
    assert list((folder / "tensorboard").iterdir())
    assert not list(folder.glob("lightning*"))


def test_the_report_says_how_to_do_it_again(result: TrainingResult) -> None:
    folder = result.path.with_suffix("") / "report"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["recipe"] == recipe().model_dump(mode="json")
    assert summary["parts"]["train"] == {"examples": 64, "groups": 1, "of_class": [32, 32]}
    assert summary["accuracy"]["validation"] == result.accuracy
    assert len(summary["epochs"]) == 4
    assert set(summary["firing_rates"]) == {"conv1", "conv2", "conv3", "fc1", "fc2"}
    for name in ("curves", "confusion", "firing_rates"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_firing_rates_are_drawn_from_0_to_100_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: drawn.append(figure))
    draw_rates(tmp_path / "rates.png", {"conv1": 0.031, "fc1": 1.0})
    (axes,) = drawn[0].axes
    assert axes.get_xlim() == (0, 100)
    assert [text.get_text() for text in axes.texts] == ["3.1", "100.0"]


def test_a_finished_run_is_not_gone_on_with(result: TrainingResult) -> None:
    with pytest.raises(ModelError, match="there is no unfinished run to resume"):
        train(recipe(), TRAIN, VALIDATION, result.path, test=TEST, resume=True)


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    files = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        asked = recipe(training={"epochs": 1, "seed": seed}, augment={"shift_px": 1})
        train(asked, moving_bars(16, 0, 1), moving_bars(2, 1, 2), tmp_path / f"{name}.st")
        files.append(models.load(tmp_path / f"{name}.st").state_dict())
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0])
    assert not all(torch.equal(files[0][key], files[2][key]) for key in files[0])


@pytest.mark.parametrize(
    "training",
    [
        {"optimiser": "sgd", "nesterov": True, "schedule": "cosine", "clip_norm": 0.1},
        {"optimiser": "adamw", "label_smoothing": 0.1, "norm_momentum": None, "select": "last"},
        {"precision": "bf16-mixed", "average": 0.5, "schedule": "constant"},
    ],
    ids=lambda training: next(iter(training.values())),
)
def test_the_other_options_run(training: dict[str, Any], tmp_path: Path) -> None:
    asked = recipe(training={"epochs": 1} | training)
    made = train(asked, moving_bars(32, 0, 1), moving_bars(4, 1, 2), tmp_path / "w.st")
    assert np.isfinite(made.history[0].loss)
    chose = "they chose nothing" if "select" in training else "the epoch was chosen by them"
    assert made.card.accuracy.endswith(f"not trained on ({chose})")


def test_steps_without_finite_gradients_are_left_out(tmp_path: Path) -> None:
    """Padding that is the same in all of a batch lets gradients overflow (see `Learner`)."""
    rng = np.random.default_rng(1)
    tokens = np.zeros((32, 70, 1, 1, 1), np.int16)
    tokens[:, -5:] = rng.integers(1, 9, (32, 5, 1, 1, 1))
    tokens[:2] = rng.integers(1, 9, (2, 70, 1, 1, 1))
    labels = np.arange(32) % 2
    words = TrainedWords(9, "0" * 64)
    texts = LabelledFrames(tokens, labels, labels * 0, ("no", "yes"), (1, 1), None, "tokens", words)
    others = dataclasses.replace(texts, groups=labels * 0 + 1)
    network = {"name": "imdb", "options": {"steps": 70, "vocabulary": 9}}
    asked = recipe(network=network, training={"epochs": 1, "batch": 4})
    made = train(asked, texts, others, tmp_path / "w.st")
    assert "of 8 steps of epoch 1 were left out: their gradients were not" in made.warnings[-1]
    assert read_card(made.path).vocabulary == words
    tokens[:2, :-5] = 0
    with pytest.raises(ModelError, match="no step of epoch 1 had finite gradients"):
        train(asked, texts, others, tmp_path / "v.st")


def test_half_precision_needs_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r'^training.precision: "16-mixed" needs a GPU'):
        train(recipe(training={"precision": "16-mixed"}), TRAIN, VALIDATION, tmp_path / "w.st")


def test_weights_that_are_not_finite_end_it(tmp_path: Path) -> None:
    wild = recipe(training={"learning_rate": 1e38, "optimiser": "sgd"})
    with pytest.raises(ModelError, match=r"no longer finite in epoch 1; lower training.l"):
        train(wild, TRAIN, VALIDATION, tmp_path / "w.st")


def test_a_loss_that_is_not_finite_ends_it(tmp_path: Path) -> None:
    frames = TRAIN.frames.astype(np.float32)
    frames[1:3] = np.nan  # not among those that are looked at first
    broken = dataclasses.replace(TRAIN, frames=frames)
    network = {"name": "mnist_dvs", "options": {"steps": 8, "size": [8, 8], "classes": 2}}
    with pytest.raises(ModelError, match=r"loss is no longer finite at step .* training.lea"):
        train(recipe(network=network), broken, VALIDATION, tmp_path / "w.st")


def test_a_file_without_an_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"w: a weights file must have an ending, such as .*w\.saf"
    ):
        train(recipe(), TRAIN, VALIDATION, tmp_path / "w")


def test_dead_layers_are_warned_of(tmp_path: Path) -> None:
    options = {"classes": 2, "size": [8, 8], "steps": 8, "lif": {"theta": 50.0}}
    asked = recipe(training={"epochs": 1}, network={"options": options})
    made = train(asked, moving_bars(4, 0, 1), moving_bars(4, 1, 2), tmp_path / "w.st")
    assert any(warning.startswith("layer conv1 is dead: 0.00%") for warning in made.warnings)


def test_training_goes_on_from_other_weights(result: TrainingResult, tmp_path: Path) -> None:
    network = {"start_from": str(result.path), "start_without": ["fc2"]}
    asked = recipe(training={"epochs": 1, "learning_rate": 1e-9}, network=network)
    train(asked, TRAIN, VALIDATION, tmp_path / "w.st")
    before, after = (models.load(path).state_dict() for path in (result.path, tmp_path / "w.st"))
    assert torch.allclose(before["conv1.conv.weight"], after["conv1.conv.weight"], atol=1e-4)
    assert not torch.allclose(before["fc2.fc.weight"], after["fc2.fc.weight"], atol=1e-2)


def test_a_run_from_other_weights_is_another_run(result: TrainingResult, tmp_path: Path) -> None:
    base = tmp_path / "base.st"
    base.write_bytes(result.path.read_bytes())
    parts = (moving_bars(16, 0, 1), moving_bars(2, 1, 2))
    asked = recipe(training={"epochs": 1}, network={"start_from": str(base)})
    card = train(asked, *parts, tmp_path / "w.st").card
    assert finished(asked, *parts, tmp_path / "w.st") == card
    assert finished(asked, *parts, tmp_path / "v.st") is None
    other = models.load(base)
    other.get_parameter("fc2.fc.bias").add_(1)
    save(other, read_card(base), base)
    assert finished(asked, *parts, tmp_path / "w.st") is None
    shown = io.StringIO()
    train(asked, *parts, tmp_path / "w.st", progress=Console(file=shown, width=200))
    assert f"the finished run in {tmp_path / 'w'} is replaced: start_from was '" in shown.getvalue()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"start_without": ["fc9"]}, "no module 'fc9'; did you mean 'fc2'"),
        (
            {"options": {"classes": 2, "size": [16, 16], "steps": 8}},
            r"fc1.fc.weight must be \(256, 1024\), got \(256, 256\); .*start_without = \[\"fc1\"\]",
        ),
        (
            {"options": {"classes": 3, "size": [16, 16], "steps": 8}, "start_without": ["conv1"]},
            r"got \(256, 256\), and \d more differ; start .* = \[\"conv1\", \"fc1\", \"fc2\"\]",
        ),
        (
            {"name": "mnist_dvs"},
            r"network.start_from: .*bars.safetensors has weights of dvs_gesture, they must fit "
            r"mnist_dvs, but conv1.* differ; take weights of mnist_dvs",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    network: dict[str, Any], message: str, result: TrainingResult, tmp_path: Path
) -> None:
    asked = recipe(network={"start_from": str(result.path)} | network)
    with pytest.raises(ModelError, match=message):
        train(asked, TRAIN, VALIDATION, tmp_path / "w.st")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": TRAIN.groups}, r"may be in two parts, got groups \[0\]"),
        ({"window_us": 5}, "window_us must be the same .* got 1000 and 5"),
        ({"classes": ("a", "b", "c")}, "classes must be the same"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    other = dataclasses.replace(moving_bars(64, 1, 1), **changes)
    with pytest.raises(ModelError, match=message):
        train(recipe(), TRAIN, other, tmp_path / "w.st")
    assert not list(tmp_path.iterdir())
