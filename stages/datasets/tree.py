"""Folders of a data set: its parts, a folder a class, the files in it; always in the same order."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError
from stages.datasets.data_set import Part
from stages.natural import natural

__all__ = ["Labelled", "files_in", "folders_in", "labelled_files", "parted"]

_PARTS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


class Labelled(NamedTuple):
    """A file in the folder of its class."""

    path: Path
    label: int
    part: Part | None


def parted(folder: Path) -> list[tuple[Path, Part | None]]:
    """Return the folders of a set's parts, each with its part; the folder itself if it has none."""
    found = [(one, _PARTS.get(one.name.lower())) for one in folders_in(folder)]
    named: list[tuple[Path, Part | None]] = [(one, part) for one, part in found if part]
    return named or [(folder, None)]


def labelled_files(
    folder: Path, classes: Sequence[str], endings: Collection[str]
) -> Iterator[Labelled]:
    """Yield the files in the class folders of every part.

    Args:
        folder: of the set.
        classes: names of the classes; a folder's may differ in case, and in ``_`` for a space.
        endings: how the names of the files end, in lower case.

    Raises:
        ConfigError: a folder is that of no class, or holds none of these files.
    """
    labels = {_plain(name): label for label, name in enumerate(classes)}
    for place, part in parted(folder):
        for one in folders_in(place):
            if _plain(one.name) not in labels:
                raise ConfigError(
                    f"data.path: {one} is no class; folders here must be called"
                    f" {', '.join(classes)}"
                )
            for path in files_in(one, endings):
                yield Labelled(path, labels[_plain(one.name)], part)


def folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, by name; hidden ones are passed over.

    One that is not there has none.
    """
    if not folder.is_dir():
        return []
    found = [one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")]
    return sorted(found, key=natural)


def files_in(folder: Path, endings: Collection[str]) -> list[Path]:
    """Return the files in a folder whose names end so (in either case), by name.

    Raises:
        ConfigError: there is none.
    """
    found = [
        one
        for one in folder.iterdir()
        if one.suffix.lower() in endings and not one.name.startswith(".") and one.is_file()
    ]
    if not found:
        raise ConfigError(
            f"data.path: {folder} holds no file that ends in {' or '.join(endings)};"
            " was the archive unpacked wholly?"
        )
    return sorted(found, key=natural)


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")
