"""Lists of pixels in text files: a line a pixel, x and y; ``#`` begins a remark."""

import re
from pathlib import Path

from pipeline.errors import ConfigError
from stages.filters.small_file import read_small_file

__all__ = ["read_pixels"]

_PIXEL = re.compile(r"(\d{1,5})(?:\s*,\s*|\s+)(\d{1,5})", re.ASCII)


def read_pixels(path: Path) -> tuple[tuple[int, int], ...]:
    """Return the (x, y) of each line.

    Raises:
        ConfigError: the file cannot be read, or a line is no pixel.
    """
    pixels = []
    for number, line in enumerate(read_small_file(path).splitlines(), start=1):
        content = line.partition("#")[0].strip()
        found = _PIXEL.fullmatch(content)
        if found is not None:
            pixels.append((int(found[1]), int(found[2])))
        elif content:
            raise ConfigError(
                f"{path}: line {number} must be a pixel such as 12, 7, got {content[:40]!r}"
            )
    return tuple(pixels)
