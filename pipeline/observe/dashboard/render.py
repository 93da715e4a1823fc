"""A view drawn as lines of text: for a size and with or without colour, always the same.

Colours are the terminal's own sixteen, so that they suit light and dark ones; only the picture has
a ground of its own. Nothing is told by colour alone.
"""

from collections.abc import Sequence
from pathlib import PurePath

from rich.cells import cell_len
from rich.text import Text

from pipeline.observe.dashboard.decision import decision_lines
from pipeline.observe.dashboard.layers import layer_lines
from pipeline.observe.dashboard.panels import ALERT, count, duration, fit, printable
from pipeline.observe.dashboard.stages import stage_lines
from pipeline.observe.dashboard.view import View
from pipeline.observe.picture import activity_lines, sparkline

__all__ = ["KEYS", "render", "summary"]

KEYS = "space pause  s step  + - speed  r reset  i image"
_LEAST_TOP = 8
_GAP = 2
_WIDEST_PICTURE = 0.5
_WIDEST_PANEL = 96


def render(view: View, columns: int, rows: int, colour: bool, keys: str = "") -> list[Text]:
    """Draw a run.

    Args:
        view: what is known of it.
        columns: of the terminal.
        rows: of the terminal; so many lines come back.
        colour: whether the terminal has colours.
        keys: what is told of the keyboard in the last line.
    """
    head = _head(view, columns, colour)
    foot = [_notice(view), Text(keys, style="dim")]
    stages = 0 if view.status is None else len(view.status.stages)
    left = rows - len(head) - len(foot)
    table = min(stages + 2, max(4, left - _LEAST_TOP)) if stages else 0
    top = max(0, left - table)
    lines = [*head, *_top(view, columns, top, colour)]
    if table:
        lines += [Text(), *stage_lines(view, columns, table - 1)]
    lines = [*lines[: rows - len(foot)]]
    lines += [Text()] * (rows - len(foot) - len(lines)) + foot
    return [fit(line, columns) for line in lines[-rows:]]


def summary(view: View) -> str:
    """Say in one line how a run stands, for where there is no terminal."""
    status = view.status
    if status is None:
        return "waiting for the run"
    said = [f"{status.name} {status.state} {duration(status.at_s)}"]
    if (rate := view.events_per_s) is not None:
        said.append(f"{count(rate)} events/s")
    if view.decisions and view.classes:
        last = view.decisions[-1]
        name, held_s = view.classes[last.class_], (last.end_us - last.start_us) / 1e6
        said.append(f"{name} {view.scores[last.class_]:.2f} for {held_s:.1f} s")
    said += _facts(view)
    said += [f"{edge.name} full" for edge in status.edges if edge.fill >= edge.capacity]
    return printable(", ".join(said))


def _head(view: View, columns: int, colour: bool) -> list[Text]:
    status = view.status
    if status is None:
        return [Text(" waiting for the run ", style="reverse"), Text()]
    played = "" if view.start is None else printable(PurePath(view.start.source).name)
    left = f" {printable(status.name)} · {status.state} · {duration(status.at_s)} "
    title = Text(left, style="bold reverse")
    if played:
        room = columns - cell_len(left) - 1
        short = played if len(played) <= room else "…" + played[len(played) - max(room - 1, 0) :]
        title.append(short.rjust(room) + " ", style="reverse")
    else:
        title.append(" " * (columns - cell_len(left)), style="reverse")
    facts = []
    if (rate := view.events_per_s) is not None:
        facts.append(f"{count(rate)} events/s")
    if (speed := view.speed) is not None:
        facts.append(f"speed {speed:g}" if speed else "at full speed")
    return [title, Text(" " + "  ".join(facts + _facts(view)))]


def _facts(view: View) -> list[str]:
    """Tell delay, checkpoint, restarts and losses, those that there are."""
    status, facts = view.status, []
    assert status is not None
    latencies = [stage.latency for stage in status.stages if stage.latency is not None]
    if latencies:
        worst = max(latencies, key=lambda latency: latency.p99_ms)
        facts.append(f"p50 {_short(worst.p50_ms)} p99 {_short(worst.p99_ms)} ms")
    if status.checkpoint is not None:
        age = "" if status.checkpoint_age_s is None else f" ({status.checkpoint_age_s:.1f} s old)"
        facts.append(f"checkpoint {status.checkpoint}{age}")
    if status.restarts:
        facts.append("1 restart" if status.restarts == 1 else f"{status.restarts} restarts")
    return facts


def _short(ms: float) -> str:
    return f"{ms:.3g}" if ms < 999.5 else f"{ms:.0f}"


def _top(view: View, columns: int, rows: int, colour: bool) -> list[Text]:
    """Draw the picture, and what was made of it on its right."""
    width = 0
    if view.pictured is not None and rows:
        wide, high = view.image.size if all(view.image.size) else (1, 1)
        width = min(round(2 * rows * wide / high), round(columns * _WIDEST_PICTURE))
        high_rows = min(rows, max(1, round(width * high / wide / 2)))
        picture = activity_lines(view.image.pixels(width, 2 * high_rows), colour, ground=True)
    room = min(columns - width - (_GAP if width else 1), _WIDEST_PANEL)
    panel = _panel(view, room, rows)
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
    return lines


def _panel(view: View, width: int, rows: int) -> list[Text]:
    """Put together what was decided and what the network does, as far as there is room."""
    layers = layer_lines(view, width, max(0, rows - 7))
    left = rows - len(layers) - (1 if layers else 0)
    lines = decision_lines(view, width, left)
    rate = _rate_lines(view, width) if rows - len(lines) - len(layers) > 6 else []
    parts: Sequence[list[Text]] = [part for part in (lines, rate, layers) if part]
    panel: list[Text] = []
    for part in parts:
        panel += [Text()] * bool(panel) + part
    return panel


def _rate_lines(view: View, width: int) -> list[Text]:
    """Draw the rate of events of the last minute."""
    rates = [*view.event_rates][-(width - 12) :]
    if not rates:
        return []
    return [Text.assemble(("events/s    ", "bold"), (sparkline(rates), "cyan"))]


def _notice(view: View) -> Text:
    if view.notice:
        return Text(" " + printable(view.notice), style="bold")
    status = view.status
    if status is not None and status.last_cause:
        return Text(" restarted: " + printable(status.last_cause), style=ALERT)
    return Text()
