"""Other hosts of a run, as the one that supervises it sees them.

Each host that has stages runs an agent (`pipeline.agent`), which joins over one encrypted tcp
connection and forks the workers there. What the supervisor says to a worker and what a worker says
goes over that connection too; messages of the stream go from host to host by themselves.

Before a run starts every host has joined, with the same options, files and version. A host that
falls silent is lost, with all its workers; it may join again, or another may take its place.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import zmq

from pipeline.errors import ConfigError, StageError
from pipeline.fingerprint import difference
from pipeline.guard import Guard

__all__ = [
    "Alas",
    "Beat",
    "Death",
    "FromAgent",
    "HostClock",
    "Hosts",
    "Joined",
    "Kill",
    "Launch",
    "Over",
    "Refused",
    "Said",
    "Tell",
    "ToAgent",
    "Welcome",
]

_BEAT_S = 0.25


class Joined(msgspec.Struct, frozen=True, tag="joined"):
    """An agent is there for the stages of one host."""

    host: str
    version: str
    tables: dict[str, Any]
    """What the run is known by there; see `pipeline.fingerprint`."""


class Said(msgspec.Struct, frozen=True, tag="said"):
    """A worker there has said something to the supervisor."""

    generation: int
    group: str
    body: bytes


class Death(msgspec.Struct, frozen=True, tag="death"):
    """A worker there has ended."""

    generation: int
    group: str
    code: int


class Alas(msgspec.Struct, frozen=True, tag="alas"):
    """The agent itself cannot go on with this generation."""

    generation: int
    text: str


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """The other side is there. ``sent_ns`` is its clock's, ``echo_ns`` what ours was in its."""

    sent_ns: int
    echo_ns: int = 0


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """The agent has joined."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The agent may not join."""

    why: str


class Launch(msgspec.Struct, frozen=True, tag="launch"):
    """Fork the workers of this host."""

    generation: int
    plan: bytes
    checkpoint: bytes | None
    offset_ns: int
    """How far the run's clock is ahead of the host's."""


class Tell(msgspec.Struct, frozen=True, tag="tell"):
    """Pass this on to a worker."""

    generation: int
    group: str
    body: bytes


class Kill(msgspec.Struct, frozen=True, tag="kill"):
    """Kill all workers that are left."""


class Over(msgspec.Struct, frozen=True, tag="over"):
    """The run has ended."""


FromAgent: TypeAlias = Joined | Said | Death | Alas | Beat
ToAgent: TypeAlias = Welcome | Refused | Launch | Tell | Kill | Over | Beat


class _Host:
    """One host and its agent."""

    def __init__(self, name: str, groups: Sequence[str]) -> None:
        self.name, self.groups = name, groups
        self.identity: bytes | None = None
        self.heard_s = 0.0
        self.offset_ns, self.round_trip_ns = 0, 1 << 62
        self.living: set[str] = set()


class HostClock(NamedTuple):
    """What is known of a host's clock."""

    host: str
    offset_ns: int
    round_trip_ns: int


