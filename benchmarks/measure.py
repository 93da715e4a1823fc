"""How everything here is measured, kept and shown: rows of medians, spreads and ratios.

A benchmark is a module with ``rows(options)``, which yields rows, and text where something could
not be measured. `command` makes a program of it and `benchmarks.suite` runs all of them. What is
compared is measured in turns, so that all meet the same noise; a ratio is always to something
measured in the same run, and more than 1 is better, whatever the unit.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = [
    "CannotMeasure",
    "Options",
    "Results",
    "Row",
    "Rows",
    "beside_each",
    "best_of",
    "call",
    "cells",
    "collect",
    "command",
    "compare",
    "in_turns",
    "rate",
    "timed",
]

_LESS_IS_BETTER = {"ns", "µs", "ms", "s", "MB", "%", "events"}
_VERSIONS = ("dv-processing", "h5py", "lz4", "numba", "numpy", "pyzmq", "tonic", "torch")


class CannotMeasure(Exception):
    """A peer failed, or cannot do what is to be compared."""


@dataclass(frozen=True)
class Row:
    """One thing measured."""

    group: str
    what: str
    unit: str
    median: float
    low: float
    high: float
    ratio: float | None = None
    """How many times as good as ``beside``: as much, or in as little time."""
    beside: str = ""


Rows = Iterator[Row | str]
"""What a benchmark yields; text tells what could not be measured and why."""


@dataclass(frozen=True)
class Options:
    """What a benchmark is asked for; each takes what it knows."""

    peers: tuple[str, ...] = ()
    """Python interpreters that have peers installed."""
    quick: bool = False
    """Little work and few runs: whether it works, not how fast it is."""
    recording: Path | None = None
    """Events to read and to bin; random ones without it."""
    use: tuple[str, ...] = ()
    """NETWORK=WEIGHTS=RECORDING, instead of what is shipped."""

    @property
    def runs(self) -> int:
        """How often each thing is measured, after a first time that does not count."""
        return 1 if self.quick else 5


@dataclass
class Results:
    """Rows, and where they come from."""

    rows: list[Row]
    notes: list[str]
    facts: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write JSON."""
        rows = [asdict(row) for row in self.rows]
        found = {"facts": self.facts, "rows": rows, "notes": self.notes}
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read what `save` wrote."""
        found = json.loads(path.read_text())
        return cls([Row(**row) for row in found["rows"]], found["notes"], found["facts"])


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def rate(work: Callable[[], int], scale: float = 1e6) -> Callable[[], float]:
    """Return what does the work once and tells its units a second, in millions."""

    def once() -> float:
        started = time.perf_counter()
        units = work()
        return units / (time.perf_counter() - started) / scale

    return once


def in_turns(
    work: Mapping[str, Callable[[], float | Mapping[str, float]]],
    runs: int,
    notes: list[str] | None = None,
) -> dict[str, list[float]]:
    """Do each in turn, again and again; a first round, which compiles and caches, does not count.

    Args:
        work: Name -> what does it once, and returns what is to be kept; or that of several names
            at once, instead of its own.
        runs: How often each is done after the first round.
        notes: What cannot be measured (`CannotMeasure`) is left out, and the reason added here.

    Returns:
        Name -> what was returned in each run.
    """
    left = dict(work)
    found: dict[str, list[float]] = {}
    for run in range(runs + 1):
        for name, once in list(left.items()):
            try:
                value = once()
            except CannotMeasure as error:
                if notes is None:
                    raise
                notes.append(f"not measured: {name}: {error}")
                del left[name]
                continue
            if run:
                for each, kept in (value if isinstance(value, Mapping) else {name: value}).items():
                    found.setdefault(each, []).append(kept)
    return found


def compare(
    group: str, unit: str, found: Mapping[str, Sequence[float]], beside: str | None = None
) -> list[Row]:
    """Return a row for each, with its ratio to one of them; without ``beside`` none has a ratio."""
    rows = []
    base = statistics.median(found[beside]) if beside and found.get(beside) else None
    for name, values in found.items():
        if not values:
            continue
        median, ratio = statistics.median(values), None
        if base and median and name != beside:
            ratio = base / median if unit in _LESS_IS_BETTER else median / base
        other = (beside or "") if ratio is not None else ""
        rows.append(Row(group, name, unit, median, min(values), max(values), ratio, other))
    return rows


def beside_each(
    group: str, unit: str, found: Mapping[str, Sequence[float]], own: str, others: Iterable[str]
) -> Iterator[Row]:
    """Yield the row of one thing again and again, each time with its ratio to another."""
    for other in others:
        yield compare(group, unit, {other: found[other], own: found[own]}, other)[1]


def best_of(unit: str, found: Mapping[str, Sequence[float]], names: Iterable[str]) -> str:
    """Return which of several has the best median."""
    best = min if unit in _LESS_IS_BETTER else max
    return best(names, key=lambda name: statistics.median(found[name]))


def call(python: str, script: str, *arguments: object, **environment: str) -> Any:
    """Run a script of this folder in an interpreter, a peer's perhaps; return the JSON it prints.

    Raises:
        CannotMeasure: Nothing came, or ``{"failed": why}``.
    """
    line = [python, "-P", str(Path(__file__).with_name(script)), *map(str, arguments)]
    done = subprocess.run(
        line, capture_output=True, text=True, env=os.environ | environment, check=False
    )
    printed = done.stdout.splitlines()
    if done.returncode or not printed:
        last = (done.stderr.splitlines() or ["no output"])[-1]
        raise CannotMeasure(f"exit code {done.returncode}: {last[:100]}")
    found = json.loads(printed[-1])
    if isinstance(found, dict) and "failed" in found:
        raise CannotMeasure(str(found["failed"])[:100])
    return found


def machine(options: Options) -> dict[str, Any]:
    """Return what the figures depend on: machine, versions, date, and how busy it is."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    versions = {}
    for name in ("event-pipeline", *_VERSIONS):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions,
        "peers": _peers(options),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load": [round(os.getloadavg()[0], 1)],
        "quick": options.quick,
    }


