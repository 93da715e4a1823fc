"""Folders of a data set: one a class, with the files in it, always in the same order."""

import re
from collections.abc import Collection
from pathlib import Path

from pipeline.errors import ConfigError

__all__ = ["files_in", "folders_in", "natural"]


def natural(path: Path) -> list[tuple[int, str]]:
    """Return a sorting key for names with numbers in them: 2 comes before 10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def folders_in(folder: Path, names: Collection[str] | None = None) -> list[Path]:
    """Return the folders in a folder, by name; hidden ones are passed over.

    Args:
        folder: where to look; one that is not there has none.
        names: what they may be called; None: anything.

    Raises:
        ConfigError: one of them is called otherwise.
    """
    if not folder.is_dir():
        return []
    found = [one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")]
    for one in found:
        if names is not None and one.name not in names:
            raise ConfigError(
                f"data.path: {one} is no class; folders here must be called {', '.join(names)}"
            )
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
