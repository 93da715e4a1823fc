"""Names in the order in which people count: 2 comes before 10."""

import re
from pathlib import Path

__all__ = ["natural"]


def natural(path: Path) -> list[tuple[list[str | int], str]]:
    """Return a sorting key, folder by folder: ``tape-2`` before ``tape-10``, ``tape`` first."""
    return [_key(Path(part)) for part in path.parts]


def _key(name: Path) -> tuple[list[str | int], str]:
    parts = re.split(r"(\d+)", name.stem)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], name.suffix
