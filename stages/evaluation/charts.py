"""Pictures of the report: SVG made here, that needs neither a library nor a network.

Colours are the page's CSS variables, so that they follow light and dark.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Line", "bars", "lines", "reliability"]

_WIDTH, _HEIGHT = 460, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 22, 24, 44


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    """0 to 1."""
    spread: Sequence[tuple[float, float]] = ()
    """An interval about each value, drawn as a whisker."""


def lines(series: Sequence[Line], label: str, ticks: Sequence[tuple[float, str]] = ()) -> str:
    """Draw shares over something.

    Args:
        series: the lines; they need one point at least.
        label: what x is.
        ticks: values of x that get a text; some are chosen where there are none.
    """
    xs = [x for line in series for x in line.x]
    low, high = min(xs), max(xs)
    ticks = ticks or [(x, f"{x:g}") for x in _round_steps(low, high)]
    parts = [_frame(label, "share of recordings")]
    parts += [
        f'<text x="{_x(x, low, high):.1f}" y="{_HEIGHT - _BOTTOM + 16}" class="tick middle">'
        f"{escape(text)}</text>"
        for x, text in ticks
    ]
    for number, line in enumerate(series):
        points = [(_x(x, low, high), _y(y)) for x, y in zip(line.x, line.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" class="line s{number}"/>')
        for (x, _), (bottom, top) in zip(points, line.spread, strict=bool(line.spread)):
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(bottom):.1f}" y2="{_y(top):.1f}"'
                f' class="whisker s{number}"/>'
            )
        if len(points) <= 80:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="dot s{number}"><title>'
                f"{escape(line.name)}: {value:.1%} at {at:g}</title></circle>"
                for (x, y), value, at in zip(points, line.y, line.x, strict=True)
            ]
    if len(series) > 1:
        parts += [
            f'<line x1="{x}" x2="{x + 18}" y1="{_TOP - 12}" y2="{_TOP - 12}" class="line s{k}"/>'
            f'<text x="{x + 24}" y="{_TOP - 8}" class="tick">{escape(line.name)}</text>'
            for k, line in enumerate(series)
            for x in [_LEFT + 210 * k]
        ]
    return _svg(parts, _HEIGHT)


def reliability(bins: Sequence[tuple[float, float, int, float | None]]) -> str:
    """Draw the share that is right over confidence, and how many answers were that sure.

    Args:
        bins: low and high end, recordings, and the share of them that is right, None of none.
    """
    most = max((count for _, _, count, _ in bins), default=0) or 1
    parts = [_frame("confidence of the answer", "share right")]
    parts += [
        f'<text x="{_x(x / 5, 0, 1):.1f}" y="{_HEIGHT - _BOTTOM + 16}" class="tick middle">'
        f"{x / 5:.0%}</text>"
        for x in range(6)
    ]
    for low, high, count, right in bins:
        if right is None:
            continue
        left, width = _x(low, 0, 1), _x(high, 0, 1) - _x(low, 0, 1)
        parts.append(
            f'<rect x="{left + 1:.1f}" y="{_y(right):.1f}" width="{width - 2:.1f}"'
            f' height="{_y(0) - _y(right):.1f}" class="bar" style="opacity:'
            f'{0.25 + 0.75 * count / most:.2f}"><title>{count} recordings, {right:.1%} right'
            f"</title></rect>"
            f'<text x="{left + width / 2:.1f}" y="{_TOP - 6}"'
            f' class="tick middle">{count}</text>'
        )
    ends = f'x1="{_x(0, 0, 1):.1f}" y1="{_y(0):.1f}" x2="{_x(1, 0, 1):.1f}" y2="{_y(1):.1f}"'
    parts.append(f'<line {ends} class="ideal"/>')
    return _svg(parts, _HEIGHT)


def bars(values: Sequence[tuple[str, float, str]]) -> str:
    """Draw a bar for each value: its name, its length, its text."""
    most = max((value for _, value, _ in values), default=0.0) or 1.0
    left, height = 120, 24
    room = _WIDTH - left - 90
    parts = []
    for number, (name, value, text) in enumerate(values):
        y = number * height
        width = room * value / most
        parts.append(
            f'<text x="{left - 8}" y="{y + 16}" class="tick end">{escape(name)}</text>'
            f'<rect x="{left}" y="{y + 4}" width="{width:.1f}" height="{height - 8}" class="bar"/>'
            f'<text x="{left + width + 6:.1f}" y="{y + 16}" class="tick">{escape(text)}</text>'
        )
    return _svg(parts, len(values) * height + 4)


def _frame(x_label: str, y_label: str) -> str:
    """Return the axes: shares upward, with a line each fifth."""
    parts = []
    for k in range(6):
        y = _y(k / 5)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="tick end">{k / 5:.0%}</text>'
        )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" class="label middle">'
        f"{escape(x_label)}</text>"
        f'<text transform="translate(11 {middle}) rotate(-90)" class="label middle">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def _svg(parts: Sequence[str], height: int) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(parts)}</svg>'


def _x(value: float, low: float, high: float) -> float:
    span = high - low or 1.0
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low) / span


def _y(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)


def _round_steps(low: float, high: float) -> list[float]:
    """Return a few round values between two."""
    if high <= low:
        return [low]
    step = 10.0**-9
    while (high - low) / step > 8:
        for factor in (2.0, 2.5, 2.0):
            step *= factor
            if (high - low) / step <= 8:
                break
    first = -(-low // step)
    found = [number * step for number in range(int(first), int(high // step) + 1)]
    return found if found[0] == low else [low, *found]
