"""Small pieces of text that all parts of the dashboard are made of."""

import math
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

__all__ = ["ALERT", "bar", "count", "duration", "fit", "packed", "printable", "short", "wrapped"]

ALERT = "bold red"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_GAP = "  "
_PLAIN = Console(color_system=None)


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


def short(name: str, width: int) -> str:
    """Return what others have named in exactly so many cells; "…" tells that it goes on."""
    name = printable(name)
    return set_cell_size(name, width) if cell_len(name) <= width else _cut(name, width - 1)


def wrapped(text: str, columns: int, most: int) -> list[str]:
    """Return what others wrote in lines of whole words; behind the last line "…" if it goes on."""
    lines = Text(printable(text)).wrap(_PLAIN, max(1, columns), overflow="fold")
    found = [line.plain.rstrip() for line in lines] if text.strip() else []
    if len(found) > most:
        last = found[most - 1]
        found[most - 1 :] = [_cut(last, min(cell_len(last), max(0, columns - 1)))]
    return found


def packed(parts: Sequence[Text], columns: int, most: int) -> list[Text]:
    """Put parts side by side, in as many lines as are needed; say how many more there would be."""
    lines: list[Text] = []
    for number, part in enumerate(parts):
        part = fit(part, columns)
        if lines and lines[-1].cell_len + len(_GAP) + part.cell_len <= columns:
            lines[-1] = Text.assemble(lines[-1], _GAP, part)
        elif len(lines) < most:
            lines.append(part)
        else:
            more = f"{_GAP}+{len(parts) - number}"
            lines[-1] = Text.assemble(fit(lines[-1], columns - len(more)), (more, "bold"))
            break
    return lines


def printable(text: str) -> str:
    """Return what others have named with nothing in it that a terminal obeys."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _cut(text: str, width: int) -> str:
    return set_cell_size(text, width) + "…"
