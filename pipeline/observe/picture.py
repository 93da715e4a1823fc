"""Pictures made of text: where a recording's events lie, and when."""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TypeAlias

from rich.color import Color
from rich.style import Style
from rich.text import Text

__all__ = ["Counts", "activity_lines", "sparkline"]

Counts: TypeAlias = tuple[int, int]
"""Events of a pixel: OFF, ON."""

_ON, _OFF = (90, 200, 255), (255, 140, 60)
"""Blue and orange, which nearly everyone can tell apart."""
_GROUND = (18, 20, 24)
_CELLS = 8192
"""How many cells of a picture are remembered as they are drawn: most come again and again."""
_SHADES = " ░▒▓█"
_BARS = " ▁▂▃▄▅▆▇█"
_DARKEST = 0.2
"""Brightness of a pixel with next to no events, so that it can still be seen."""


def activity_lines(
    picture: Sequence[Sequence[Sequence[int]]], colour: bool, ground: bool = False
) -> list[Text]:
    """Draw the events of a sensor, two rows a line.

    Args:
        picture: counts by polarity (OFF, ON), row and column.
        colour: whether to draw in colour, half a character a pixel; in shades otherwise.
        ground: whether a picture in colour has a dark ground of its own, so that it looks the same
            on a light terminal.
    """
    rows = [list(zip(off, on, strict=True)) for off, on in zip(*picture, strict=True)]
    full = _nearly_most([off + on for row in rows for off, on in row])
    if len(rows) % 2:
        rows.append([(0, 0)] * len(rows[0]))
    draw = (_cell_on_ground if ground else _cell) if colour else _shade
    return [
        _joined(draw(*pair, full) for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def sparkline(values: Sequence[float]) -> str:
    """Draw values as a line of bars, the largest of full height."""
    most = max(values, default=0.0)
    most, steps = max(values, default=0.0), len(_BARS) - 1
    # Only what is zero is blank.
    return "".join(_BARS[math.ceil(value / most * steps) if value else 0] for value in values)


def _nearly_most(counts: Sequence[int]) -> int:
    """Return the count that is drawn brightest; a hot pixel must not darken all others."""
    filled = sorted(count for count in counts if count)
    return filled[int(0.99 * (len(filled) - 1))] if filled else 1


def _brightness(count: int, full: int) -> float:
    return float(min(1.0, count / full) ** 0.5)


def _joined(cells: Iterable[tuple[str, Style]]) -> Text:
    """Put cells in a row, those of one style in one piece: fewer codes for a terminal."""
    pieces = groupby(cells, lambda cell: cell[1])
    return Text.assemble(*(("".join(sign for sign, _ in piece), style) for style, piece in pieces))


@lru_cache(_CELLS)
def _shade(upper: Counts, lower: Counts, full: int) -> tuple[str, Style]:
    bright = (_brightness(sum(upper), full) + _brightness(sum(lower), full)) / 2
    return _SHADES[round(bright * (len(_SHADES) - 1))], Style()


@lru_cache(_CELLS)
def _cell(upper: Counts, lower: Counts, full: int) -> tuple[str, Style]:
    above, below = _colour(upper, full), _colour(lower, full)
    if above is None:
        return ("▄", Style(color=below)) if below else (" ", Style())
    return "▀", Style(color=above, bgcolor=below)


@lru_cache(_CELLS)
def _cell_on_ground(upper: Counts, lower: Counts, full: int) -> tuple[str, Style]:
    sign, style = _cell(upper, lower, full)
    if style.bgcolor is not None:
        return sign, style
    return sign, style + Style(bgcolor=Color.from_rgb(*_GROUND))


def _colour(counts: Counts, full: int) -> Color | None:
    off, on = counts
    if not off + on:
        return None
    bright = _DARKEST + (1 - _DARKEST) * _brightness(off + on, full)
    mixed = [bright * (off * a + on * b) / (off + on) for a, b in zip(_OFF, _ON, strict=True)]
    return Color.from_rgb(*mixed)
