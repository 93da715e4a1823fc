"""One pipeline over three hosts: the same bytes as on one, also behind cuts and crashes.

Usage: python -m benchmarks.hosts RECORDING [--loops N] [--json FILE]

Hosts are network namespaces of Linux, joined by a bridge, which takes root and the program ``ip``.
The camera plays the recording in real time and supervises; another host bins and runs the DVS
Gesture network, a third writes predictions. Each has keys of its own. While it plays:

nothing         is done
link cut 3 s    the cable of the inference host is out for less than silent_s; there are no
                checkpoints to go back to
link cut 8 s    it is out for longer
crash           all processes of the inference host are killed, and 2 s later another takes its
                place

Told are whether the file is that of one host, to the byte; how long no new prediction was written
from the moment at which the host was there again; and how often the run was put back to a
checkpoint.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.queue.keys import KeyFolder

__all__ = ["main"]

_NAMES = ("home", "inference", "sink")
_BRIDGE = "evp-hub"
_WAIT_S = 180.0
_WEIGHTS = Path(__file__).parents[1] / "models" / "weights" / "dvs_gesture.safetensors"
_PIPELINE = """
[run]
name = "hosts"
address = "10.213.77.1:7700"
[supervision]
silent_s = 5.0
[[stage]]
name = "camera"
use = "replay"
path = "{recording}"
loop = {loops}
speed = {speed}
[[stage]]
name = "bins"
use = "time_bin"
window_us = 25_000
size = [40, 40]
{inference}
[[stage]]
name = "network"
use = "snn"
weights = "{weights}"
{inference}
[[stage]]
name = "decision"
use = "aggregate"
over = "sliding"
steps = 20
mismatch = "allow"
{sink}
[[stage]]
name = "file"
use = "jsonl"
path = "out.jsonl"
if_exists = "replace"
{sink}
"""
_CHECKPOINT = """
[checkpoint]
directory = "kept"
interval_s = 0.5
"""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _namespaces() -> Iterator[None]:
    """Make a namespace for each host, with a cable of its own to a bridge in one more."""
    made = [_BRIDGE, *(f"evp-{name}" for name in _NAMES)]
    try:
        for name in made:
            _ip("netns", "add", name)
        _ip("-n", _BRIDGE, "link", "add", "hub", "type", "bridge")
        _ip("-n", _BRIDGE, "link", "set", "hub", "up")
        for k, name in enumerate(_NAMES, start=1):
            host, plug = f"evp-{name}", f"plug{k}"
            _ip("-n", host, "link", "add", "eth", "type", "veth", "peer", plug, "netns", _BRIDGE)
            _ip("-n", host, "addr", "add", f"10.213.77.{k}/24", "dev", "eth")
            for device in ("lo", "eth"):
                _ip("-n", host, "link", "set", device, "up")
            _ip("-n", _BRIDGE, "link", "set", plug, "master", "hub", "up")
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def _plug(name: str, state: str) -> None:
    """Put the cable of a host in (``up``) or out (``down``), at the bridge."""
    _ip("-n", _BRIDGE, "link", "set", f"plug{_NAMES.index(name) + 1}", state)


class _Host:
    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.folder = name, folder / name
        (self.folder / "s").mkdir(parents=True)
        self.keys = KeyFolder(self.folder / "pipeline" / "keys")
        self.process: subprocess.Popen[str] | None = None

    def start(self, *words: str) -> None:
        own = dict.fromkeys(("TMPDIR", "XDG_RUNTIME_DIR"), str(self.folder / "s"))
        own["XDG_CONFIG_HOME"] = str(self.folder)
        line = ["ip", "netns", "exec", f"evp-{self.name}", sys.executable, "-P"]
        with (self.folder / "stderr").open("a") as errors:
            self.process = subprocess.Popen(
                [*line, "-m", "pipeline.cli", "run", "p.toml", *words],
                cwd=self.folder,
                env=os.environ | own,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def finish(self) -> str:
        assert self.process is not None
        out, _ = self.process.communicate(timeout=_WAIT_S)
        if self.process.returncode:
            said = (self.folder / "stderr").read_text()
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {said}")
        return out

    def kill(self) -> None:
        """Let it lose its power."""
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    os.kill(int(entry.name), signal.SIGKILL)
        if self.process is not None:
            self.process.communicate()


def _hosts(folder: Path) -> dict[str, _Host]:
    hosts = {name: _Host(folder, name) for name in _NAMES}
    public = {name: host.keys.make().public.hex() for name, host in hosts.items()}
    for name, host in hosts.items():
        for other, key in public.items():
            if other != name:
                host.keys.allow(other, key)
    return hosts


class _Trial:
    """One run over three hosts, and what is done to them meanwhile."""

    def __init__(self, folder: Path, text: str) -> None:
        self.hosts = _hosts(folder)
        for host in self.hosts.values():
            (host.folder / "p.toml").write_text(text)
        self.file = self.hosts["sink"].folder / "out.jsonl"
        self.gap_s = 0.0

    def start(self, name: str) -> None:
        if name == "home":
            self.hosts[name].start("--json")
        else:
            self.hosts[name].start("--only", name)

    def lines(self) -> int:
        return self.file.read_bytes().count(b"\n") if self.file.exists() else 0

    def wait_for_lines(self, count: int) -> None:
        until_s = time.monotonic() + _WAIT_S
        while self.lines() < count:
            if time.monotonic() > until_s:
                said = {n: (h.folder / "stderr").read_text() for n, h in self.hosts.items()}
                raise RuntimeError(f"no {count} predictions: {said}")
            time.sleep(0.005)

    def resumed(self, before: int) -> None:
        """The host is there again: measure how long until there is a new prediction."""
        begun_s = time.monotonic()
        self.wait_for_lines(before + 1)
        self.gap_s = time.monotonic() - begun_s

    def run(self, disturb: "Callable[[_Trial], None]") -> tuple[bytes, dict[str, object]]:
        try:
            for name in _NAMES:
                self.start(name)
            self.wait_for_lines(100)
            disturb(self)
            outcome: dict[str, object] = json.loads(self.hosts["home"].finish())
            for name in _NAMES[1:]:
                self.hosts[name].finish()
            return self.file.read_bytes(), outcome
        finally:
            for host in self.hosts.values():
                host.kill()


def _cut(trial: _Trial, seconds: float) -> None:
    _plug("inference", "down")
    time.sleep(seconds)
    before = trial.lines()
    _plug("inference", "up")
    trial.resumed(before)


def _crash(trial: _Trial) -> None:
    trial.hosts["inference"].kill()
    time.sleep(2)
    before = trial.lines()
    trial.start("inference")
    trial.resumed(before)


def _alone(folder: Path, text: str) -> bytes:
    """Return what is written where all is on one host."""
    folder.mkdir()
    (folder / "p.toml").write_text(text)
    line = [sys.executable, "-P", "-m", "pipeline.cli", "run", "p.toml", "--json"]
    subprocess.run(line, cwd=folder, check=True, capture_output=True)
    return (folder / "out.jsonl").read_bytes()


def main(arguments: list[str]) -> None:
    """Run all trials, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--loops", type=int, default=4)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if os.geteuid():
        sys.exit("error: network namespaces take root, and the program ip; run this as root")
    values = {
        "recording": chosen.recording.resolve(),
        "loops": chosen.loops,
        "weights": _WEIGHTS,
        "speed": 1.0,
        "inference": 'host = "inference"',
        "sink": 'host = "sink"',
    }
    trials: dict[str, tuple[bool, Callable[[_Trial], None]]] = {
        "nothing": (False, lambda _: None),
        "link cut 3 s": (False, lambda trial: _cut(trial, 3)),
        "link cut 8 s": (True, lambda trial: _cut(trial, 8)),
        "crash": (True, _crash),
    }
    found = []
    with tempfile.TemporaryDirectory(prefix="evp", dir="/tmp") as temporary:
        folder = Path(temporary)
        here = values | {"speed": 0.0, "inference": "", "sink": ""}
        expected = _alone(folder / "alone", _PIPELINE.format(**here))
        with _namespaces():
            for k, (name, (checkpoint, disturb)) in enumerate(trials.items()):
                text = _PIPELINE.format(**values) + (_CHECKPOINT if checkpoint else "")
                trial = _Trial(folder / str(k), text)
                written, outcome = trial.run(disturb)
                restarts = outcome["restarts"]
                assert isinstance(restarts, list)
                row = {
                    "disturbed by": name,
                    "same bytes": written == expected,
                    "predictions": written.count(b"\n"),
                    "restarts": len(restarts),
                    "until predictions came again, s": round(trial.gap_s, 2),
                    "hosts": outcome["hosts"],
                }
                found.append(row)
                print(json.dumps(row), flush=True)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    if not all(row["same bytes"] for row in found):
        sys.exit("error: a file is another than that of one host")


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


if __name__ == "__main__":
    main(sys.argv[1:])
