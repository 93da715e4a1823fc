"""Peak memory of reading a recording, and one 50 times as long, in every format that we write.

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


def main(millions: float, formats: list[str]) -> None:
    """Print the table."""
    columns = ("format", "events", "peak MB", "events", "peak MB", "growth")
    table = Table(*columns, "while writing", box=box.SIMPLE_HEAD)
    for name in formats:
        if not FORMATS[name].endings:
            continue
        cells: list[str] = []
        reading, writing = [], []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"recording{FORMATS[name].endings[0]}"
            try:
                for times in (1, TIMES):
                    _, peak_mb = in_own_process(write, path, millions, times)
                    writing.append(peak_mb)
                    count, peak_mb = in_own_process(read, path)
                    reading.append(peak_mb)
                    cells += [f"{count:,}", f"{peak_mb:.0f}"]
            except PipelineError as error:
                table.add_row(name, str(error))
                continue
        growth = [f"{after / before - 1:+.1%}" for before, after in (reading, writing)]
        table.add_row(name, *cells, *growth)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=0.5, help="millions, the shorter file")
    parser.add_argument("--format", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    arguments = parser.parse_args()
    main(arguments.events, arguments.format)
