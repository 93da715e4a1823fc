"""The page and the plots of what was measured.

Usage: python -m benchmarks.page RESULTS.json ... --write docs

Several files are put together; where two have the same group the later one counts. It writes
performance.md, and images/performance.svg and images/cost.svg beside it. What is said about the
figures, between the marks in the page, stays as it is.
"""

import argparse
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measure import Results, Row, cells
from pipeline.errors import ConfigError

__all__ = ["MARKS", "page", "write"]

MARKS = ("<!-- written by hand -->", "<!-- end -->")
_COMMENT = "What these figures say has not been written yet."
_TITLES = {
    "machine": "The machine's own limits",
    "read": "Reading and writing",
    "filter": "Filters",
    "bin": "Frames from events",
    "transport": "Queues",
    "step": "A time step of a network",
    "onnx": "One time step by ONNX Runtime",
    "path": "From a file to frames and predictions",
    "latency": "Latency under real-time replay",
    "overload": "Ten times the load",
    "startup": "Start",
    "checkpoint": "Checkpoints",
    "memory": "Memory over many windows",
    "growth": "Memory over long recordings",
    "cost": "How the cost grows",
    "watch": "What it costs to be watched",
    "watch, paced": "What it costs to be watched, at a camera's pace",
    "observe": "What traces, metrics and the page cost",
}
_IMAGES = {"path": ("performance", "Ratios to others"), "cost": ("cost", "How the cost grows")}


def together(results: Sequence[Results]) -> list[tuple[str, list[Row], dict[str, Any]]]:
    """Return each group once, with its rows and the facts of its run.

    Raises:
        ValueError: one has no title: its figures would be left out.
    """
    found = {}
    for result in results:
        for group in dict.fromkeys(row.group for row in result.rows):
            rows = [row for row in result.rows if row.group == group]
            found[group] = (group, rows, result.facts)
    return [found[group] for group in sorted(found, key=[*_TITLES].index)]


def page(results: Sequence[Results], comment: str = _COMMENT) -> str:
    """Return the page as Markdown."""
    groups = together(results)
    facts = groups[-1][2]
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    peers: dict[str, str] = {}
    for _, _, each in groups:
        peers |= each.get("peers", {})
    beside = ", ".join(f"{name} {number}" for name, number in peers.items() if number)
    dates = sorted({each["date"] for _, _, each in groups})
    lines = [
        "# How fast it is",
        "",
        "Made by `pipeline bench --json FILE` and `python -m benchmarks.page FILE --write docs`.",
        "A figure is the median of several runs; the spread is from the slowest to the fastest. A",
        "ratio is to something measured in the same run, in turns; more than 1 is better, whatever",
        "the unit. Absolute figures are of this one machine.",
        "",
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, Python"
        f" {facts['python']}; {versions}; {' and '.join(dates)}."
        + (f" Peers in interpreters of their own: {beside}." if beside else ""),
        "",
        MARKS[0],
        comment.strip(),
        MARKS[1],
    ]
    for group, rows, of in groups:
        lines += ["", f"## {_TITLES[group]}", "", _noise(of), ""]
        if group in _IMAGES:
            name, text = _IMAGES[group]
            lines += [f"![{text}](images/{name}.svg)", ""]
        lines += ["| what | median | spread | ratio | to |", "|---|--:|--:|--:|---|"]
        for row in rows:
            lines.append("| " + " | ".join((row.what, *cells(row), row.beside)) + " |")
    notes = [note for result in results for note in result.notes]
    if notes:
        lines += ["", "## Not measured", "", *(f"- {note}" for note in dict.fromkeys(notes))]
    return "\n".join(lines) + "\n"


def _noise(facts: dict[str, Any]) -> str:
    """Say how busy the machine was."""
    low, high = min(facts["load"]), max(facts["load"])
    quick = " Little work, few runs: these figures say nothing of speed." if facts["quick"] else ""
    return (
        f"Processes that ran or wanted to run meanwhile, this one included: {low} to {high}"
        f" (load average of a minute, {facts['cores']} cores).{quick}"
    )


def ratios(results: Sequence[Results]) -> Iterator[Row]:
    """Yield the rows whose ratio is to someone else's work."""
    for group, rows, _ in together(results):
        if group in ("read", "filter", "step", "path"):
            yield from (row for row in rows if row.ratio is not None and not _own(row.beside))


