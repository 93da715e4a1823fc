"""Reading and writing of every format, beside whoever else reads it, in one run.

Usage: python -m benchmarks.reading [RECORDING] [--peers PYTHON] [--format NAME ...]
                                    [--events N] [--rounds N]

The events of RECORDING (random ones without it) are repeated to N million and written in each
format; the files are then read by us and by the peers that PYTHON has installed, in turns, each in
a process of its own. A rate is the median over the rounds of the best of two; the spread is that
of the rounds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.errors import PipelineError
from pipeline.events import EventArray, concatenate_events, events_from_columns
from stages.formats import FORMATS, create_recording, open_recording

__all__ = ["main"]

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


def ours(path: Path, runs: int) -> dict[str, Any]:
    """Read with our reader, once to warm up and then ``runs`` times."""
    seconds, events = [], 0
    for run in range(runs + 1):
        started = time.perf_counter()
        with open_recording(path) as reader:
            events = sum(len(packet.events) for packet in reader.packets())
        if run:
            seconds.append(time.perf_counter() - started)
    return {"events": events, "seconds": seconds}


def _child(command: list[str]) -> Any:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if lines else {"failed": f"exit code {done.returncode}"}


def compare(form: str, path: Path, peers: str | None, rounds: int) -> dict[str, dict[str, Any]]:
    """Read a file with everyone, in turns."""
    script = str(Path(__file__).with_name("peers.py"))
    commands = {"ours": [sys.executable, "-m", "benchmarks.reading", "--one", str(path)]}
    if peers is not None:
        for name in _child([peers, script, "list", form]):
            commands[name] = [peers, script, "read", name, form, str(path), str(RUNS)]
    results: dict[str, dict[str, Any]] = {name: {"rates": []} for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found, result = _child(command), results[name]
            if "failed" in found:
                result["failed"] = found["failed"]
                continue
            result["events"] = found["events"]
            result["rates"].append(found["events"] / min(found["seconds"]) / 1e6)
    return results


def main(arguments: argparse.Namespace) -> None:
    """Print the table."""
    events = some_events(arguments.recording, arguments.events)
    columns = ("format", "write", "reader", "events", "read", "spread", "ratio to ours")
    table = Table(
        *columns, box=box.SIMPLE_HEAD, title=f"million events per second, {len(events):,}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for form in arguments.format or FORMATS:
            if not FORMATS[form].endings:
                continue
            path = Path(folder) / f"big{FORMATS[form].endings[0]}"
            try:
                rates = [write(path, events) for _ in range(arguments.rounds)]
            except PipelineError as error:
                table.add_row(form, f"[red]{error}[/red]")
                continue
            written = f"{statistics.median(rates):.1f}"
            results = compare(form, path, arguments.peers, arguments.rounds)
            own = statistics.median(results["ours"]["rates"] or [0.0])
            for name, result in results.items():
                if not result["rates"]:
                    table.add_row("", "", name, result["failed"][:60])
                    continue
                rate = statistics.median(result["rates"])
                table.add_row(
                    form if name == "ours" else "",
                    written if name == "ours" else "",
                    name,
                    f"{result['events']:,}",
                    f"{rate:.1f}",
                    f"{min(result['rates']):.1f} to {max(result['rates']):.1f}",
                    f"{rate / own:.2f}" if own else "",
                )
            table.add_section()
            path.unlink()
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(ours(Path(sys.argv[2]), RUNS)))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path, nargs="?")
    parser.add_argument("--peers", help="an interpreter that has the peers installed")
    parser.add_argument("--format", nargs="+", choices=list(FORMATS))
    parser.add_argument("--events", type=float, default=10.0, help="millions")
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args())
