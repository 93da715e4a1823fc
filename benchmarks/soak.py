"""A run of hours: memory of each process, how far it falls behind its clock, what is counted.

Usage: python -m benchmarks.soak [MINUTES] [--live] [--every SECONDS]

Plays the embedded recording in a loop at its own speed, for 60 minutes if nothing is said, through
a filter, bins, the DVS Gesture network, three sinks and checkpoints. With ``--live`` events come
over UDP into a spool instead. What is told:

memory   Of each process: the median of the first and of the last quarter. What grows shows.
clock    How far predictions have fallen behind the clock since the first one: likewise.
delay    From when events came in, or were due, to the last sink.
ledger   The run is stopped as by Ctrl-C, and is drained; both ends of each queue must agree.

Ends with 1 where the run failed, fell behind by more than a second, or grew by more than a tenth.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.memory import memory_of
from benchmarks.udp import free_port, send, wait_for

__all__ = ["main"]

_ROOT = Path(__file__).parents[1]
_RATE_HZ = 50_000
_MOST_GROWTH = 0.1
_MOST_DRIFT_S = 1.0
_WAIT_S = 120.0
_FILE = """
use = "replay"
path = "{root}/recordings/gestures_simulated.aedat4"
speed = 1.0
loop = 1_000_000
join = true
"""
_LIVE = """
use = "udp"
port = {port}
size = [128, 128]
spool = "spool"
spool_bytes = 100_000_000
"""
_PIPELINE = """
[run]
name = "soak"
[checkpoint]
directory = "kept"
[[stage]]
name = "camera"
{camera}
[[stage]]
name = "denoise"
use = "background_activity"
[[stage]]
name = "bins"
use = "time_bin"
window_us = 25_000
size = [40, 40]
[[stage]]
name = "network"
use = "snn"
weights = "{root}/models/weights/dvs_gesture.safetensors"
[[stage]]
name = "decision"
use = "aggregate"
over = "sliding"
every = 10
[[stage]]
name = "lines"
use = "jsonl"
path = "predictions.jsonl"
[[stage]]
name = "table"
use = "sqlite"
from = "decision"
path = "predictions.db"
[[stage]]
name = "rows"
use = "csv"
from = "decision"
path = "predictions.csv"
"""


class _Watch:
    """Samples a run now and then.

    Attributes:
        memory_mb: of each process, and of all together, as ``all``.
        behind_s: how far predictions are behind the clock.
    """

    def __init__(self, run: "subprocess.Popen[str]", folder: Path, every_s: float) -> None:
        self._run, self._folder, self._every_s = run, folder, every_s
        self._next_s = 0.0
        self._first: tuple[float, int] | None = None
        self.memory_mb: dict[str, list[float]] = {}
        self.behind_s: list[float] = []

    def look(self, now_s: float) -> None:
        """Take a sample if it is time.

        Raises:
            RuntimeError: the run has ended.
        """
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._every_s
        if self._run.poll() is not None:
            raise RuntimeError(f"the run ended by itself, with {self._run.returncode}")
        end_us = _last_prediction_us(self._folder / "predictions.jsonl")
        if end_us is None:
            return  # it has not begun to play
        self._first = self._first or (time.monotonic(), end_us)
        gone_s, gone_us = time.monotonic() - self._first[0], end_us - self._first[1]
        self.behind_s.append(gone_s - gone_us / 1e6)
        held = memory_of(self._run.pid)
        for name, mb in [*held.items(), ("all", sum(held.values()))]:
            self.memory_mb.setdefault(name, []).append(mb)


def _last_prediction_us(path: Path) -> int | None:
    """Return where the last whole line of a file of predictions ends in time."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None
    return int(json.loads(lines[-1])["t_end_us"]) if lines else None


def _quarters(samples: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the first and of the last quarter."""
    part = max(1, len(samples) // 4)
    return statistics.median(samples[:part]), statistics.median(samples[-part:])


def _soak(folder: Path, minutes: float, live: bool, every_s: float) -> bool:
    """Run, watch and tell; return whether all is well."""
    port = free_port()
    camera = _LIVE.format(port=port) if live else _FILE.format(root=_ROOT)
    (folder / "p.toml").write_text(_PIPELINE.format(root=_ROOT, camera=camera))
    line = [sys.executable, "-P", "-m", "pipeline.cli", "run", "p.toml", "--json"]
    with subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, text=True) as run:
        watch = _Watch(run, folder, every_s)
        try:
            if live:
                wait_for(port, run)
                sent = send(port, 60 * minutes, _RATE_HZ, 128, meanwhile=watch.look)
                print(f"sent {sent:,} events")
            else:
                end_s = time.monotonic() + 60 * minutes
                while time.monotonic() < end_s:
                    watch.look(time.monotonic())
                    time.sleep(0.2)
            run.send_signal(signal.SIGINT)
            printed, _ = run.communicate(timeout=_WAIT_S)
        finally:
            run.kill()
    return _tell(watch, run.returncode, json.loads(printed) if printed.strip() else {})


def _tell(watch: _Watch, code: int, outcome: dict[str, Any]) -> bool:
    if not watch.behind_s:
        print("nothing was predicted")
        return False
    print(f"{len(watch.behind_s)} samples; medians of the first and of the last quarter")
    for name, samples in sorted(watch.memory_mb.items()):
        first, last = _quarters(samples)
        print(f"  memory  {name:20} {first:8.1f} MB  {last:8.1f} MB  {last / first:5.2f} x")
    grown_from, grown_to = _quarters(watch.memory_mb["all"])
    first, last = _quarters(watch.behind_s)
    print(f"  clock   {'behind':20} {first:8.3f} s   {last:8.3f} s")
    for report in outcome.get("reports", []):
        delay = report.get("latency")
        if delay and report["account"]["unit_in"] == "predictions":
            print(
                f"  delay   {report['name']:20} {delay['p50_ms']:8.1f} ms {delay['p99_ms']:8.1f} ms"
            )
        if report["name"] == "camera":
            account = report["account"]
            print(f"  ledger  {account['taken']:,} events taken, refused {account['refused'] or 0}")
    drained = bool(outcome.get("drained"))
    print(
        f"  ended with {code}, {'drained' if drained else 'not drained'}, restarts:"
        f" {len(outcome.get('restarts', []))}"
    )
    grown = grown_to > (1 + _MOST_GROWTH) * grown_from
    # 130: stopped, drained, and the ledger was right.
    return code == 130 and drained and not grown and last - first < _MOST_DRIFT_S


def main(arguments: Sequence[str]) -> int:
    """Be the program: return 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", nargs="?", type=float, default=60.0)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS")
    given = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        well = _soak(Path(folder), given.minutes, given.live, given.every)
    return int(not well)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
