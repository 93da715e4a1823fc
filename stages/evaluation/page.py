"""The report as one page that needs nothing beside it: no file, no network, no script."""

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from stages.evaluation.charts import Line, bars, lines, reliability
from stages.evaluation.measures import Measures, confidence, is_right
from stages.evaluation.report import Report
from stages.evaluation.results import Result
from stages.evaluation.summary import figures, short, verdict, waiting
from stages.evaluation.trained import told_of

__all__ = ["page"]

_MOST_CELLS = 30
"""Classes up to which the confusion matrix is shown whole."""
_MOST_WRONG = 200
_SHORT_NAME = 3
"""Names of classes up to this length stand upright above the confusion matrix."""

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1c2430; --soft: #5d6878;
  --rule: #dfe3e9; --one: #2563c9; --two: #c2571a; --good: 37 99 201; --bad: 201 60 45; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1b212a; --ink: #e6eaf0;
  --soft: #98a3b3; --rule: #323b48; --one: #6ea3f5; --two: #f0955a; --good: 110 163 245;
  --bad: 240 110 95; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1080px; padding: 28px 20px 60px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
h1 { font-size: 24px; margin: 0 } h2 { font-size: 16px; margin: 0 0 10px }
p { margin: 4px 0 } .soft { color: var(--soft) }
.note { border-left: 4px solid rgb(var(--bad)); padding-left: 10px; margin: 14px 0 }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 12px;
  margin: 20px 0 }
.tile, section { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 14px 16px }
.tile b { display: block; font-size: 24px; line-height: 1.25 }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr));
  gap: 12px }
section, .two { margin-bottom: 12px } section { overflow-x: auto } .two section { margin: 0 }
.two > :last-child:nth-child(odd) { grid-column: 1 / -1 } .two svg { max-width: 620px }
table { border-collapse: collapse; width: 100% }
th { font-weight: 600; text-align: left; color: var(--soft) }
th, td { padding: 3px 8px; border-bottom: 1px solid var(--rule); vertical-align: top }
td.n, th.n { text-align: right } td.key { overflow-wrap: anywhere }
td.c { text-align: center; padding: 4px 2px; min-width: 28px }
table.matrix th.c { font-size: 12px; padding: 4px; border: 0; text-align: center }
table.matrix th.long { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left }
table.matrix td { vertical-align: middle } table.matrix td.none { color: var(--soft) }
table.matrix { width: auto } table.matrix td, table.matrix th { border: 1px solid var(--card) }
table.matrix th, table.figures th { white-space: nowrap }
table.figures th { width: 1%; padding-right: 24px }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--ink); font-size: 12px }
svg .tick { fill: var(--soft); font-size: 11px } svg .middle { text-anchor: middle }
svg .end { text-anchor: end } svg .grid { stroke: var(--rule) }
svg .bar { fill: var(--one) } svg .ideal { stroke: var(--soft); stroke-dasharray: 4 4 }
svg .line { fill: none; stroke-width: 2 }
svg .s0 { stroke: var(--one) } svg .s1 { stroke: var(--two) }
svg .dot { stroke: none } svg .dot.s0 { fill: var(--one) } svg .dot.s1 { fill: var(--two) }
svg .whisker { stroke-width: 1.5; opacity: .6 }
@media (max-width: 520px) {
  body { padding: 18px 10px 40px } .tile, section { padding: 12px 10px }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px } .tile b { font-size: 20px }
  th, td { padding: 3px 4px; font-size: 13px } table.matrix td.c { min-width: 22px }
  table.matrix tr > th:first-child { white-space: normal; min-width: 84px }
  table.figures th { white-space: normal; padding-right: 8px }
  svg text, svg .tick { font-size: 14px }
}
"""


def page(report: Report, results: Sequence[Result]) -> str:
    """Return the page's HTML."""
    request, measures = report.request, report.measures
    sections = [
        *_compared(report),
        '<div class="two">',
        _section("Accuracy against the number of steps", _steps(results, measures)),
        _section("Confidence and accuracy", _calibration(measures)),
        *_loaded(report),
        *_operations(measures),
        "</div>",
        _section("All figures", _figures(report)),
        _section("Classes", _classes(measures)),
        _section("Confusion: rows are shown, columns are answers", _confusion(measures)),
        _section("Wrong answers", _wrong(report, results)),
    ]
    title = f"{request.name}: {measures.top1:.2%} of {measures.recordings} recordings right"
    overrides = "".join(f" --set {escape(one)}" for one in request.overrides)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(request.name)}</h1>"
        f'<p class="soft">{escape(request.pipeline)}{overrides}, predictions of'
        f" “{escape(request.decision)}”; data: {escape(request.data)}, part:"
        f" {escape(request.part)}</p>{_notes(report)}{_tiles(measures)}{''.join(sections)}"
        f'<p class="soft">pipeline {escape(report.version)}, fingerprint'
        f" {escape(request.fingerprint)}</p></body></html>\n"
    )


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def _notes(report: Report) -> str:
    """Return what one must know before one believes a number."""
    said = (told_of(one, report.measures.recordings) for one in report.trained)
    return "".join(f'<p class="note">{escape(text)}</p>' for text in said if text)


