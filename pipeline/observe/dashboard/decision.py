"""The decision: which class, since when, how the others stand, and what came before."""

from collections.abc import Sequence
from itertools import groupby, islice

from rich.cells import cell_len
from rich.text import Text

from pipeline.observe.dashboard.panels import bar, printable, short
from pipeline.observe.dashboard.view import View

__all__ = ["decision_lines"]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_COLOURS = ("green", "magenta", "cyan", "yellow", "bright_blue", "red")
_LONGEST_NAME = 28
_MOST_BARS = 12
_MOST_PAST = 12


def decision_lines(view: View, width: int, rows: int) -> tuple[list[Text], list[str]]:
    """Draw the decision in as many lines as there are, at most; the bars give way first.

    Returns:
        The lines, and what of it has no room.
    """
    if view.decided is None:
        return [], []
    if rows < 1:
        return [], ["decision"]
    if not view.decisions:
        return [Text("no prediction yet", style="dim")], []
    last = view.decisions[-1]
    held = f"for {_seconds(last.end_us - last.start_us)}"
    name = printable(view.classes[last.class_])
    lines = [Text.assemble((name, f"bold {_colour(last.class_)}"), f"  {held}")]
    past = min(_MOST_PAST, max(0, rows - 18))
    bars = max(0, min(len(view.classes), _MOST_BARS, rows - 3 - past))
    missing = []
    if bars:
        lines += _bars(view, width, bars)
    else:
        missing.append("scores")
    if rows - len(lines) >= 2:
        lines += [Text(), _time_line(view.line, width)]
    else:
        missing.append("time line")
    if past and len(view.decisions) > 1:
        lines += [Text(), *_past(view, past)]
    return lines[:rows], missing


def _seconds(time_us: int) -> str:
    return f"{time_us / 1e6:.1f} s"


def _colour(class_: int) -> str:
    return _COLOURS[class_ % len(_COLOURS)]


def _letter(class_: int) -> str:
    return _LETTERS[class_ % len(_LETTERS)]


def _bars(view: View, width: int, most: int) -> list[Text]:
    """Draw the classes with the highest scores, best first."""
    order = sorted(range(len(view.scores)), key=lambda k: -view.scores[k])[:most]
    names = {k: printable(view.classes[k]) for k in order}
    widest = min(_LONGEST_NAME, max(cell_len(name) for name in names.values()), width // 2)
    room = max(4, width - widest - 10)
    lines = []
    for k in order:
        line = Text.assemble((f"{_letter(k)} ", "dim"))
        line.append(short(names[k], widest), style="bold" if k == order[0] else "")
        line.append(" ")
        line.append(bar(view.shares[k], room), style=_colour(k))
        line.append(f" {view.scores[k]:6.2f}")
        lines.append(line)
    return lines


def _time_line(line: Sequence[int], width: int) -> Text:
    """Write the class of each of the latest predictions as its letter, the newest on the right."""
    room = max(1, width)
    latest = groupby(islice(line, max(0, len(line) - room), None))
    pieces = ((class_, sum(1 for _ in stretch)) for class_, stretch in latest)
    return Text.assemble(*((_letter(k) * length, _colour(k)) for k, length in pieces))


def _past(view: View, most: int) -> list[Text]:
    """List the stretches before, the latest first."""
    begin = view.start.t_first_us if view.start is not None else None
    origin_us = view.decisions[0].start_us if begin is None else begin
    stretches = list(view.decisions)[-most - 1 : -1][::-1]
    return [
        Text.assemble(
            (
                f"{(d.start_us - origin_us) / 1e6:9.1f} s  {_seconds(d.end_us - d.start_us):>7}  ",
                "dim",
            ),
            (printable(view.classes[d.class_]), _colour(d.class_)),
        )
        for d in stretches
    ]
