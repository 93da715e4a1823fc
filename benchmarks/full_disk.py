"""A disk that is really full: under sinks and checkpoints, and under the spool of a live source.

Usage: python -m benchmarks.full_disk

Needs root, to mount a tmpfs whose size is changed while runs write to it. Says of each thing that
must hold whether it does, and ends with 1 if one does not. It takes about a minute.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.udp import free_port, send, wait_for
from pipeline.checkpoint.folder import files_in, read_checkpoint

__all__ = ["main"]

_ROOT = Path(__file__).parents[1]
_RESULTS = ("predictions.jsonl", "copy.aedat4")
_LARGE, _SMALL = "40m", "1600k"
_RATE_HZ = 100_000
_WAIT_S = 120.0
_SINKS = """
[run]
name = "disk"
[checkpoint]
directory = "disk/kept"
interval_s = 0.3
[supervision]
restarts = {restarts}
backoff_s = 0.5
backoff_max_s = 0.5
[[stage]]
name = "camera"
use = "replay"
path = "{root}/recordings/gestures_simulated.aedat4"
speed = {speed}
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
every = 4
[[stage]]
name = "file"
use = "jsonl"
path = "disk/predictions.jsonl"
[[stage]]
name = "copy"
use = "record"
from = "camera"
path = "disk/copy.aedat4"
"""
_SPOOL = """
[run]
name = "spool"
[checkpoint]
directory = "kept"
interval_s = 0.3
[[stage]]
name = "camera"
use = "udp"
port = {port}
size = [128, 128]
spool = "disk/spool"
spool_bytes = 1_000_000_000
[[stage]]
name = "copy"
use = "record"
path = "copy.aedat4"
"""


class _Seen:
    """What was seen so far.

    Attributes:
        wrong: how much of it must not be.
    """

    def __init__(self) -> None:
        self.wrong = 0

    def see(self, what: str, holds: bool, more: str = "") -> None:
        """Print whether something holds."""
        self.wrong += not holds
        print(f"{'ok   ' if holds else 'WRONG'}  {what}{f': {more}' if more else ''}", flush=True)


@contextmanager
def _disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of its own in a folder."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_LARGE}", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def _start(folder: Path, text: str, *more: str) -> "subprocess.Popen[str]":
    (folder / "p.toml").write_text(text)
    line = [sys.executable, "-P", "-m", "pipeline.cli", "run", "p.toml", "--json", *more]
    with (folder / "errors").open("w") as errors:
        return subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True)


def _end(run: "subprocess.Popen[str]", folder: Path) -> tuple[int, str, str]:
    """Wait for a run; return its exit code, what it printed and what it said."""
    try:
        out, _ = run.communicate(timeout=_WAIT_S)
    finally:
        run.kill()
    return run.returncode, out, (folder / "errors").read_text()


def _with(lines: str, *words: str) -> str:
    """Return the first line that has all of some words."""
    found = [line for line in lines.splitlines() if all(word in line for word in words)]
    return found[0] if found else "nothing was said"


def _results(disk: Path) -> list[bytes]:
    return [(disk / name).read_bytes() for name in _RESULTS]


def _clear(disk: Path) -> None:
    for file in [*disk.rglob("*")]:
        if file.is_file():
            file.unlink()


def _sinks(folder: Path, disk: Path, seen: _Seen) -> None:
    """Fill the disk under sinks and checkpoints; make room behind the end, and meanwhile."""
    fast = _SINKS.format(root=_ROOT, speed=0, restarts=3)
    paced = _SINKS.format(root=_ROOT, speed=4, restarts=3)
    code, _, _ = _end(_start(folder, fast), folder)
    whole = _results(disk)
    seen.see("a run with room", code == 0, f"{sum(map(len, whole)):,} bytes of results")

    _clear(disk)
    _resize(disk, _SMALL)
    code, _, said = _end(_start(folder, paced), folder)
    seen.see("without room it ends with 1", code == 1, f"exit code {code}")
    error = _with(said, "error: ")
    seen.see("one error, with its reason", "No space left" in error, error)
    seen.see("no traceback", "Traceback" not in said)
    kept = files_in(disk / "kept")
    numbers = [read_checkpoint(path).number for path in kept]
    seen.see("checkpoints that stand are whole", bool(numbers), f"{numbers}")
    lines = (disk / _RESULTS[0]).read_bytes()
    seen.see("predictions are those of before", whole[0].startswith(lines), f"{len(lines)} bytes")
    _resize(disk, _LARGE)
    code, _, said = _end(_start(folder, paced, "--resume"), folder)
    going = _with(said, "going on from")
    seen.see("with room --resume goes on", code == 0, going)
    seen.see("its files are those of a run with room", _results(disk) == whole)

    _clear(disk)
    _resize(disk, _SMALL)
    run = _start(folder, _SINKS.format(root=_ROOT, speed=4, restarts=100))
    errors = folder / "errors"
    end_s = time.monotonic() + _WAIT_S
    while "No space left" not in errors.read_text() and time.monotonic() < end_s:
        time.sleep(0.1)
    time.sleep(1.0)
    _resize(disk, _LARGE)
    code, _, said = _end(run, folder)
    more = _with(said, "No space left")
    seen.see("with room while it tries again it goes on by itself", code == 0, more)
    seen.see("its files are those of a run with room", _results(disk) == whole)


def _spool(folder: Path, disk: Path, seen: _Seen) -> None:
    """Fill the disk under the spool of a live source, and make room again."""
    _clear(disk)
    port = free_port()
    run = _start(folder, _SPOOL.format(port=port))
    filler, part_us = disk / "filler", 2_000_000
    try:
        wait_for(port, run)
        sent = send(port, part_us / 1e6, _RATE_HZ, 128)
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as error:
                print(f"       the disk is full: {error.strerror}")
        sent += send(port, part_us / 1e6, _RATE_HZ, 128, part_us)
        alive = run.poll() is None
        filler.unlink()
        sent += send(port, part_us / 1e6, _RATE_HZ, 128, 2 * part_us)
        time.sleep(1.0)
        run.send_signal(signal.SIGINT)
    finally:
        code, out, said = _end(run, folder)
    seen.see("a full spool does not end the run", alive and code == 130, f"exit code {code}")
    if not out.strip():
        seen.see("a ledger", False, _with(said, "error"))
        return
    reports: dict[str, Any] = {each["name"]: each for each in json.loads(out)["reports"]}
    camera, copy = reports["camera"]["account"], reports["copy"]["account"]
    lost = camera["refused"].get("dropped: the spool could not be written", 0)
    seen.see("what the disk did not take is counted", lost > 0, f"{camera['refused']}")
    right = camera["taken"] == camera["used"] + sum(camera["refused"].values())
    datagrams = camera["notes"].get("datagrams lost by the system", 0)
    right = right and sent == camera["taken"] + datagrams * _RATE_HZ // 1000
    seen.see("every event is in the ledger", right, f"{sent:,} sent, {camera['taken']:,} taken")
    seen.see("all others are recorded", copy["used"] == camera["used"], f"{copy['used']:,}")
    behind = camera["used"] > sent // 2
    seen.see("behind it events are taken again", behind, f"{camera['used']:,} of {sent:,}")
    seen.see("no traceback", "Traceback" not in said)


def main(arguments: Sequence[str]) -> int:
    """Be the program: return 1 where something does not hold."""
    if arguments:
        print(__doc__)
        return 2
    if os.geteuid() != 0:
        print("error: mounting a disk needs root; run it as root", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    seen = _Seen()
    with tempfile.TemporaryDirectory() as name, _disk(Path(name)) as disk:
        _sinks(Path(name), disk, seen)
        _resize(disk, _LARGE)
        _spool(Path(name), disk, seen)
    return int(seen.wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
