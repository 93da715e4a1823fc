"""The learning rate of a step."""

from typing import Any

import pytest

from models.training.recipe import TrainingSection
from models.training.schedule import learning_rate


def rates(steps: range, steps_an_epoch: int = 2, **section: Any) -> list[float]:
    asked = TrainingSection(**{"epochs": 5, "learning_rate": 1.0} | section)
    return [learning_rate(asked, step, steps_an_epoch) for step in steps]


def test_milestones_are_epochs_from_0() -> None:
    found = rates(range(10), milestones=[2, 4], gamma=0.5)
    assert found == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_warm_up_is_linear() -> None:
    found = rates(range(6), warm_up_steps=4, warm_up_factor=0.2)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_a_milestone_in_the_warm_up_counts() -> None:
    assert rates(range(2, 3), warm_up_steps=4, milestones=[1], gamma=0.1) == pytest.approx([0.05])


def test_cosine_goes_to_0() -> None:
    found = rates(range(11), schedule="cosine")
    assert (found[0], found[5], found[10]) == pytest.approx((1, 0.5, 0))
    assert sorted(found, reverse=True) == found


def test_constant() -> None:
    assert rates(range(9), schedule="constant", milestones=[1]) == [1] * 9
