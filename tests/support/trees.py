"""Small trees in the layout of published data sets, made on the spot."""

from pathlib import Path
from typing import Any

from models.training import Recipe, read_recipe
from stages.datasets import load_data_set
from stages.datasets.data_set import DataSet, Item
from stages.datasets.training_set import TrainingSet, prepare


def data_set(name: str, folder: Path, **options: Any) -> DataSet:
    """The set of that name, as a recipe would make it."""
    kind = load_data_set(name)
    return kind(folder, kind.Options(**options))


def listed(name: str, folder: Path, **options: Any) -> list[Item]:
    """Its items."""
    return data_set(name, folder, **options).items()


def prepared(
    name: str,
    folder: Path,
    steps: int,
    *stages: dict[str, Any],
    beside: Path | None = None,
    **data: Any,
) -> TrainingSet:
    """Its examples, through stages; the cache is beside the set."""
    recipe: Recipe = read_recipe(
        {
            "data": {"set": name, "path": str(folder), **data},
            "input": {"stage": list(stages)},
            "network": {"name": "dvs_gesture", "options": {"steps": steps}},
            "training": {"epochs": 1},
            "card": {"data": "made up", "licence": "Apache-2.0"},
        }
    )
    return prepare(recipe, beside or folder.parent / "prepared", 1, lambda what, done, of: None)
