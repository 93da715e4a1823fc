"""Peak memory of reading a recording, and one 50 times as long, in every format.

Usage: python -m benchmarks.growth [--events N] [--format NAME ...]
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.memory import in_own_process
from benchmarks.reading import HEIGHT, WIDTH, some_events
from benchmarks.samples import ENCODERS, sample_events
from pipeline.errors import PipelineError
from stages.formats import FORMATS, create_recording, open_recording

__all__ = ["main"]

TIMES = 50


def read(path: Path) -> int:
    """Read a recording as a stream would, keeping nothing."""
    with open_recording(path, size=(HEIGHT, WIDTH)) as reader:
        return sum(len(packet.events) for packet in reader.packets())


def write(path: Path, millions: float, times: int) -> int:
    """Write a recording of events that repeat ``times`` times."""
    events = some_events(None, millions).copy()
    span_us = int(events["t"][-1]) + 1
    with create_recording(path, WIDTH, HEIGHT) as writer:
        for _ in range(times):
            writer.write(events)
            events["t"] += span_us
    return times * len(events)


def encode(path: Path, name: str, count: int) -> int:
    """Make a recording in a format that is only read; all of it is in memory, so none counts."""
    path.write_bytes(ENCODERS[name][0](sample_events(count, side_px=34, span_us=4_000_000)))
    return count


def peaks(name: str, folder: Path, millions: float, times: int) -> tuple[int, float, float | None]:
    """Return how many events were read, and the peaks in MB of reading and writing."""
    path = folder / f"recording{''.join(FORMATS[name].endings[:1])}"
    written_mb = None
    if name in ENCODERS:
        in_own_process(encode, path, name, round(millions * 1e6) * times)
    else:
        _, written_mb = in_own_process(write, path, millions, times)
    count, read_mb = in_own_process(read, path)
    return count, read_mb, written_mb


def main(millions: float, formats: list[str]) -> None:
    """Print the table."""
    columns = ("format", "events", "peak MB", "events", "peak MB", "growth")
    table = Table(*columns, "while writing", box=box.SIMPLE_HEAD)
    for name in formats:
        with tempfile.TemporaryDirectory() as folder:
            try:
                short, long = (peaks(name, Path(folder), millions, times) for times in (1, TIMES))
            except PipelineError as error:
                table.add_row(name, str(error))
                continue
        cells = [cell for count, read_mb, _ in (short, long) for cell in (count, read_mb)]
        growth = [
            f"{after / before - 1:+.1%}"
            for before, after in zip(short[1:], long[1:], strict=True)
            if before is not None and after is not None
        ]
        table.add_row(name, *(f"{cell:,.0f}" for cell in cells), *growth)
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=0.5, help="millions, the shorter file")
    parser.add_argument("--format", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    arguments = parser.parse_args()
    main(arguments.events, arguments.format)
