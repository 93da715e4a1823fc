"""The processes of a run as its supervisor sees them: started, ended, killed.

All are forked by the starter (`pipeline.run.starter`), which is told over a pipe when to, and tells
over another what becomes of them.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO

__all__ = ["Processes", "born", "dead"]

_BESIDE_S = 2.0


def born(generation: int, group: str, pid: int) -> bytes:
    """Return the starter's line on a worker that it has forked."""
    return f"{generation} {group} is {pid}\n".encode()


def dead(generation: int, group: str, code: int) -> bytes:
    """Return the starter's line on a worker that has ended; a signal's number is below zero."""
    return f"{generation} {group} ended {code}\n".encode()


class Processes:
    """Starts the processes of a run, and knows which are there.

    Attributes:
        pids: process of each worker that was forked, by its group.
        codes: exit code of each worker that has ended.
        over: whether the starter has ended, which it does not by itself.
        loaded: whether the starter has ever forked a worker; from then on it does so at once.
    """

    def __init__(self, folder: Path, prints_to: IO[str] | None) -> None:
        """Start the starter on the plan in ``folder``; its stages print to ``prints_to``."""
        self.pids: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.over = False
        self.loaded = False
        self._generation = 0
        orders, self._orders = os.pipe()
        self._line = b""
        self._reports, reports = os.pipe()
        os.set_blocking(self._reports, False)
        # -P keeps the working directory out of the import path: its folders may be named like ours.
        command = [
            sys.executable,
            "-P",
            "-m",
            "pipeline.run.starter",
            str(folder),
            str(reports),
            str(orders),
        ]
        # Ctrl-C goes to every process of the terminal, and a service manager's SIGTERM to the
        # whole group. What they mean the supervisor decides: all others inherit them blocked.
        # So does what a terminal sends when it is closed.
        ours = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ours)
        try:
            self._starter = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=prints_to, pass_fds=(reports, orders)
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(reports)
            os.close(orders)

    def start(self, generation: int, checkpoint: Path | None) -> None:
        """Have all workers forked, once those before them are gone; never wait."""
        self.pids, self.codes, self._generation = {}, {}, generation
        line = f"{generation} {checkpoint or ''}\n"
        with suppress(BrokenPipeError):
            os.write(self._orders, line.encode())

    @property
    def gone(self) -> bool:
        """Whether no worker is left."""
        return self.codes.keys() >= self.pids.keys()

    def fileno(self) -> int:
        """Return what to poll: it can be read when something happened."""
        return self._reports

    def read(self) -> None:
        """Take in what became of the processes since the last call; never wait."""
        self.over = self._starter.poll() is not None
        with suppress(BlockingIOError):
            while part := os.read(self._reports, 4096):
                *lines, self._line = (self._line + part).split(b"\n")
                for line in lines:
                    generation, group, verb, number = line.decode().split()
                    self.loaded = True
                    # A starter that was stopped for a while tells late of those before these.
                    if int(generation) == self._generation:
                        (self.codes if verb == "ended" else self.pids)[group] = int(number)

    def kill(self, groups: Collection[str] | None = None) -> None:
        """Kill whoever is left, or is left of some groups."""
        self.read()
        for group, pid in self.pids.items():
            if group not in self.codes and (groups is None or group in groups):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def kill_starter(self) -> None:
        """Kill the starter, as where it does not answer."""
        self._starter.kill()
        self._starter.wait()
        self.over = True

    def close(self) -> None:
        """Let go of the starter; a worker that is still there ends itself."""
        assert self._starter.stdin is not None
        self._starter.stdin.close()
        self._starter.kill()
        self._starter.wait()
        self._wait_for_the_rest()
        os.close(self._reports)
        os.close(self._orders)

    def _wait_for_the_rest(self) -> None:
        """Give what runs beside the workers a moment to let go of its device."""
        deadline = time.monotonic() + _BESIDE_S
        with suppress(BlockingIOError):
            while select.select([self._reports], [], [], max(0, deadline - time.monotonic()))[0]:
                if not os.read(self._reports, 4096):
                    break  # nobody holds its other end any more
