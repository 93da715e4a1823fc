"""An evaluation in the terminal: all measures, and what is behind them class by class."""

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stages.evaluation.compare import Comparison
from stages.evaluation.load import Load
from stages.evaluation.measures import Delays, Measures, Work
from stages.evaluation.report import Report
from stages.evaluation.trained import told_of

__all__ = ["figures", "short", "summary", "verdict", "waiting"]

_REACHED = 0.8
"""Share of a speed that counts as reached: between two recordings there is always some time."""
_MOST_ROWS = 50
"""Classes up to which each gets a line."""


def summary(report: Report) -> Group:
    """Return the whole summary, for a terminal of 80 columns or more."""
    measures = report.measures
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in figures(report):
        table.add_row(name, Text(value))
    parts: list[RenderableType] = [table]
    if len(measures.classes) <= _MOST_ROWS:
        parts.append(_classes(measures))
    if report.load is not None:
        parts.append(_load(report.load))
        if said := waiting(report.load):
            parts.append(Text(said))
    if report.comparison is not None:
        parts += [_comparison(measures, report.comparison), Text(verdict(report.comparison))]
    return Group(*parts)


def figures(report: Report) -> Iterator[tuple[str, str]]:
    """Yield each measure's name and value."""
    m, interval = report.measures, report.measures.top1_interval
    yield (
        "top-1",
        f"{m.top1:.2%} ({m.right} of {m.recordings}), 95 % interval {interval.low:.1%} to"
        f" {interval.high:.1%}",
    )
    if m.top5 is not None:
        yield "top-5", f"{m.top5:.2%}"
    if m.unanswered:
        yield (
            "unanswered",
            f"{m.unanswered} recordings, too short for a prediction; they count as wrong",
        )
    if m.predictions != m.recordings - m.unanswered:
        share = m.predictions_right / m.predictions if m.predictions else 0.0
        yield "all predictions", f"{share:.2%} ({m.predictions_right} of {m.predictions})"
    yield (
        "class means",
        f"precision {m.precision:.2%}, recall {m.recall:.2%}, F1 {m.f1:.2%}",
    )
    for one in report.trained:
        if said := told_of(one, m.recordings):
            yield "beware", said
        yield "trained on", f"{one.data}; {one.accuracy}"
    yield "calibration error", f"{m.calibration.error:.2%}"
    yield "first right", _delays(m.first_right)
    yield "right for good", _delays(m.stable)
    work = m.work
    if work.operations is not None:
        yield "synaptic operations", f"{short(work.operations)} a recording"
    yield (
        "throughput",
        f"{work.recordings_a_second:.3g} recordings/s, {short(work.events_a_second)} events/s,"
        f" {work.real_time:.3g} times real time, a process; {_measured(work, m.recordings)}",
    )
    if m.refused:
        yield "refused", ", ".join(f"{count:,} {what}" for what, count in m.refused.items())


def verdict(comparison: Comparison) -> str:
    """Return what a comparison says, as a sentence."""
    low, high = comparison.difference_interval
    said = (
        f"{_points(comparison.difference)} points, 95 % interval {_points(low)} to {_points(high)}"
    )
    if comparison.chance is None:
        said += "; not of the same recordings"
    else:
        said += (
            f"; of the same recordings, only this one has {comparison.only_this} right, only the"
            f" other {comparison.only_other}: by chance alone p = {comparison.chance:.3g}"
        )
    sure = "the difference is more than chance" if low > 0 or high < 0 else "they may be equal"
    return f"{said}; {sure}"


def waiting(load: Load) -> str:
    """Return at which speeds the source waited, so that less was offered, "" where it did not."""
    slow = [point for point in load.points if point.reached < _REACHED * point.speed]
    if not slow:
        return ""
    asked, came_to = (
        ", ".join(f"{value:.3g}×" for value in values)
        for values in ([p.speed for p in slow], [p.reached for p in slow])
    )
    return (
        f"At {asked} the source waited between recordings, and came to {came_to}: accuracy there is"
        " not that of a camera so much faster."
    )


def short(value: float) -> str:
    """Return a number with three digits that count, and a prefix for its size."""
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.3g}"


def _measured(work: Work, recordings: int) -> str:
    """Say of what a rate is."""
    if work.warm:
        return f"of {work.recordings:,} recordings, without the first of each process"
    return "with what each process waits for at its first recording"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _delays(delays: Delays) -> str:
    if delays.median_ms is None:
        return "never"
    return (
        f"after {delays.median_ms:.0f} ms (median), {delays.p90_ms:.0f} ms (9 of 10), in"
        f" {delays.share:.1%} of recordings"
    )


def _classes(measures: Measures) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    for heading in ("recordings", "precision", "recall", "F1"):
        table.add_column(heading, justify="right")
    table.add_column("most often taken for")
    names = [one.name for one in measures.classes]
    for k, (one, row) in enumerate(zip(measures.classes, measures.confusion, strict=True)):
        wrong = [0 if other == k else count for other, count in enumerate(row)]
        worst = max(range(len(wrong)), key=wrong.__getitem__)
        taken = f"{names[worst]} ({wrong[worst]})" if wrong[worst] else "·"
        shares = ("·" if s is None else f"{s:.1%}" for s in (one.precision, one.recall, one.f1))
        table.add_row(Text(one.name), str(one.recordings), *shares, Text(taken))
    return table


def _load(load: Load) -> Table:
    title = Text(f"under load, with {load.policy}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for heading in ("speed", "reached", "events/s", "top-1", "unanswered"):
        table.add_column(heading, justify="right")
    table.add_column("given up")
    for point in load.points:
        lost = ", ".join(f"{count:,} {what}" for what, count in point.lost.items())
        table.add_row(
            f"{point.speed:g}×",
            f"{point.reached:.3g}×",
            short(point.events_a_second),
            f"{point.top1:.2%}",
            str(point.unanswered),
            lost or "·",
        )
    return table


def _comparison(measures: Measures, comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for heading in ("recordings", "top-1", "95 % interval"):
        table.add_column(heading, justify="right")
    rows = [
        ("this", measures.recordings, measures.top1, measures.top1_interval),
        (
            comparison.other,
            comparison.other_recordings,
            comparison.other_top1,
            comparison.other_top1_interval,
        ),
    ]
    for name, count, share, (low, high) in rows:
        table.add_row(Text(name), str(count), f"{share:.2%}", f"{low:.1%} to {high:.1%}")
    return table