def _peers(options: Options) -> dict[str, str]:
    """Return the versions of the peers that are installed elsewhere."""
    found: dict[str, str] = {}
    for python in options.peers:
        found |= call(python, "peers.py", "versions")
    return found


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Yield a table for each group."""
    for group in dict.fromkeys(row.group for row in rows):
        table = Table(title=group, box=box.SIMPLE_HEAD, title_justify="left")
        table.add_column("what", overflow="fold")
        for column in ("median", "spread", "ratio"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("to", overflow="fold")
        for row in rows:
            if row.group == group:
                table.add_row(row.what, *cells(row), row.beside)
        yield table


def cells(row: Row) -> tuple[str, str, str]:
    """Return median, spread and ratio as text."""
    ratio = "" if row.ratio is None else f"{row.ratio:.{0 if row.ratio >= 100 else 2}f} ×"
    spread = f"{_number(row.low)} to {_number(row.high)}" if row.low != row.high else ""
    return f"{_number(row.median)} {row.unit}", spread, ratio


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def show(found: Sequence[Row | str], screen: Console) -> None:
    """Print the tables of what a benchmark has yielded, and its notes."""
    for table in tables([each for each in found if isinstance(each, Row)]):
        screen.print(table)
    for each in found:
        if isinstance(each, str):
            screen.print(f"  {each}", highlight=False, markup=False, soft_wrap=True)


def collect(
    benchmarks: Iterable[Callable[[Options], Rows]], options: Options, json_file: Path | None
) -> Results:
    """Run benchmarks one after another; each is printed, and kept in a file, when it is over."""
    results, screen = Results([], [], machine(options)), console()
    if options.quick:
        print("--quick: shows that the benchmarks work; its figures say nothing of speed")
    for rows in benchmarks:
        print(f"measuring: {rows.__module__.rpartition('.')[2]}", file=sys.stderr)
        found = list(rows(options))
        show(found, screen)
        results.rows += [each for each in found if isinstance(each, Row)]
        results.notes += [each for each in found if isinstance(each, str)]
        results.facts["load"].append(round(os.getloadavg()[0], 1))
        if json_file is not None:
            results.save(json_file)
    return results


def console() -> Console:
    """Return where tables go; in a file lines may be long."""
    return Console(width=None if sys.stdout.isatty() else 140)


def command(doc: str | None, rows: Callable[[Options], Rows], arguments: Sequence[str]) -> None:
    """Be the program of one benchmark: measure, print, and write JSON where asked for."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", action="append", default=[], metavar="PYTHON")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--recording", type=Path)
    parser.add_argument("--use", action="append", default=[], metavar="NETWORK=WEIGHTS=RECORDING")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    options = Options(tuple(given.peers), given.quick, given.recording, tuple(given.use))
    collect([rows], options, given.json)
