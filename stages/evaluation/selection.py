"""Which labelled recordings are evaluated: those of a data set, or of a folder a class.

With a recipe the parts are those that training had, so that what is measured was not trained on.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.training.recipe import Recipe, load_recipe
from pipeline.config import validate
from pipeline.errors import ConfigError, RecordingError
from pipeline.registry import load_stage, nearest
from stages.batch import Engine
from stages.datasets import DATA_SETS, load_data_set
from stages.datasets.data_set import DataSet, Item, Progress
from stages.datasets.split import PARTS, split
from stages.datasets.tree import folders_in, parted
from stages.formats import recordings_in
from stages.natural import natural

__all__ = ["Selection", "labels_for", "select"]


class Selection(NamedTuple):
    """What is evaluated."""

    items: list[Item]
    """A label is an index into ``classes``."""
    classes: tuple[str, ...]
    data: str
    """The data, as they were named."""
    part: str
    """Which part of them, "all" for all."""
    folder: Path
    """Where they lie."""
    trains: frozenset[str] | None
    """Keys of what the recipe trains on, None without one."""


def select(
    data: str,
    part: str | None,
    recipe: Path | None,
    variants: Sequence[str],
    source: str,
    engine: Engine,
    progress: Progress,
) -> Selection:
    """Return what is asked for on the command line; a simulated set is made if need be.

    Args:
        data: ``SET=FOLDER``, or a folder: of the recipe's set, or with a folder a class.
        part: ``train``, ``validation``, ``test`` or ``all``; None: all, or with a recipe the part
            that chose nothing: ``test`` where there is one, else ``validation``.
        recipe: whose ``[data]`` table says the set's options and how it is split.
        variants: of the recipe.
        source: kind of the pipeline's source, which plays the files of a plain folder.
        engine: by which a set is made.
        progress: called while it is made.

    Raises:
        ConfigError: there is nothing of that kind.
        RecordingError: a folder cannot be read, or a set cannot be made.
    """
    known = (*PARTS, "all")
    if part is not None and part not in known:
        raise ConfigError(f"--part: must be {', '.join(known)}, got '{part}'")
    if variants and recipe is None:
        raise ConfigError("--variant: is of a recipe; name it with --recipe")
    name, equals, place = data.partition("=")
    if not equals or os.sep in name:  # a path may hold the sign itself
        name, place = "", data
    asked = None if recipe is None else load_recipe(recipe, variants)
    if asked is not None and name not in ("", asked.data.set):
        raise ConfigError(f"--data: the recipe's set is '{asked.data.set}', got '{name}'")
    folder = Path(os.path.abspath(Path(place).expanduser()))
    if asked is None and not name:
        items, classes = _class_folders(folder, source)
    else:
        data_set = _data_set(name or (asked.data.set if asked else ""), folder, asked)
        data_set.make(engine, progress)
        try:
            items, classes = data_set.items(), data_set.classes
        except OSError as error:
            raise RecordingError(
                f"{error.filename or folder}: cannot be read: {error.strerror}; check its"
                " permissions"
            ) from None
    dealt = None
    if asked is not None:
        try:
            dealt = split(items, asked.data.validation, asked.data.test, asked.data.seed)
        except ConfigError:
            if part != "all":  # all may be too few to train on
                raise
    chosen, taken = _part(items, part, dealt)
    if not chosen:
        raise ConfigError(f"--part {taken}: there are no such recordings in {folder}")
    trains = None if dealt is None else frozenset(items[index].key for index in dealt["train"])
    return Selection(chosen, classes, data, taken, folder, trains)


def labels_for(classes: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return for each class of the data which of the model's it is, by name.

    Names may differ in case, and in ``_`` for a space.

    Raises:
        ConfigError: the model does not know one.
    """
    places = {_plain(name): number for number, name in enumerate(known)}
    for name in classes:
        if _plain(name) not in places:
            raise ConfigError(
                f"--data: the model knows no class '{name}'{nearest(name, known)}; the folders or"
                " labels of the data must be called as the model's classes"
            )
    return [places[_plain(name)] for name in classes]


def _class_folders(folder: Path, source: str) -> tuple[list[Item], tuple[str, ...]]:
    """List the recordings of a folder a class, maybe within folders of parts."""
    if not folder.is_dir():
        unpacked = folder.name if folder.name in DATA_SETS else "SET"
        raise ConfigError(
            f"--data: {folder} is no folder; name one with a folder a class, or a data set and its"
            f" folder, {unpacked}=FOLDER"
        )
    has_path = "path" in load_stage(source).Config.model_fields
    use = source if has_path else "replay"
    found = [
        (place, one, part) for place, part in parted(folder) for one in folders_in(place)
    ]  # a part, a class in it
    classes = tuple(dict.fromkeys(one.name for _, one, _ in found))
    if not classes:
        raise ConfigError(
            f"--data: {folder} holds no folders; it must have one for each class, called as the"
            " class, with its recordings"
        )
    items = [
        Item(
            key=str(path.relative_to(folder)),
            source={"use": use, "path": str(path)},
            label=classes.index(one.name),
            group=str(path.relative_to(folder)),
            part=part,
        )
        for _, one, part in found
        for path in _files(one, use)
    ]
    return items, classes


def _files(folder: Path, use: str) -> list[Path]:
    """Return what one class has: recordings, or whatever the source plays, file or folder."""
    if use == "replay":
        return recordings_in(folder).recordings
    shown = [one for one in folder.iterdir() if not one.name.startswith(".")]
    if not shown:
        raise ConfigError(f"--data: {folder} is empty; put the recordings of its class into it")
    return sorted(shown, key=natural)


def _data_set(name: str, folder: Path, recipe: Recipe | None) -> DataSet:
    if name not in DATA_SETS:
        raise ConfigError(f"--data: no data set is called '{name}'{nearest(name, DATA_SETS)}")
    kind = load_data_set(name)
    options: Mapping[str, Any] = {} if recipe is None else recipe.data.model_extra or {}
    return kind(folder, validate(kind.Options, options, "data", None))


def _part(
    items: list[Item], part: str | None, dealt: Mapping[str, Sequence[int]] | None
) -> tuple[list[Item], str]:
    """Return the items of a part, as a recipe deals them or the set itself; and which it is."""
    if part == "all" or (part is None and dealt is None):
        return items, "all"
    if dealt is not None:
        part = part or ("test" if dealt["test"] else "validation")
        return [items[index] for index in dealt[part]], part
    if not any(item.part for item in items):
        raise ConfigError(
            f"--part {part}: the data name no parts; leave it out, or name the recipe that split"
            " them with --recipe"
        )
    return [item for item in items if (item.part or "train") == part], str(part)


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")
