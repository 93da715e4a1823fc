"""Small pieces of text that all parts of the dashboard are made of."""

import math

from rich.text import Text

__all__ = ["ALERT", "bar", "count", "duration", "fit", "printable"]

ALERT = "bold red"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """Return a number in five signs at most: 1234567 is ``1.23M``."""
    for unit, name in _UNITS:
        if value >= 0.9995 * unit:
            return (
                f"{value / unit:.3g}{name}" if value < 999.5 * unit else f"{value / unit:.0f}{name}"
            )
    return f"{value:.3g}" if value < 99.95 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are some."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def bar(share: float, width: int) -> str:
    """Return a bar of eighths of a character, padded to its width."""
    if not math.isfinite(share):
        share = 0.0
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def fit(line: Text, columns: int) -> Text:
    """Return a line cut to a width."""
    line = line.copy()
    line.truncate(columns, overflow="ellipsis")
    return line


def printable(text: str) -> str:
    """Return what others have named with nothing in it that a terminal obeys."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)
