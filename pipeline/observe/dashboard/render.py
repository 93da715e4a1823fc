"""A view drawn as lines of text: for a size and with or without colour, always the same.

Colours are the terminal's own sixteen, so that they suit light and dark ones; only the picture has
a ground of its own. Nothing is told by colour alone, and what there is no room for is named.
"""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from pipeline.observe.dashboard.decision import decision_lines
from pipeline.observe.dashboard.head import head_lines
from pipeline.observe.dashboard.keys import keys_line
from pipeline.observe.dashboard.layers import layer_lines
from pipeline.observe.dashboard.panels import ALERT, fit, wrapped
from pipeline.observe.dashboard.stages import stage_lines
from pipeline.observe.dashboard.view import View
from pipeline.observe.picture import activity_lines, sparkline

__all__ = ["render"]

_LEAST_TOP = 8
_LEAST_TABLE = 3
_GAP = 2
_WIDEST_PICTURE = 0.5
_WIDEST_PANEL = 96
_LINES = 6
"""One in so many may be taken by what is told above all, and one by what is told below."""


def render(
    view: View, columns: int, rows: int, colour: bool, keys: Mapping[str, str] | None = None
) -> list[Text]:
    """Draw a run.

    Args:
        view: what is known of it.
        columns: of the terminal.
        rows: of the terminal; so many lines come back.
        colour: whether the terminal has colours.
        keys: what each key does, for the last line.
    """
    most = max(1, rows // _LINES)
    head = head_lines(view, columns, 1 + most)
    foot = [*_notice(view, columns, most), Text(keys_line(keys or {}, columns), style="dim")]
    left = max(0, rows - len(head) - len(foot))
    stages = [] if view.status is None else view.status.stages
    table = min(len(stages) + 2, left - min(_LEAST_TOP, left // 2)) if stages else 0
    # The line above the table, then its head.
    shown = table - 2 if table >= _LEAST_TABLE else 0
    table = shown + 2 if shown else min(table, 1)
    top, missing = _top(view, columns, left - table, colour)
    hidden = len(stages) - shown
    lines = [*head, *top]
    if table:
        lines += [_missing(hidden, missing, columns), *stage_lines(view, columns, shown)]
    lines = lines[: max(0, rows - len(foot))]
    lines += [Text()] * (rows - len(foot) - len(lines)) + foot
    return [fit(line, columns) for line in lines[-rows:]]


def _missing(stages: int, panels: Sequence[str], columns: int) -> Text:
    """Name what there is no room for."""
    told = [f"{stages} stage{'s' * (stages > 1)}"] if stages else []
    told += panels
    if not told:
        return Text()
    line, remedy = f" +{', '.join(told)}", ": make the terminal taller"
    return Text(line + remedy if len(line + remedy) <= columns else line, style="dim")


def _top(view: View, columns: int, rows: int, colour: bool) -> tuple[list[Text], list[str]]:
    """Draw the picture, and what was made of it on its right; say what has no room there."""
    width = 0
    if view.pictured is not None and rows:
        wide, high = view.image.size if all(view.image.size) else (1, 1)
        width = min(round(2 * rows * wide / high), round(columns * _WIDEST_PICTURE))
        high_rows = min(rows, max(1, round(width * high / wide / 2)))
        picture = activity_lines(view.image.pixels(width, 2 * high_rows), colour, ground=True)
    room = min(columns - width - (_GAP if width else 1), _WIDEST_PANEL)
    panel, missing = _panel(view, room, rows)
    lines = []
    for n in range(rows):
        line = Text()
        if width:
            line.append_text(picture[n] if n < len(picture) else Text())
            line.append(" " * (width + _GAP - cell_len(line.plain)))
        else:
            line.append(" ")
        if n < len(panel):
            line.append_text(panel[n])
        lines.append(line)
    return lines, missing


def _panel(view: View, width: int, rows: int) -> tuple[list[Text], list[str]]:
    """Put together what was decided and what the network does, as far as there is room."""
    layers, no_layers = layer_lines(view, width, max(0, rows - 7))
    left = rows - len(layers) - (1 if layers else 0)
    lines, missing = decision_lines(view, width, left)
    rate = _rate_lines(view, width) if rows - len(lines) - len(layers) > 6 else []
    parts: Sequence[list[Text]] = [part for part in (lines, rate, layers) if part]
    panel: list[Text] = []
    for part in parts:
        panel += [Text()] * bool(panel) + part
    return panel, missing + no_layers


def _rate_lines(view: View, width: int) -> list[Text]:
    """Draw the rate of events of the last minute."""
    rates = [*view.event_rates][-(width - 12) :]
    if not rates:
        return []
    return [Text.assemble(("events/s    ", "bold"), (sparkline(rates), "cyan"))]


def _notice(view: View, columns: int, most: int) -> list[Text]:
    """Tell what was remarked last, or why the run was restarted; a line is always kept for it."""
    told, style, status = view.notice, "bold", view.status
    if not told and status is not None and status.last_cause:
        told, style = f"restarted: {status.last_cause}", ALERT
    return [Text(f" {line}", style=style) for line in wrapped(told, columns - 2, most)] or [Text()]