class Hosts:
    """All other hosts of a run.

    Args:
        endpoint: where they join, ``tcp://ADDRESS:PORT``.
        groups: of each host the groups that run there.
        tables: what the run is known by here.
        version: of the package.
        make_guard: makes the guard of a context, which knows the hosts' keys.
        silent_s: after how long without a word a host is lost.

    Attributes:
        codes: exit code of each worker of this generation that has ended, by its group.
    """

    def __init__(
        self,
        endpoint: str,
        groups: Mapping[str, Sequence[str]],
        tables: Mapping[str, Any],
        version: str,
        make_guard: Callable[["zmq.Context[zmq.Socket[bytes]]"], Guard],
        silent_s: float,
    ) -> None:
        self._hosts = {name: _Host(name, theirs) for name, theirs in groups.items()}
        self._of_group = {g: host for host in self._hosts.values() for g in host.groups}
        self._tables, self._version, self._silent_s = dict(tables), version, silent_s
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 500
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        try:
            make_guard(self._context).bind(self._socket, "hosts")
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self._socket.close(0)
            self._context.term()
            raise ConfigError(f"run.address: {endpoint} cannot be bound: {error}") from None
        self._beat_s = 0.0
        self._generation = -1
        self.codes: dict[str, int] = {}
        self._said: deque[tuple[str, bytes]] = deque()
        self._told = set[str]()

    @property
    def socket(self) -> "zmq.Socket[bytes]":
        """What to poll."""
        return self._socket

    def __contains__(self, group: object) -> bool:
        """Whether a group runs on another host."""
        return group in self._of_group

    @property
    def missing(self) -> list[str]:
        """Hosts that have not joined, or are lost."""
        return [host.name for host in self._hosts.values() if host.identity is None]

    @property
    def gone(self) -> bool:
        """Whether no worker is left on a host that is there."""
        return not any(host.living for host in self._hosts.values())

    def clocks(self) -> list[HostClock]:
        """Return what is known of the hosts' clocks."""
        return [HostClock(h.name, h.offset_ns, h.round_trip_ns) for h in self._hosts.values()]

    def launch(self, generation: int, plan: bytes, checkpoint: bytes | None) -> None:
        """Have the workers of all hosts forked."""
        self._generation = generation
        self._said.clear()
        self.codes = {}
        for host in self._hosts.values():
            host.living = set(host.groups)
            self._send(host, Launch(generation, plan, checkpoint, host.offset_ns))

    def tell(self, group: str, body: bytes) -> None:
        """Say something to a worker."""
        self._send(self._of_group[group], Tell(self._generation, group, body))

    def kill(self) -> None:
        """Have all workers killed."""
        for host in self._hosts.values():
            self._send(host, Kill())

    def read(self) -> list[tuple[str, bytes]]:
        """Return what workers have said since the last call; never wait.

        Raises:
            StageError: a worker there has died, or a host is lost.
        """
        while self._socket.poll(0):
            frames = self._socket.recv_multipart()
            if len(frames) == 2:
                self._hear(frames[0], frames[1])
        now_s = time.monotonic()
        if now_s >= self._beat_s:
            self._beat_s = now_s + _BEAT_S
            for host in self._hosts.values():
                self._send(host, Beat(time.monotonic_ns()))
        said = [*self._said]
        self._said.clear()
        return said

    def look(self) -> None:
        """Raise if a host that workers run on has been silent for too long.

        Raises:
            StageError: it has; it is lost, and must join again.
        """
        now_s = time.monotonic()
        for host in self._hosts.values():
            silent_s = now_s - host.heard_s
            if host.identity is not None and silent_s > self._silent_s:
                host.identity, lost = None, bool(host.living)
                host.living = set()
                if lost:
                    raise StageError(
                        f"host '{host.name}' has not answered for {silent_s:.1f} s"
                        f" (supervision.silent_s = {self._silent_s:g}); is it up, and connected?"
                    )

    def close(self) -> None:
        """Tell all that the run is over."""
        for host in self._hosts.values():
            self._send(host, Over())
        self._socket.close()
        self._context.term()

    def _hear(self, identity: bytes, body: bytes) -> None:
        try:
            message = msgspec.msgpack.decode(body, type=FromAgent)
        except msgspec.MsgspecError:
            return
        if isinstance(message, Joined):
            self._join(identity, message)
            return
        host = next((h for h in self._hosts.values() if h.identity == identity), None)
        if host is None:
            return  # of a host that was lost: it will find out, and join again
        host.heard_s = time.monotonic()
        if isinstance(message, Beat):
            self._compare_clocks(host, message)
        elif message.generation != self._generation:
            pass  # of workers that are gone
        elif isinstance(message, Said):
            self._said.append((message.group, message.body))
        elif isinstance(message, Death):
            host.living.discard(message.group)
            self.codes[message.group] = message.code
        else:
            host.living = set()
            raise StageError(f"host '{host.name}': {message.text}")

    def _compare_clocks(self, host: _Host, beat: Beat) -> None:
        """Take the offset of the beat that took the least time (Cristian 1989)."""
        if not beat.echo_ns:
            return
        now_ns = time.monotonic_ns()
        round_trip_ns = now_ns - beat.echo_ns
        if 0 <= round_trip_ns <= host.round_trip_ns:
            host.round_trip_ns = round_trip_ns
            host.offset_ns = beat.echo_ns + round_trip_ns // 2 - beat.sent_ns

    def _join(self, identity: bytes, joined: Joined) -> None:
        why = self._why_not(identity, joined)
        if why:
            self._socket.send_multipart([identity, msgspec.msgpack.encode(Refused(why))])
            if why not in self._told:
                self._told.add(why)
                print(f"host '{joined.host}' may not join: {why}", file=sys.stderr, flush=True)
            return
        host = self._hosts[joined.host]
        if host.identity == identity:
            self._send(host, Welcome())  # it had not heard the first
            return
        lost = bool(host.living)
        host.identity, host.heard_s = identity, time.monotonic()
        host.living = set()
        host.round_trip_ns = 1 << 62
        self._send(host, Welcome())
        print(f"host '{host.name}' has joined", file=sys.stderr, flush=True)
        if lost:
            raise StageError(f"host '{host.name}' has begun anew")

    def _why_not(self, identity: bytes, joined: Joined) -> str:
        host = self._hosts.get(joined.host)
        if host is None:
            return f"no stage is on it; there are {', '.join(self._hosts)}"
        there = host.identity is not None and time.monotonic() - host.heard_s < self._silent_s
        if there and host.identity != identity:
            return "it has joined already"
        if joined.version != self._version:
            return f"it runs version {joined.version}, and this is {self._version}"
        return difference(self._tables, joined.tables)

    def _send(self, host: _Host, message: ToAgent) -> None:
        if host.identity is not None:
            self._socket.send_multipart([host.identity, msgspec.msgpack.encode(message)])
