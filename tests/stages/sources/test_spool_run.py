"""Cameras on the network and whole pipelines that are killed: with a spool no event is lost."""

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from senders import free_port, sender
from weights import random_weights

from pipeline.checkpoint.folder import read_checkpoint
from pipeline.errors import CheckpointError
from pipeline.events import EventArray
from recordings import some_events, write_recording

DV_NETWORK = """
[[stage]]
name = "camera"
use = "dv_network"
port = {port}
on_lost = "end"
wait = true
margin_us = 60_000_000
spool = "spool"
"""
UDP = """
[[stage]]
name = "camera"
use = "udp"
port = {port}
size = [128, 128]
margin_us = 60_000_000
{spool}
"""
REPLAY = """
[[stage]]
name = "camera"
use = "replay"
path = "{path}"
"""
FILE = """
[[stage]]
name = "events"
use = "record"
from = "camera"
path = "events.csv"
"""
REST = (
    """
[[stage]]
name = "bins"
use = "time_bin"
window_us = 5_000
size = [40, 40]
[[stage]]
name = "network"
use = "snn"
weights = "random.safetensors"
mismatch = "allow"
[[stage]]
name = "decision"
use = "aggregate"
over = "running"
every = 3
[[stage]]
name = "predictions"
use = "jsonl"
path = "predictions.jsonl"
"""
    + FILE
)
FILTERED = (
    """
[[stage]]
name = "filter"
use = "refractory"
period_us = 20_000
[[stage]]
name = "passed"
use = "record"
path = "passed.csv"
"""
    + FILE
)
CHECKPOINTS = """
[run]
name = "{name}"
[checkpoint]
directory = "checkpoints"
interval_s = 0.1
"""
PATIENCE_S = 30


class Run:
    """A run of the command line in a folder and a process of its own."""

    def __init__(self, folder: Path, text: str, *arguments: str) -> None:
        self.folder = folder
        self.name = f"t{os.getpid()}"
        (folder / "p.toml").write_text(CHECKPOINTS.format(name=self.name) + text)
        self._pause = threading.Event()
        with (folder / "errors").open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "run", "p.toml", "--json", *arguments],
                cwd=folder,
                env=os.environ | {"TMPDIR": str(folder)},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < deadline, self.errors
            self._pause.wait(0.005)

    def wait(self, seconds: float) -> None:
        """Let it run for a moment that a seed has chosen."""
        self._pause.wait(seconds)

    @property
    def errors(self) -> str:
        return (self.folder / "errors").read_text()

    def kill(self, stage: str) -> None:
        """Kill the process of a stage, or ``camera beside``, once it is there."""
        title = f"/{stage}\0"
        found: list[int] = []

        def look() -> bool:
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    line = (process / "cmdline").read_text()
                    if line.startswith(f"pipeline: {self.name}-") and title in line:
                        found.append(int(process.name))
            return bool(found)

        self.until(look)
        with suppress(ProcessLookupError):
            os.kill(found[0], signal.SIGKILL)

    def reports(self, exit_code: int = 0) -> tuple[dict[str, Any], list[Any]]:
        """Wait for the end; return accounts and restarts. The ledger was found to balance."""
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == exit_code, self.errors
        told = json.loads(out)
        return {each["name"]: each["account"] for each in told["reports"]}, told["restarts"]


@contextmanager
def running(folder: Path, text: str, *arguments: str) -> Iterator[Run]:
    run = Run(folder, text, *arguments)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.communicate()


def rows(path: Path) -> list[str]:
    """Events of a file, without the line that names their source."""
    return path.read_text().splitlines()[1:] if path.exists() else []


def predictions(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: line[key] for key in line if key != "recording"} for line in lines]


@pytest.mark.parametrize("seed", [0])
def test_whatever_is_killed_the_files_are_those_of_the_recording(tmp_path: Path, seed: int) -> None:
    """What a filter remembers goes on too."""
    recording = write_recording(tmp_path / "some.aedat4", some_events(20_000))
    port, moments = free_port(), random.Random(seed)
    victims = moments.sample(["camera", "filter", "passed", "events"], 2)
    with (
        sender(recording, "--port", port, "--packet-us", 1_000, "--speed", 0.2),
        running(tmp_path, DV_NETWORK.format(port=port) + FILTERED) as run,
    ):
        run.until(lambda: kept(tmp_path) > 0)
        for count, victim in enumerate(victims, start=1):
            run.wait(moments.uniform(0, 0.3))
            run.kill(victim)
            run.until(lambda count=count: run.errors.count("going on from checkpoint") >= count)
        found, restarts = run.reports()
    assert len(restarts) == len(victims)
    assert (found["camera"]["taken"], found["camera"]["refused"]) == (20_000, {})
    names = ("events.csv", "passed.csv")
    live = [rows(tmp_path / name) for name in names]
    for name in names:
        (tmp_path / name).unlink()
    with running(tmp_path, REPLAY.format(path=recording) + FILTERED) as run:
        run.reports()
    assert live == [rows(tmp_path / name) for name in names]


