"""What the network does: how much of each layer fires, and where its membranes stand."""

from rich.cells import cell_len
from rich.text import Text

from pipeline.observe.dashboard.panels import bar, short
from pipeline.observe.dashboard.view import View

__all__ = ["layer_lines"]

_TITLE = 10
_NARROWEST = 6


def layer_lines(view: View, width: int, rows: int) -> tuple[list[Text], list[str]]:
    """Draw the layers: a line each where there is room, else a column each in three lines.

    Returns:
        The lines, and what has no room.
    """
    firing, membrane = view.gauges("firing"), view.gauges("membrane")
    names = list(dict.fromkeys([*firing, *membrane]))
    if not names:
        return [], []
    if rows < 3:
        return [], ["layers"]
    draw = _tall if rows >= len(names) + 12 else _flat
    return draw(names, firing, membrane, width), []


def _tall(
    names: list[str], firing: dict[str, float], membrane: dict[str, float], width: int
) -> list[Text]:
    widest = min(max(5, *(cell_len(name) for name in names)), width // 3)
    room = max(4, min(40, width - widest - 24))
    lines = [Text(f"{'layer':{widest}}  firing  membrane", style="bold")]
    for name in names:
        rate = firing.get(name)
        line = Text(short(name, widest))
        line.append(" " * 8 if rate is None else f"  {rate:6.1%}")
        line.append(f"  {membrane[name]:z8.3f}" if name in membrane else " " * 10)
        line.append("" if rate is None else "  " + bar(rate, room), style="cyan")
        lines.append(line)
    return lines


def _flat(
    names: list[str], firing: dict[str, float], membrane: dict[str, float], width: int
) -> list[Text]:
    column = max(_NARROWEST, min(10, max(map(cell_len, names)) + 1))
    fitting = names[: max(1, (width - _TITLE) // column)]
    head = Text("layer".ljust(_TITLE), style="bold")
    fires, stands = Text("firing".ljust(_TITLE)), Text("membrane".ljust(_TITLE))
    for name in fitting:
        head.append(" " + short(name, min(cell_len(name), column - 1)).rjust(column - 1))
        fires.append(f"{firing[name]:.1%}".rjust(column) if name in firing else " " * column)
        stands.append(f"{membrane[name]:z.2f}".rjust(column) if name in membrane else " " * column)
    if len(fitting) < len(names):
        head.append(f" +{len(names) - len(fitting)}")
    return [head, *([fires] if firing else []), stands]
