"""``pipeline info``."""

import sys
from collections.abc import Callable
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Json, Size, Stream, size_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["info"]

_WIDE_COLUMNS = 100
"""How wide a terminal must be to have room for rates in the table."""
_NAME_COLUMNS = 24


def info(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Recordings, or folders of them.")
    ],
    size: Size = None,
    stream: Stream = None,
    json: Json = False,
) -> None:
    """Say what recordings hold: format, sensor, events, times, rates, quality, a small picture.

    Several are shown as a table. With --json each is one object on a line of its own. A damaged
    recording is described as far as it can be read; exit code 1 if one cannot be opened. Of videos,
    pictures, volumes, texts and weights it says what they are and what reads them.
    """
    from rich.console import Console

    from pipeline.cli.progress import progress_bar
    from pipeline.errors import RecordingError

    formats = import_module("stages.formats")
    summary = import_module("stages.recordings.summary")
    # Where no terminal sets a width, a log file keeps its rows whole.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that lacks a sign shows another.
        sys.stdout.reconfigure(errors="replace")
    pixels = size_of(size)
    paths, errors = _each(files, formats.recordings_in)
    summaries = []
    for path in paths:
        try:
            with progress_bar(str(path)) as show:
                found = summary.summarise(path, pixels, stream, show)
        except RecordingError as error:
            errors.append(_explained(path, error))
            continue
        if json:
            _print_json(found)
        summaries.append(found)
    if not json and len(paths) == 1 and summaries:
        _print_one(summaries[0], console)
    elif not json and summaries:
        _print_table(summaries, console)
    for earlier in errors[:-1]:
        print(f"error: {earlier}", file=sys.stderr)
    if errors:
        raise errors[-1]


def _each(
    files: list[Path], recordings_in: Callable[[Path], Any]
) -> tuple[list[Path], list[Exception]]:
    """Resolve folders; return the recordings, and what was wrong."""
    from pipeline.errors import RecordingError

    paths: list[Path] = []
    errors: list[Exception] = []
    for file in files:
        try:
            found = recordings_in(file)
        except RecordingError as error:
            errors.append(_explained(file, error))
            continue
        paths += found.recordings
        if found.passed_over:
            print(
                f"{file}: passed over: files that are no recordings: {found.passed_over}",
                file=sys.stderr,
            )
    return paths, errors


def _explained(path: Path, error: Exception) -> Exception:
    """Return an error that says what a file is instead of a recording, where that can be told."""
    from pipeline.errors import RecordingError

    found = import_module("stages.recordings.other").what_it_is(path)
    return error if found is None else RecordingError(f"{path}: holds no events; it is {found}")


def _print_json(summary: Any) -> None:
    import msgspec

    values = msgspec.structs.asdict(summary)
    del values["picture"]  # thousands of numbers, which nobody asked for
    print(msgspec.json.encode(values).decode(), flush=True)


def _print_one(summary: Any, console: "Console") -> None:
    from pipeline.observe.picture import activity_lines, sparkline

    camera = f", camera {summary.source}" if summary.source else ""
    sensor = f"{summary.width}×{summary.height}"
    rows = {
        "format": f"{summary.format}{camera}",
        "sensor": sensor if summary.size_declared else f"{sensor} (not declared: as far as seen)",
        "events": f"{summary.events:,}",
    }
    if summary.events:
        rows["events"] += f", {summary.on / summary.events:.1%} ON, {summary.off:,} OFF"
        rows["time"] = f"{summary.t_first_us} µs to {summary.t_last_us} µs"
        rows["duration"] = f"{summary.duration_s:.6f} s"
        rows["rate"] = f"mean {_rate(summary.rate_mean)}, peak {_rate(summary.rate_peak)} in 10 ms"
    if summary.other_streams:
        rows["streams"] = f"also {', '.join(summary.other_streams)}; choose with --stream NAME"
    rows["quality"] = str(summary.quality)
    console.print(summary.path, markup=False, soft_wrap=True)
    for name, text in rows.items():
        console.print(f"  {name:<9} {text}", markup=False, soft_wrap=True)
    if not summary.events:
        return
    console.print(f"  over time {sparkline(summary.rate)}", markup=False)
    for line in activity_lines(summary.picture, colour=console.color_system is not None):
        line.pad_left(2)
        console.print(line)


def _print_table(summaries: list[Any], console: "Console") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    names = [Path(one.path).name for one in summaries]
    wide = console.width >= _WIDE_COLUMNS
    least = min(_NAME_COLUMNS, max(map(len, names)))
    table.add_column("recording", overflow="fold", min_width=least)
    for name in ("format", "sensor", "events", "duration", *(["rate"] if wide else []), "quality"):
        right = name in ("events", "duration", "rate")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for name, one in zip(names, summaries, strict=True):
        table.add_row(
            Text(name),
            one.format,
            f"{one.width}×{one.height}{'' if one.size_declared else '*'}",
            f"{one.events:,}",
            "" if one.duration_s is None else f"{one.duration_s:.3f} s",
            *([_rate(one.rate_mean)] if wide else []),
            str(one.quality),
        )
    console.print(table)
    if not all(one.size_declared for one in summaries):
        console.print("* not declared: as far as seen")


def _rate(events_per_s: float | None) -> str:
    if events_per_s is None:
        return "unknown"
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if events_per_s >= factor:
            return f"{events_per_s / factor:.2f} {unit}ev/s"
    return f"{events_per_s:.1f} ev/s"