def _own(name: str) -> bool:
    """Tell whether what a row stands beside is our own, and no peer's."""
    return name.endswith((", ours", "in one loop"))


def write(results: Sequence[Results], folder: Path) -> None:
    """Write page and plots.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ConfigError('plots need matplotlib: pip install "event-pipeline[train]"')
    (folder / "images").mkdir(parents=True, exist_ok=True)
    file, comment = folder / "performance.md", _COMMENT
    if file.exists() and MARKS[0] in (old := file.read_text()):
        comment = old.partition(MARKS[0])[2].partition(MARKS[1])[0]
    file.write_text(page(results, comment))
    if beside := list(ratios(results)):
        draw_ratios(beside, folder / "images" / "performance.svg")
    cost = [row for group, rows, _ in together(results) if group == "cost" for row in rows]
    if cost:
        draw_cost(cost, folder / "images" / "cost.svg")


def draw_ratios(rows: Sequence[Row], path: Path) -> None:
    """Draw a bar for each ratio, on a logarithmic axis; those right of 1 are ahead."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.22 * len(rows)), layout="constrained")
    names = [f"{row.what} : {_rest(row.what, row.beside)}" for row in rows]
    values = [row.ratio or 1.0 for row in rows]
    places = range(len(rows))[::-1]
    colours = ["tab:blue" if value >= 1 else "tab:orange" for value in values]
    axes.barh(list(places), [v - 1 for v in values], left=1, color=colours, height=0.7)
    axes.set(xscale="log", xlabel="times as good as the other; right of the line: ahead")
    axes.set_yticks(list(places), names, fontsize=6)
    axes.set_ylim(-0.6, max(len(rows) - 0.4, 0.6))
    axes.axvline(1, color="black", linewidth=1)
    for place, value in zip(places, values, strict=True):
        side = "left" if value >= 1 else "right"
        axes.annotate(
            f" {value:.3g} ", (value, place), ha=side, va="center", fontsize=6, color="0.3"
        )
    axes.margins(x=0.12)
    low, high = axes.get_xlim()
    ticks = [n * 10.0**power for power in range(-4, 5) for n in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    _save(figure, path)


def draw_cost(rows: Sequence[Row], path: Path) -> None:
    """Draw the processor time of a second of events over what grows, one panel for each."""
    plt = _pyplot()
    panels: dict[str, list[tuple[float, Row]]] = {}
    for row in rows:
        axis, _, value = row.what.rpartition(": ")
        panels.setdefault(axis, []).append((float(value), row))
    figure, grid = plt.subplots(
        1, max(1, len(panels)), figsize=(2.6 * max(1, len(panels)), 2.8), layout="constrained"
    )
    for axes, (axis, points) in zip(
        grid.flat if len(panels) > 1 else [grid], panels.items(), strict=False
    ):
        x = [value for value, _ in points]
        axes.plot(x, [row.median for _, row in points], marker="o", color="tab:blue")
        axes.fill_between(
            x, [row.low for _, row in points], [row.high for _, row in points], alpha=0.25
        )
        if min(x) > 0:
            axes.set_xscale("log")
        axes.set_xticks(x, [_short(value) for value in x])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel(axis.replace(", ", ",\n"), fontsize=8)
        axes.tick_params(labelsize=7)
    figure.supylabel("% of a core, a second of events", fontsize=8)
    _save(figure, path)


def _short(value: float) -> str:
    """Return a number as a label: 76.8k, 1M."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:g}"


def _rest(what: str, other: str) -> str:
    """Return a name without the words that it begins with in common with another."""
    words, others = what.split(", "), other.split(", ")
    while len(others) > 1 and words and words[0] == others[0]:
        words, others = words[1:], others[1:]
    return ", ".join(others)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "benchmarks"  # the same figures make the same file
    matplotlib.rcParams["svg.fonttype"] = "none"  # letters as text: a fifth of the size
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    _pyplot().close(figure)


def main() -> None:
    """Put results together."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--write", type=Path, required=True, metavar="FOLDER")
    given = parser.parse_args()
    write([Results.load(path) for path in given.results], given.write)


if __name__ == "__main__":
    main()
