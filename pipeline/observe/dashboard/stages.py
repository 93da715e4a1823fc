"""The stages as a table: what each does in a second, and what waits before it."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from pipeline.observe.dashboard.panels import ALERT, bar, count, printable, short
from pipeline.observe.dashboard.view import View
from pipeline.observe.status import EdgeStatus, StageStatus

__all__ = ["stage_lines"]

_NAME, _BAR = 14, 6
_SHORTEST_NAME = 6
_WIDE, _REASONS = 110, 14
"""From how many columns on reasons are told, and how much of them at least."""
_NUMBERS = 48
"""Columns that all but the name and the two bars take."""
_BLOCKED = 0.05


def stage_lines(view: View, columns: int, rows: int) -> list[Text]:
    """Draw a line a stage in the order of the graph, below a head; the busiest if they are more."""
    status = view.status
    if status is None or rows < 1:
        return []
    stages = list(status.stages)
    if len(stages) > rows:
        busiest = sorted(stages, key=lambda stage: -view.rates(stage).busy)[:rows]
        names = {stage.name for stage in busiest}
        stages = [stage for stage in stages if stage.name in names]
    wide = columns >= _WIDE
    width = 2 * _BAR if wide else _BAR if columns >= _NUMBERS + 2 * _BAR + _NAME else 0
    longest = max(cell_len(stage.name) for stage in status.stages)
    room = columns - _NUMBERS - 2 * width - _REASONS * wide
    name = max(_SHORTEST_NAME, min(max(longest, _NAME + 10 * wide), room))
    # When it is over, what there was in all says more than the last moment.
    into, out_of, gone = ("in", "out", "lost") if view.over else ("in/s", "out/s", "refused")
    head = Text(
        f" {'stage':{name}} {'busy':>{width + 5}} {into:>7} {out_of:>7}  {'queue':>{width + 7}}"
        f" {'blocked':>7} {gone:>7}",
        style="bold",
    )
    return [head, *(_line(view, stage, name, width, wide) for stage in stages)]


def _line(view: View, stage: StageStatus, name: int, width: int, wide: bool) -> Text:
    rates = view.rates(stage)
    taken, made = view.totals(stage) if view.over else (rates.taken, rates.made)
    line = Text(" " + short(stage.name, name) + " ")
    line.append(bar(rates.busy, width), style="green")
    line.append(f" {rates.busy:4.0%} ")
    line.append(f"{count(taken) if stage.received else '':>7} ")
    line.append(f"{count(made) if stage.sent else '':>7}  ")
    line.append_text(_queue(view.edges_into(stage.name), width))
    if stage.over and not view.over:
        line.append(f" {'over':>7}", style="dim")
    else:
        blocked = f"{rates.blocked:.0%}" if rates.blocked > _BLOCKED else ""
        line.append(f" {blocked:>7}", style="yellow")
    lost = _lost(stage)
    # What was told of these last is of a moment before the end, when some were only waiting.
    refused = {} if view.over else {why: n for why, n in stage.refused.items() if n}
    total = sum(lost.values()) + sum(refused.values())
    line.append(f" {count(total) if total else '':>7}", style=ALERT if lost else "")
    if wide and total:
        line.append("  " + printable(", ".join({**lost, **refused})), style="dim")
    return line


def _queue(edges: Sequence[EdgeStatus], width: int) -> Text:
    if not edges:
        return Text(" " * (width + 7))
    fullest = max(edges, key=lambda edge: edge.fill / edge.capacity)
    share = fullest.fill / fullest.capacity
    line = Text(bar(share, width), style="red" if share >= 1 else "cyan")
    line.append(f"{f'{fullest.fill}/{fullest.capacity}':>7}")
    return line


def _lost(stage: StageStatus) -> dict[str, int]:
    """Return what overload took from the queues before a stage."""
    lost: dict[str, int] = {}
    for queue in stage.received:
        for why, units in queue.lost.items():
            lost[why] = lost.get(why, 0) + units
    return lost
