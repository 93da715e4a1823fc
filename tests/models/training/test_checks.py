"""What is looked at before the first step."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from training_runs import moving_bars, recipe

import models
from models import ModelError
from models.training import LabelledFrames
from models.training.checks import check, check_frames

TRAIN, VALIDATION = moving_bars(8, 0, 1), moving_bars(4, 1, 2)


def looked_at(
    train: LabelledFrames = TRAIN, augment: dict[str, Any] | None = None, **options: Any
) -> list[str]:
    network = {"options": {"classes": 2, "size": [8, 8], "steps": 8} | options}
    asked = recipe(network=network, augment=augment or {})
    built = models.build(asked.network.name, **asked.network.options)
    return check(asked, built, train, [dataclasses.replace(VALIDATION, classes=train.classes)])


def test_nothing_to_remark() -> None:
    assert looked_at() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 3}, "network.options.classes: must be 2, the data's, got 3"),
        (
            {"size": [8, 9]},
            r"^network.options.size: dvs_gesture takes frames of \(2, 8, 9\), but input.stage "
            r"gives \(2, 8, 8\)",
        ),
        (
            {"input_channels": 1},
            r"^network.options.input_channels: .* \(1, 8, 8\), but .*\(2, 8",
        ),
    ],
)
def test_a_network_that_does_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        looked_at(**options)


def test_what_is_not_known_yet_may_fit() -> None:
    check_frames("dvs_gesture", (2, 8, 9), (2, None, None))
    with pytest.raises(ModelError, match=r"^network.options.size: .* gives \(2, \?, 8\)"):
        check_frames("dvs_gesture", (2, 8, 9), (2, None, 8))


def test_examples_of_zeros() -> None:
    dark = dataclasses.replace(TRAIN, frames=np.zeros_like(TRAIN.frames))
    with pytest.raises(ModelError, match="all of 8 training examples looked at are zero"):
        looked_at(dark)


def test_examples_that_are_no_numbers() -> None:
    frames = TRAIN.frames.astype(np.float32)
    frames[0, 0, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="must be finite"):
        looked_at(dataclasses.replace(TRAIN, frames=frames))


def test_only_counts_can_be_thinned() -> None:
    pictures = dataclasses.replace(TRAIN, frames=TRAIN.frames.astype(np.float32))
    with pytest.raises(ModelError, match=r"thins whole counts .* float32; .*augment\.events"):
        looked_at(pictures, {"drop_probability": 0.1})


def test_classes_that_hardly_occur_are_told() -> None:
    many = moving_bars(60, 0, 1)
    few = dataclasses.replace(many, labels=(np.arange(60) < 3).astype(np.int64))
    assert looked_at(few) == ["right at least 10 times rarer than left"]
    none = dataclasses.replace(many, labels=np.zeros(60, np.int64))
    assert looked_at(none) == ["no training example of right"]


def test_another_number_of_steps_is_told() -> None:
    assert looked_at(steps=9) == ["examples have 8 steps, network.options.steps is 9"]