def send(events: EventArray, port: int) -> None:
    """Send events as SPIF does, not faster than they can be received."""
    with socket.socket(type=socket.SOCK_DGRAM) as out:
        for begin in range(0, len(events), 64):
            words = []
            for t, x, y, p in events[begin : begin + 64].tolist():
                words += [x << 16 | p << 15 | y, t & 0xFFFF_FFFF]
            out.sendto(struct.pack(f"<{len(words)}I", *words), ("127.0.0.1", port))


def parts() -> tuple[EventArray, EventArray, EventArray]:
    events = some_events(9_000)
    events["t"] -= events["t"][0] - 5
    return events[:3_000], events[3_000:6_000], events[6_000:]


def texts(events: EventArray) -> list[str]:
    return [f"{t},{x},{y},{p}" for t, x, y, p in events.tolist()]


def test_a_killed_spooler_and_a_killed_runner_leave_what_was_spooled(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    text = UDP.format(port=port, spool='spool = "spool"') + FILE
    first, second, third = parts()
    with running(tmp_path, text) as run:
        run.until((tmp_path / "checkpoints" / "checkpoint-00000001").exists)
        run.until(lambda: listens(port))
        send(first, port)
        run.until(lambda: kept(tmp_path) == 3_000)
        run.kill("camera beside")
        run.until(lambda: "nobody listened" in run.errors)
        send(second, port)
        run.until(lambda: kept(tmp_path) == 6_000)
        run.process.kill()
        run.process.wait()
    with running(tmp_path, text, "--resume") as run:
        run.until(lambda: "nobody listened" in run.errors)
        send(third, port)
        run.until(lambda: kept(tmp_path) == 9_000)
        run.process.send_signal(signal.SIGINT)
        found, _ = run.reports(exit_code=130)
    assert (found["camera"]["taken"], found["camera"]["used"]) == (9_000, 9_000)
    for name, part in (("events", first), ("events-001", second), ("events-002", third)):
        assert rows(tmp_path / f"{name}.csv") == texts(part)


def test_without_a_spool_what_a_crash_takes_is_counted_and_marked(tmp_path: Path) -> None:
    random_weights(tmp_path / "random.safetensors")
    port = free_port(socket.SOCK_DGRAM)
    first, second, _ = parts()
    with running(tmp_path, UDP.format(port=port, spool="") + REST) as run:
        run.until((tmp_path / "checkpoints" / "checkpoint-00000001").exists)
        run.until(lambda: listens(port))
        send(first, port)
        run.until(lambda: kept(tmp_path) > 0)
        run.kill("camera")
        run.until(lambda: "nobody listened" in run.errors)
        send(second, port)
        run.until(lambda: '"gap_us"' in (tmp_path / "predictions.jsonl").read_text())
        run.process.send_signal(signal.SIGINT)
        found, _ = run.reports(exit_code=130)
    account = found["camera"]
    assert set(account["refused"]) <= {"lost in a crash", "not sent when the run was stopped"}
    assert account["taken"] == account["used"] + sum(account["refused"].values())
    assert account["used"] + account["refused"].get("lost in a crash", 0) == 6_000
    lines = predictions(tmp_path / "predictions.jsonl")
    assert {"gap_us" in line for line in lines if line["epoch"] == 0} <= {False}
    lost = {line["lost_events"] for line in lines if line["epoch"] == 1}
    assert lost == {account["refused"].get("lost in a crash", 0)}


def kept(folder: Path) -> int:
    """Events that the newest checkpoint knows to have been sent."""
    files = sorted((folder / "checkpoints").glob("checkpoint-????????"))
    with suppress(IndexError, CheckpointError):  # there is none yet, or it was removed this moment
        return sum(count.units for count in read_checkpoint(files[-1]).of("camera").sent[:1])
    return 0


def listens(port: int) -> bool:
    """Whether somebody receives at a port."""
    return f":{port:04X} " in Path("/proc/net/udp").read_text()
