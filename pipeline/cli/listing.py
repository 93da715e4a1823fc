"""Rows in columns: within the width of a terminal, and whole where a program reads them."""

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime

__all__ = ["aligned", "moment", "screen_width"]

_GAP = "  "
_LEAST = 12
"""Of the last column, however narrow the terminal is."""


def screen_width() -> int | None:
    """Return how wide the terminal is that standard output goes to, None if it goes to none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def aligned(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return a line a row, columns below each other.

    Args:
        rows: the cells, as many in each; the last is a path, of which the end says most.
        width: what a line may have, None for no limit; the last cell is cut at its beginning.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    room = None if width is None else max(_LEAST, width - sum(widths) - len(_GAP) * len(widths))
    lines = []
    for *cells, last in rows:
        if room is not None and len(last) > room:
            last = "…" + last[len(last) - room + 1 :]
        padded = (cell.ljust(wide) for cell, wide in zip(cells, widths, strict=True))
        lines.append(_GAP.join([*padded, last]).rstrip())
    return lines


def moment(when: datetime) -> str:
    """Return a time as the clock on the wall shows it."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}"
