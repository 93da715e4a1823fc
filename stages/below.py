"""What lies in the folders of a folder: the pattern to name where it holds nothing itself."""

from collections.abc import Callable
from pathlib import Path

from stages.natural import natural

__all__ = ["pattern_below"]

_DEEPEST = 4
_LOOKED_AT = 1_000
"""Files and folders; it is a hint, not worth more time than that."""


def pattern_below(folder: Path, is_meant: Callable[[Path], bool]) -> str | None:
    """Return the pattern of files in folders of ``folder``, such as ``set/*/*.aedat4``.

    Args:
        folder: where to look; what is hidden and links to folders are passed over.
        is_meant: whether a file is one to look for.

    Returns:
        The pattern that ends as the first such file does, at the least depth that has one; None
        where none is found.
    """
    level, looked_at = [folder], 0
    for depth in range(_DEEPEST):
        below: list[Path] = []
        for place in level:
            try:
                shown = [one for one in place.iterdir() if not one.name.startswith(".")]
                for one in sorted(shown, key=natural):
                    looked_at += 1
                    if looked_at > _LOOKED_AT:
                        return None
                    if one.is_dir():
                        below += [] if one.is_symlink() else [one]
                    elif depth and is_meant(one):
                        return str(folder.joinpath(*["*"] * depth, f"*{one.suffix}"))
            except OSError:  # what cannot be read is no place to point to
                continue
        level = below
    return None
