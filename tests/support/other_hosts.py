"""Runs over several hosts, played on this one: each has a folder, keys and processes of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.queue.keys import KeyFolder

__all__ = ["Host", "acquaint", "free_port"]

SOON_S = 40


def free_port() -> int:
    """Return a port of the loopback address that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Host:
    """What is a machine of its own elsewhere: its folder, its user's settings, its processes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.folder = name, folder / name
        self.errors = self.folder / "stderr"
        for part in ("s", "settings"):
            (self.folder / part).mkdir(parents=True)
        self.keys = KeyFolder(self.folder / "settings" / "pipeline" / "keys")
        self.process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command of ours in its folder."""
        own = {"TMPDIR": self.folder / "s", "XDG_RUNTIME_DIR": self.folder / "s"}
        own["XDG_CONFIG_HOME"] = self.folder / "settings"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", *arguments],
                cwd=self.folder,
                env=os.environ | {name: str(path) for name, path in own.items()},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        return self.process

    @property
    def said(self) -> str:
        """What it has said so far on standard error."""
        return self.errors.read_text()

    def finish(self) -> tuple[int, str]:
        """Wait for the end of the command; return its exit code and standard output."""
        assert self.process is not None
        try:
            out, _ = self.process.communicate(timeout=SOON_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} goes on: {self.said}") from None
        return self.process.returncode, out

    def wait_until(self, reached: Callable[[], bool]) -> None:
        """Wait for something that happens while the command runs."""
        deadline = time.monotonic() + SOON_S
        while not reached():
            assert self.process is not None
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)

    def hears(self, text: str) -> None:
        """Wait until it has said something."""
        self.wait_until(lambda: text in self.said)

    def processes(self) -> dict[int, str]:
        """Return its processes and their titles."""
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    line = (entry / "cmdline").read_bytes().rstrip(b"\0").decode()
                    found[int(entry.name)] = line
        return found

    def process_of(self, title: str) -> int:
        """Return the process whose title ends so."""
        return next(pid for pid, line in self.processes().items() if line.endswith(title))

    def stop(self) -> None:
        """Press Ctrl-C."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Let it lose its power: everything on it ends at once."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.communicate()
            self.process = None


def acquaint(home: Host, *others: Host) -> None:
    """Give all hosts keys, and let each in at the others."""
    hosts = {"home": home} | {each.name: each for each in others}
    keys = {name: host.keys.make().public.hex() for name, host in hosts.items()}
    for host in hosts.values():
        for name, key in keys.items():
            if host is not hosts[name]:
                host.keys.allow(name, key)
