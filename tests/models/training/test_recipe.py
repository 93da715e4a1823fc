"""Recipes: the shipped one is read, and a wrong key is named by its path."""

from pathlib import Path

import pytest

import models
from models import ModelError
from models.training.recipe import TrainingSection, load_recipe

RECIPES = sorted(Path(models.__file__).parent.glob("recipes/*.toml"))

WHOLE = """
[data]
set = "toy"
people = 1
validation_people = 1
test_people = 1
[[input.stage]]
use = "time_bin"
[network]
name = "dvs_gesture"
[training]
epochs = 1
[card]
data = "d"
licence = "l"
"""


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_shipped_recipe_builds_its_network(path: Path) -> None:
    recipe = load_recipe(path)
    network = models.build(recipe.network.name, **recipe.network.options)
    assert network.input_shape[1:] == tuple(recipe.input.stage[-1]["size"])


def test_the_defaults_are_the_design_texts() -> None:
    section = TrainingSection()
    assert (section.learning_rate, section.weight_decay) == (1e-2, 1e-4)
    assert (section.milestones, section.epochs) == ([60, 90], 100)


def test_a_data_sets_own_keys_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(WHOLE.replace('set = "toy"', 'set = "toy"\nnoise_hz = 3'))
    assert load_recipe(path).data.model_extra == {"noise_hz": 3}
    assert load_recipe(path).input.stage == [{"use": "time_bin"}]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 1", "epoch = 1", "training.epoch: unknown key; did you mean 'epochs'? (choices"),
        ("[card]", "[cart]", "card: must be given; cart: unknown key; did you mean 'card'?"),
        ('licence = "l"', "", "card.licence: must be given"),
        ("epochs = 1", "epochs = 0", "training.epochs: input should be greater than 0, got 0"),
        ("epochs = 1", 'epochs = "x"', "training.epochs: input should be a valid integer"),
        ("[training]", "[[training]]", "training: input should be a valid dictionary"),
        ("epochs = 1", "epochs = ", "must be TOML: Invalid value"),
    ],
)
def test_a_wrong_key_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(ModelError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_learning_rate_warms_up_and_steps_down() -> None:
    section = TrainingSection(learning_rate=1.0, warm_up_steps=3, milestones=[2, 4], gamma=0.5)
    assert [section.learning_rate_at(step, 0) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert [section.learning_rate_at(99, epoch) for epoch in range(5)] == [1, 1, 0.5, 0.5, 0.25]