def _tiles(m: Measures) -> str:
    low, high = m.top1_interval
    tiles = [
        ("top-1", f"{m.top1:.2%}", f"{low:.1%} to {high:.1%}"),
        *([("top-5", f"{m.top5:.2%}", "")] if m.top5 is not None else []),
        ("recordings", f"{m.recordings:,}", f"{m.recordings - m.right:,} wrong"),
        ("mean F1", f"{m.f1:.2%}", ""),
        ("calibration error", f"{m.calibration.error:.2%}", ""),
    ]
    if m.stable.median_ms is not None:
        tiles.append(("right for good", f"{m.stable.median_ms:.0f} ms", "median"))
    if m.work.operations is not None:
        tiles.append(("synaptic operations", short(m.work.operations), "a recording"))
    tiles.append(("speed", f"{m.work.real_time:.3g}×", "real time, a process"))
    shown = "".join(
        f'<div class="tile">{escape(name)}<b>{escape(value)}</b>'
        f'<span class="soft">{escape(more)}</span></div>'
        for name, value, more in tiles
    )
    return f'<div class="tiles">{shown}</div>'


def _figures(report: Report) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in figures(report)
    )
    return f'<table class="figures">{rows}</table>'


def _compared(report: Report) -> Iterator[str]:
    other, m = report.comparison, report.measures
    if other is None:
        return
    rows = [
        ("this", m.recordings, m.top1, m.top1_interval),
        (other.other, other.other_recordings, other.other_top1, other.other_top1_interval),
    ]
    cells = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{count}</td><td class="n">{share:.2%}</td>'
        f'<td class="n">{low:.1%} to {high:.1%}</td></tr>'
        for name, count, share, (low, high) in rows
    )
    head = '<th></th><th class="n">recordings</th><th class="n">top-1</th><th class="n">95 %</th>'
    table = f"<table><tr>{head}</tr>{cells}</table><p>{escape(verdict(other))}</p>"
    yield _section("Compared", table)


def _steps(results: Sequence[Result], measures: Measures) -> str:
    after = measures.accuracy_after
    if not after:
        return "<p>No recording has a step.</p>"
    count = len(after)
    for_good = np.zeros(count)
    for result in results:
        right = [decision == result.label for decision in result.decisions]
        since = len(right)
        while since and right[since - 1]:
            since -= 1
        if since < len(right):
            for_good[since:] += 1
    steps = list(range(1, count + 1))
    shares = (for_good / len(results)).tolist()
    return lines(
        [Line("right after so many steps", steps, after), Line("right for good", steps, shares)],
        "steps of all until then",
    )


def _calibration(measures: Measures) -> str:
    found = measures.calibration
    chart = reliability([(one.low, one.high, one.recordings, one.accuracy) for one in found.bins])
    said = "On the dashed line confidence is the share that is right; above are recordings."
    return f'{chart}<p class="soft">{said} Mean distance: {found.error:.2%}.</p>'


