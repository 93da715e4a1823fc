"""Attached to a run that goes on: what it publishes is read, what it shows is seen, orders given.

Any number of others may look at one time, come and go; the run takes no notice. Its ends of the
sockets are in `pipeline.observe.board` and `pipeline.observe.tap`.
"""

import time
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec
import zmq

from pipeline.errors import PipelineError, WireError
from pipeline.messages import Message, decode
from pipeline.observe.board import orders_endpoint, status_endpoint
from pipeline.observe.status import RunStatus
from pipeline.observe.tap import GAUGES, tap_endpoint
from pipeline.run.control import Order, Plan
from pipeline.run.folder import is_live, live_runs, process_of

__all__ = ["Attached", "LiveRun", "News", "Shown", "find_run", "running"]

_LOOK_S = 0.5
"""How often it is looked whether the run is still there, while it says nothing."""


class LiveRun(NamedTuple):
    """A run that goes on."""

    folder: Path
    run_id: str
    path: str
    """The file that it runs."""
    process: int
    """That supervises it."""


class Shown(NamedTuple):
    """A message that a stage put out, of many."""

    stage: str
    message: Message


News: TypeAlias = RunStatus | Shown


def running() -> list[LiveRun]:
    """Return the user's runs that go on, oldest first.

    Raises:
        PipelineError: the user's folder for runs cannot be used.
    """
    runs = []
    for folder in live_runs():
        # A run that has only just begun has no plan yet.
        with suppress(OSError, msgspec.MsgspecError):
            plan = msgspec.msgpack.decode((folder / "plan").read_bytes(), type=Plan)
            if not plan.host:  # else it is supervised on another host, which knows how it stands
                runs.append(LiveRun(folder, plan.run_id, plan.path, process_of(folder)))
    return runs


def find_run(name: str | None) -> LiveRun:
    """Return the run that is called so, or begins so; without a name the only one there is.

    Raises:
        PipelineError: there is none, or there are several.
    """
    runs = running()
    if not runs:
        raise PipelineError("no run is going on; start one with `pipeline run FILE`")
    found = [run for run in runs if name is None or run.run_id.startswith(name)]
    exact = [run for run in found if run.run_id == name]
    if len(exact or found) == 1:
        return (exact or found)[0]
    known = ", ".join(run.run_id for run in runs)
    if not found:
        raise PipelineError(f"no run is called '{name}'; going on are {known}")
    raise PipelineError(f"{len(found)} runs are going on; name one of {known}")


class Attached:
    """One who looks at a run; use it in a ``with``, in one thread.

    Args:
        folder: of the run.

    Attributes:
        over: whether the run is gone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.over = False
        self._context = zmq.Context()
        self._status = self._context.socket(zmq.SUB)
        self._status.setsockopt(zmq.CONFLATE, 1)  # only the latest counts
        self._status.subscribe(b"")
        self._status.connect(status_endpoint(folder))
        self._orders = self._context.socket(zmq.PUSH)
        self._orders.linger = 200
        self._orders.connect(orders_endpoint(folder))
        self._taps: dict[str, zmq.Socket[bytes]] = {}
        self._seen: dict[str, bool] = {}
        self._poller = zmq.Poller()
        self._poller.register(self._status, zmq.POLLIN)
        self._look_s = time.monotonic() + _LOOK_S

    def __enter__(self) -> "Attached":
        return self

    def __exit__(self, *_: object) -> None:
        for socket in (self._status, *self._taps.values()):
            socket.close(0)
        self._orders.close()
        self._context.term()

    def watch(self, messages: Set[str], gauges: Set[str] = frozenset()) -> None:
        """Be shown what these stages put out, and the gauges of those; of no others.

        A stage makes its gauges only while somebody watches it; they are told in its status.
        """
        wanted = dict.fromkeys(gauges, False) | dict.fromkeys(messages, True)
        for name in [*self._taps]:
            if self._seen.get(name) != wanted.get(name):
                self._poller.unregister(self._taps[name])
                self._taps.pop(name).close(0)
        for name, everything in wanted.items():
            if name not in self._taps:
                tap = self._context.socket(zmq.SUB)
                tap.rcvhwm = 32
                tap.subscribe(b"" if everything else GAUGES)
                tap.connect(tap_endpoint(self._folder, name))
                self._poller.register(tap, zmq.POLLIN)
                self._taps[name], self._seen[name] = tap, everything

    def news(self, wait_s: float) -> Iterator[News]:
        """Yield what came, once anything has, or nothing after so long; damaged is left out."""
        ready = dict(self._poller.poll(max(0, round(wait_s * 1000))))
        if self._status in ready:
            with suppress(zmq.Again, msgspec.MsgspecError):
                yield msgspec.msgpack.decode(self._status.recv(zmq.NOBLOCK), type=RunStatus)
                self._look_s = time.monotonic() + _LOOK_S
        for name, tap in self._taps.items():
            if tap in ready:
                # One that is behind has skipped the others already.
                with suppress(zmq.Again, WireError, ValueError):
                    while True:
                        header, buffer = tap.recv_multipart(zmq.NOBLOCK)
                        yield Shown(name, decode(header, buffer))
        if time.monotonic() >= self._look_s:
            self._look_s = time.monotonic() + _LOOK_S
            self.over = not is_live(self._folder)

    def order(self, order: Order) -> None:
        """Tell the run what is wanted of it; one that does not hear is told nothing."""
        with suppress(zmq.Again):
            self._orders.send(msgspec.msgpack.encode(order), zmq.NOBLOCK)
