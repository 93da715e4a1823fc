"""Reading and writing of every format, beside whoever else reads it, in one run.

Usage: python -m benchmarks.reading [--recording FILE] [--peers PYTHON ...] [--quick] [--json FILE]

The events of the recording (random ones without it) are repeated, to ten million for AEDAT4 and to
one million for the others, and written in each format; the files are then read by us and by the
peers that are installed, in turns, each in a process of its own. A rate is the median over the
rounds of the best of two; the spread is that of the rounds. Ours stands beside the fastest other.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import Options, Rows, call, command, compare, in_turns
from pipeline.errors import PipelineError
from pipeline.events import EventArray, concatenate_events, events_from_columns
from stages.formats import FORMATS, create_recording, open_recording

__all__ = ["HEIGHT", "WIDTH", "rows", "some_events"]

RUNS = 2
WIDTH, HEIGHT = 346, 260
"""A sensor that every format has a chip for."""


def some_events(recording: Path | None, millions: float) -> EventArray:
    """Return that many million events, those of the recording over and over."""
    count = round(millions * 1e6)
    if recording is None:
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, WIDTH, count), rng.integers(0, HEIGHT, count)
        t = np.sort(rng.integers(0, 10 * 10**6, count))
        return events_from_columns(t, x, y, rng.integers(0, 2, count))
    with open_recording(recording) as reader:
        once = concatenate_events([packet.events for packet in reader.packets()])
    once = once.copy()
    once["t"] -= once["t"][0]
    span_us = int(once["t"][-1]) + 1
    times = -(-count // len(once))
    events = np.tile(once, times)
    events["t"] += np.repeat(np.arange(times) * span_us, len(once))
    return events


def write(path: Path, events: EventArray) -> float:
    """Write in batches, as a stream would; return million events per second."""
    started = time.perf_counter()
    with create_recording(path, WIDTH, HEIGHT) as writer:
        for begin in range(0, len(events), 65_536):
            writer.write(events[begin : begin + 65_536])
    return len(events) / (time.perf_counter() - started) / 1e6


def readers(form: str, path: Path, options: Options) -> dict[str, Callable[[], float]]:
    """Return who reads a file, ourselves first; each tells million events per second."""

    def reader(python: str, name: str) -> Callable[[], float]:
        def once() -> float:
            found = call(python, "peers.py", "read", name, form, path, RUNS)
            return float(found["events"]) / min(found["seconds"]) / 1e6

        return once

    work = {"ours": reader(sys.executable, "ours")}
    for python in (*options.peers, sys.executable):
        for name in call(python, "peers.py", "list").get(form, []):
            if name not in work:
                work[name] = reader(python, name)
    return work


def rows(options: Options, formats: Sequence[str] = tuple(FORMATS)) -> Rows:
    """Yield writing and reading of each format."""
    notes: list[str] = []
    for form in formats:
        if not FORMATS[form].endings:
            continue
        millions = 0.02 if options.quick else 10.0 if form == "AEDAT4" else 1.0
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"big{FORMATS[form].endings[0]}"
            events = some_events(options.recording, millions)
            try:
                written = [write(path, events) for _ in range(options.runs)]
            except PipelineError:
                continue  # it is only read, and benchmarks.samples has no large ones
            yield from compare("read", "Mev/s", {f"write {form}": written})
            found = in_turns(readers(form, path, options), min(options.runs, 3), notes)
            named = {f"read {form}, {name}": rates for name, rates in found.items()}
            own = f"read {form}, ours"
            (ours,) = compare("read", "Mev/s", {own: named.pop(own)})
            if not named:
                yield ours
                continue
            fastest = max(named, key=lambda name: statistics.median(named[name]))
            both = {fastest: named[fastest], own: found["ours"]}
            yield compare("read", "Mev/s", both, fastest)[1]
            yield from compare("read", "Mev/s", named)
    yield from notes


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
