"""A live run that is offered ten times what it can work on: memory, latency, what is lost.

Usage: python -m benchmarks.overload [--quick] [--json FILE]

Random events are sent over UDP at a steady rate, to a pipeline with ``[overload] latency_ms = 200``
whose slowest stage can work on a tenth of them: it sleeps, so that its capacity is known and the
machine has nothing else to do. It is slow at windows, as a network that is too large is, or at
events, as a filter is. Load lasts for a minute, with some time in which the stage is fast again
behind it. What is told of a run:

latency   From when the events that close a window came in to when its prediction was written.
memory    Of all processes of the run together, at the most: while the stage was slow, beside the
          same in the first sixth of that.
recovery  From the end of the load to the last prediction that something was taken from.
lost      Events that are neither in the ledger, nor in the kernel's count of lost datagrams; and
          what the results tell of differently than the ledger does.
kept      The share of events, and of windows, that was worked on.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Options, Row, Rows, command, compare
from benchmarks.memory import memory_of
from benchmarks.udp import free_port, send, wait_for

__all__ = ["Overloaded", "figures", "offered", "rows"]

_SIDE_PX = 128
_WINDOW_US = 5_000
_TICK_US = 1_000
_RATE_HZ = 200_000
_FACTOR = 10
_SAMPLE_S = 0.5
_WAIT_S = 60.0
_WEIGHTS = Path(__file__).parents[1] / "models" / "weights" / "dvs_gesture.safetensors"
_SLOW = """
[[stage]]
name = "slow"
use = "fault_slow"
sleep_us = {sleep_us}
until_us = {until_us}
"""
_PIPELINE = """
[run]
name = "overload"
[overload]
latency_ms = 200
[[stage]]
name = "camera"
use = "udp"
port = {port}
size = [{side}, {side}]
batch_events = 1024
{before}
[[stage]]
name = "bins"
use = "time_bin"
window_us = {window_us}
size = [40, 40]
{behind}
[[stage]]
name = "network"
use = "snn"
weights = "{weights}"
mismatch = "allow"
[[stage]]
name = "decision"
use = "aggregate"
over = "running"
[[stage]]
name = "file"
use = "jsonl"
path = "predictions.jsonl"
"""


class Overloaded(NamedTuple):
    """One run."""

    latency: dict[str, Any]
    early_mb: float
    peak_mb: float
    recovery_s: float
    lost: int
    events_kept: float
    windows_kept: float
    overload: dict[str, Any]


def offered(folder: Path, slow_at: str, load_s: float, calm_s: float) -> Overloaded:
    """Send a stage ten times what it can work on, for so long.

    Args:
        folder: for the pipeline and what it writes.
        slow_at: ``events`` or ``windows``.
        load_s: how long the stage is slow.
        calm_s: how long it is fast again behind that.
    """
    each_us = 1e6 / _RATE_HZ if slow_at == "events" else _WINDOW_US
    slow = _SLOW.format(sleep_us=_FACTOR * each_us, until_us=round(load_s * 1e6))
    port = free_port()
    text = _PIPELINE.format(
        port=port,
        side=_SIDE_PX,
        window_us=_WINDOW_US,
        weights=_WEIGHTS,
        before=slow if slow_at == "events" else "",
        behind=slow if slow_at == "windows" else "",
    )
    (folder / "p.toml").write_text(text)
    line = [sys.executable, "-P", "-m", "pipeline.cli", "run", "p.toml", "--json"]
    with subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, text=True) as run:
        try:
            wait_for(port, run)
            sent, memory_mb = _send(port, load_s + calm_s, run.pid)
            run.send_signal(2)
            printed, _ = run.communicate(timeout=_WAIT_S)
        finally:
            run.kill()
    if run.returncode != 130:  # stopped, drained, and the ledger was right
        raise RuntimeError(f"the run ended with {run.returncode}")
    return _found(json.loads(printed), folder, sent, memory_mb, load_s)


def _send(port: int, seconds: float, pid: int) -> tuple[int, list[tuple[float, float]]]:
    """Send events; return how many, and memory in MB, with its time."""
    memory_mb: list[tuple[float, float]] = []

    def sample(now_s: float) -> None:
        if now_s >= len(memory_mb) * _SAMPLE_S:
            memory_mb.append((now_s, sum(memory_of(pid).values())))

    return send(port, seconds, _RATE_HZ, _SIDE_PX, meanwhile=sample), memory_mb


def _found(
    outcome: dict[str, Any],
    folder: Path,
    sent: int,
    memory_mb: list[tuple[float, float]],
    load_s: float,
) -> Overloaded:
    reports = {report["name"]: report for report in outcome["reports"]}
    told, last_us = Counter[str](), 0
    for line in (folder / "predictions.jsonl").read_text().splitlines():
        row = json.loads(line)
        shed = {key: row.get(key, 0) for key in ("shed_events", "shed_windows", "merged_windows")}
        told.update(shed)
        last_us = row["t_end_us"] if any(shed.values()) else last_us
    queues = [count for report in reports.values() for count in report["sent"]]
    lost = {key: sum(q["lost"].get(key, 0) for q in queues) for key in ("thinned", "merged")}
    of_events = sum(reports["camera"]["sent"][0]["lost"].values())
    dropped = sum(q["lost"].get("dropped", 0) for q in queues) + lost["thinned"] - of_events
    wrong = (
        abs(told["shed_events"] - of_events)
        + abs(told["merged_windows"] - lost["merged"])
        + abs(told["shed_windows"] - dropped)
    )
    camera, bins, file = (reports[name]["account"] for name in ("camera", "bins", "file"))
    datagrams = camera["notes"].get("datagrams lost by the system", 0)
    wrong += abs(sent - camera["taken"] - datagrams * _RATE_HZ * _TICK_US // 1_000_000)
    slow = [(at_s, mb) for at_s, mb in memory_mb if at_s <= load_s]
    return Overloaded(
        reports["file"]["latency"],
        max(mb for at_s, mb in slow if at_s <= load_s / 6),
        max(mb for _, mb in slow),
        max(0.0, last_us / 1e6 - load_s),
        wrong,
        bins["taken"] / camera["taken"],
        file["made"] / bins["made"],
        outcome["overload"],
    )


def figures(slow_at: str, found: list[Overloaded]) -> Iterator[Row]:
    """Yield rows of several runs."""
    of = f"{_FACTOR} × the {slow_at} that can be worked on"
    for key in ("p50", "p99", "max"):
        latency = {f"{of}, latency, {key}": [one.latency[f"{key}_ms"] for one in found]}
        yield from compare("overload", "ms", latency)
    early, peak = f"{of}, memory, first sixth", f"{of}, memory"
    memory = {early: [one.early_mb for one in found], peak: [one.peak_mb for one in found]}
    yield from compare("overload", "MB", memory, early)
    yield from compare("overload", "s", {f"{of}, recovery": [one.recovery_s for one in found]})
    yield from compare("overload", "events", {f"{of}, lost": [float(one.lost) for one in found]})
    for what in ("events", "windows"):
        shares = [100 * getattr(one, f"{what}_kept") for one in found]
        yield from compare("overload", "%", {f"{of}, {what} kept": shares})


def rows(options: Options) -> Rows:
    """Yield figures of a stage that is slow at windows, and of one that is slow at events."""
    for slow_at in ("windows", "events"):
        with tempfile.TemporaryDirectory() as folder:
            load_s, calm_s = (1.0, 1.0) if options.quick else (60.0, 15.0)
            found = offered(Path(folder), slow_at, load_s, calm_s)
        if not found.overload["recovered"]:
            yield f"slow at {slow_at}: still shed something at the end"
        yield from figures(slow_at, [found])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command(__doc__, rows, sys.argv[1:])
