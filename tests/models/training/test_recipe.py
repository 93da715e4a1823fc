"""Recipes: the shipped ones are read, variants laid over, a wrong key is named by its path."""

import tomllib
from pathlib import Path

import pytest

import models
from models import ModelError
from models.training.recipe import load_recipe, read_recipe

RECIPES = sorted(Path(models.__file__).parent.glob("recipes/*.toml"))

WHOLE = """
[data]
set = "toy"
noise_hz = 3
[[input.stage]]
use = "time_bin"
[augment.events]
shift_px = 1
[network]
name = "dvs_gesture"
start_from = "w.safetensors"
[network.options]
steps = 60
[training]
epochs = 1
milestones = [3, 4]
[card]
data = "d"
licence = "l"
[variant.small.data]
set = "other"
seed = 4
[variant.small.network.options]
classes = 3
[variant.small.training]
milestones = [1]
[variant.long.training]
epochs = 9
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "r.toml"
    path.write_text(WHOLE)
    return path


def variants(path: Path) -> list[tuple[Path, list[str]]]:
    names = tomllib.loads(path.read_text()).get("variant", {})
    return [(path, []), *((path, [name]) for name in sorted(names))]


@pytest.mark.parametrize(
    ("path", "variant"),
    [each for path in RECIPES for each in variants(path)],
    ids=lambda each: each.stem if isinstance(each, Path) else "".join(each) or "text",
)
def test_a_shipped_recipe_builds_its_network(path: Path, variant: list[str]) -> None:
    recipe = load_recipe(path, variant)
    network = models.build(recipe.network.name, **recipe.network.options)
    assert network.options["steps"] == recipe.network.options["steps"]
    assert "simulated" in recipe.card.data or "simulated" not in recipe.data.set


def test_a_variant_is_laid_over(path: Path) -> None:
    recipe = load_recipe(path, ["small", "long"])
    assert recipe.network.options == {"steps": 60, "classes": 3}
    assert (recipe.training.milestones, recipe.training.epochs) == ([1], 9)
    assert recipe.augment.events.shift_px == 1


def test_keys_of_another_data_set_are_not_kept(path: Path) -> None:
    assert load_recipe(path).data.model_extra == {"noise_hz": 3}
    assert load_recipe(path, ["small"]).data.model_dump() == {
        "set": "other",
        "path": None,
        "seed": 4,
        "validation": None,
        "test": None,
    }


def test_changes_come_last(path: Path) -> None:
    changes = [{"training": {"epochs": 5}}, {"training": {"epochs": 7}}]
    assert load_recipe(path, ["long"], changes).training.epochs == 7


def test_a_variant_that_is_not_there(path: Path) -> None:
    with pytest.raises(ModelError, match=r"no \[variant.smal\]; did you mean 'small'"):
        load_recipe(path, ["smal"])


def test_weights_to_start_from_lie_beside_the_recipe(path: Path) -> None:
    assert load_recipe(path).network.start_from == str(path.parent / "w.safetensors")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 1", "epoch = 1", "training.epochs: must be given; training.epoch: unknown key"),
        ("shift_px", "shif_px", "augment.events.shif_px: unknown key; did you mean 'shift_px'?"),
        ("[card]", "[cart]", "card: must be given; cart: unknown key; did you mean 'card'?"),
        ('licence = "l"', "", "card.licence: must be given"),
        ("epochs = 1", "epochs = 0", "training.epochs: input should be greater than 0, got 0"),
        ("epochs = 1", 'epochs = "1"', "training.epochs: input should be a valid integer"),
        ("epochs = 1", "epochs = true", "training.epochs: input should be a valid integer"),
        ("epochs = 1", "epochs = ", "must be TOML: Invalid value"),
        (
            '"dvs_gesture"',
            '"dvs_gestur"',
            "network.name: unknown network 'dvs_gestur'; did you mean 'dvs_gesture'? (choices: ",
        ),
        (
            "[variant.long.training]\nepochs = 9",
            "[variant]\nlong = 9",
            "variant: must be [variant.NAME.TABLE]",
        ),
    ],
)
def test_a_wrong_key_is_named(old: str, new: str, message: str, path: Path) -> None:
    path.write_text(WHOLE.replace(old, new, 1))
    with pytest.raises(ModelError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_a_table_is_checked_alike() -> None:
    with pytest.raises(ModelError, match=r"^here: data: must be given"):
        read_recipe({}, "here")
