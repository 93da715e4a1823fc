"""The stages as a table: what each does in a second, and what waits before it."""

from collections.abc import Sequence

from rich.cells import set_cell_size
from rich.text import Text

from pipeline.observe.dashboard.panels import ALERT, bar, count, printable
from pipeline.observe.dashboard.view import View
from pipeline.observe.status import EdgeStatus, StageStatus

__all__ = ["stage_lines"]

_NAME, _BAR = 14, 6
_BLOCKED = 0.05


def stage_lines(view: View, columns: int, rows: int) -> list[Text]:
    """Draw a line a stage in the order of the graph; where there are too many, the busiest."""
    status = view.status
    if status is None or rows < 2:
        return []
    stages = list(status.stages)
    if len(stages) > rows - 1:
        by_work = sorted(stages, key=lambda stage: -view.rates(stage).busy)[: rows - 1]
        stages = [stage for stage in stages if stage in by_work]
    wide = columns >= 100
    name = _NAME + (10 if wide else 0)
    width = _BAR + (6 if wide else 0)
    head = Text(
        f" {'stage':{name}} {'busy':>{width + 5}} {'in/s':>7} {'out/s':>7}  {'queue':{width + 6}}"
        f" {'blocked':>7} {'refused':>7}",
        style="bold",
    )
    return [head, *(_line(view, stage, name, width, wide) for stage in stages)]


def _line(view: View, stage: StageStatus, name: int, width: int, wide: bool) -> Text:
    rates = view.rates(stage)
    line = Text(" " + set_cell_size(printable(stage.name), name) + " ")
    line.append(bar(rates.busy, width), style="green")
    line.append(f" {rates.busy:4.0%} ")
    line.append(f"{count(rates.taken) if stage.received else '':>7} ")
    line.append(f"{count(rates.made) if stage.sent else '':>7}  ")
    line.append_text(_queue(view.edges_into(stage.name), width))
    blocked = f"{rates.blocked:.0%}" if rates.blocked > _BLOCKED else ""
    line.append(f" {blocked:>7}", style="yellow")
    lost, refused = _lost(stage), {why: n for why, n in stage.refused.items() if n}
    total = sum(lost.values()) + sum(refused.values())
    line.append(f" {count(total) if total else '':>7}", style=ALERT if lost else "")
    if wide and total:
        line.append("  " + printable(", ".join({**lost, **refused})), style="dim")
    if stage.over:
        line.append(" over", style="dim")
    return line


def _queue(edges: Sequence[EdgeStatus], width: int) -> Text:
    if not edges:
        return Text(" " * (width + 6))
    fullest = max(edges, key=lambda edge: edge.fill / edge.capacity)
    share = fullest.fill / fullest.capacity
    line = Text(bar(share, width), style="red" if share >= 1 else "cyan")
    line.append(f" {f'{fullest.fill}/{fullest.capacity}':5}")
    return line


def _lost(stage: StageStatus) -> dict[str, int]:
    """Return what overload took from the queues before a stage."""
    lost: dict[str, int] = {}
    for queue in stage.received:
        for why, units in queue.lost.items():
            lost[why] = lost.get(why, 0) + units
    return lost