def _loaded(report: Report) -> Iterator[str]:
    load = report.load
    if load is None or not load.points:
        return
    x = [float(np.log2(point.speed)) for point in load.points]
    ticks = [(at, f"{point.speed:g}×") for at, point in zip(x, load.points, strict=True)]
    line = Line(
        "top-1",
        x,
        [point.top1 for point in load.points],
        [point.top1_interval for point in load.points],
    )
    said = (
        f"With {load.policy}. 1× are {short(load.points[0].events_a_second / load.points[0].speed)}"
        " events/s; whiskers are 95 % intervals."
    )
    said = f"{said} {waiting(load)}".rstrip()
    chart = lines([line], "times faster than recorded", ticks)
    yield _section("Accuracy under load", f'{chart}<p class="soft">{escape(said)}</p>')


def _operations(measures: Measures) -> Iterator[str]:
    by_layer = measures.work.operations_by_layer
    if by_layer:
        shown = bars([(name, value, short(value)) for name, value in by_layer.items()])
        yield _section("Synaptic operations of a recording", shown)


def _classes(measures: Measures) -> str:
    head = "".join(
        f'<th class="n">{name}</th>' for name in ("recordings", "precision", "recall", "F1")
    )
    rows = "".join(
        f'<tr><td>{escape(one.name)}</td><td class="n">{one.recordings}</td>'
        + "".join(f'<td class="n">{_share(s)}</td>' for s in (one.precision, one.recall, one.f1))
        + "</tr>"
        for one in measures.classes
    )
    return f"<table><tr><th>class</th>{head}</tr>{rows}</table>"


def _confusion(measures: Measures) -> str:
    names = [one.name for one in measures.classes]
    if len(names) > _MOST_CELLS:
        return _mistakes(measures, names)
    turned = " long" if max(map(len, names)) > _SHORT_NAME else ""
    head = "".join(f'<th class="c{turned}">{escape(name)}</th>' for name in names)
    rows = []
    for k, (name, row) in enumerate(zip(names, measures.confusion, strict=True)):
        total = sum(row) or 1
        cells = "".join(
            _cell(count, count / total, k == other, f"{name}: {names[other]}")
            for other, count in enumerate(row)
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return f'<table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}</table>'


def _cell(count: int, share: float, is_right: bool, title: str) -> str:
    """Return a cell of the matrix; also a single mistake among many is to be seen."""
    if not count:
        return '<td class="c none">·</td>'
    kind, strength = "good" if is_right else "bad", 0.15 + 0.6 * share
    return (
        f'<td class="c" style="background: rgb(var(--{kind}) / {strength:.2f})"'
        f' title="{escape(title)}">{count}</td>'
    )


def _mistakes(measures: Measures, names: Sequence[str]) -> str:
    matrix = np.array(measures.confusion)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:_MOST_CELLS]
    rows = "".join(
        f'<tr><td>{escape(names[shown])}</td><td>{escape(names[answer])}</td><td class="n">'
        f"{matrix[shown, answer]}</td></tr>"
        for shown, answer in zip(*np.unravel_index(order, matrix.shape), strict=True)
        if matrix[shown, answer]
    )
    head = '<tr><th>shown</th><th>answer</th><th class="n">recordings</th></tr>'
    return f"<p>The most frequent mistakes; confusion.csv has all.</p><table>{head}{rows}</table>"


def _wrong(report: Report, results: Sequence[Result]) -> str:
    names = report.request.classes
    wrong = [result for result in results if not is_right(result)]
    if not wrong:
        return "<p>None.</p>"
    rows = []
    for one in wrong[:_MOST_WRONG]:
        answer, sure = "none", ""
        if one.scores is not None:
            answer = names[int(np.argmax(one.scores))]
            sure = f"{confidence(report.request.scores, one):.1%}"
        rows.append(
            f'<tr><td class="key">{escape(one.key)}</td><td>{escape(names[one.label])}</td>'
            f'<td>{escape(answer)}</td><td class="n">{sure}</td></tr>'
        )
    head = "<tr><th>recording</th><th>class</th><th>answer</th><th class='n'>confidence</th></tr>"
    more = len(wrong) - len(rows)
    left = f"<p>And {more} more, in recordings.csv.</p>" if more else ""
    return f"<table>{head}{''.join(rows)}</table>{left}"


def _share(share: float | None) -> str:
    return "·" if share is None else f"{share:.1%}"
