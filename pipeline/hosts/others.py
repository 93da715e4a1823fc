"""Other hosts of a run, as the one that supervises it sees them.

Each host that has stages runs an agent (`pipeline.hosts.agent`), which joins over one encrypted tcp
connection and forks the workers there. What the supervisor says to a worker and what a worker says
goes over that connection too, and survives its breaks (`pipeline.hosts.conversation`); messages of
the stream go from host to host by themselves.

Before a run starts every host has joined, with the key of its name, the same options, files and
version, and the distance of its clock is measured. A host that falls silent is lost, with all its
workers; it may join again, or another may take its place.
"""

import math
import socket as sockets
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import zmq

from pipeline.checkpoint.fingerprint import difference
from pipeline.errors import CheckpointError, ConfigError, StageError
from pipeline.hosts.conversation import UNNUMBERED, Conversation
from pipeline.hosts.messages import (
    BEAT_S,
    LONGEST_BYTES,
    Alas,
    Beat,
    Death,
    Forgotten,
    FromAgent,
    Joined,
    Kill,
    Launch,
    Left,
    Over,
    Refused,
    Said,
    Tell,
    ToAgent,
    Welcome,
)
from pipeline.observe.status import HostStatus
from pipeline.queue.guard import Guard
from pipeline.queue.link import beat

__all__ = ["Hosts", "bindable"]

_UNMEASURED_NS = 1 << 62
_LAST_WORDS_MS = 500
_HEARD_S = 2.0
_ENVELOPE_BYTES = 1 << 16
"""What a message has beside the checkpoint in it, encryption included."""


class _Host:
    """One host and its agent."""

    def __init__(self, name: str, groups: Sequence[str]) -> None:
        self.name, self.groups = name, groups
        self.identity: bytes | None = None
        self.conversation: Conversation | None = None
        self.heard_s = 0.0
        self.offset_ns, self.round_trip_ns = 0, _UNMEASURED_NS
        self.living: set[str] = set()

    def lose(self) -> bool:
        """Forget the agent; return whether workers are lost with it."""
        lost = bool(self.living)
        self.identity = self.conversation = None
        self.living = set()
        return lost


class Hosts:
    """All other hosts of a run.

    Args:
        address: where they join, ``ADDRESS:PORT``.
        groups: of each host the groups that run there.
        tables: what the run is known by here.
        version: of the package.
        make_guard: makes the guard of a context, which knows the hosts' keys.
        silent_s: after how long without a word a host is lost.

    Attributes:
        codes: exit code of each worker of this generation that has ended, by its group.

    Raises:
        ConfigError: the address cannot be bound, or there are no keys.
    """

    def __init__(
        self,
        address: str,
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
        self._socket.linger = _LAST_WORDS_MS
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LONGEST_BYTES + _ENVELOPE_BYTES)
        beat(self._socket)
        try:
            make_guard(self._context).bind(self._socket, "hosts")
            self._socket.bind(f"tcp://{bindable(address)}")
        except BaseException as error:
            self._socket.close(0)
            self._context.term()
            if isinstance(error, zmq.ZMQError):
                raise ConfigError(
                    f"run.address: {address} cannot be bound: {error.strerror}; it must be an"
                    " address of this host, with a port that nobody uses"
                ) from None
            raise
        self._beat_s = 0.0
        self._generation = -1
        self.codes: dict[str, int] = {}
        self._left: dict[str, float] = {}
        """Hosts whose stages have gone to others, and when they last asked to join."""
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
    def away(self) -> list[str]:
        """Hosts whose stages have gone to others, and that are not there to have them back."""
        now_s = time.monotonic()
        return [name for name, at_s in self._left.items() if now_s - at_s > self._silent_s]

    @property
    def ready(self) -> bool:
        """Whether all hosts have joined and their clocks are known."""
        known = all(host.round_trip_ns < _UNMEASURED_NS for host in self._hosts.values())
        return known and not self.missing

    @property
    def gone(self) -> bool:
        """Whether no worker is left on a host that is there."""
        return not any(host.living for host in self._hosts.values())

    def status(self) -> list[HostStatus]:
        """Return what is known of the hosts and their clocks."""
        return [
            HostStatus(h.name, h.identity is not None, h.offset_ns / 1e9, h.round_trip_ns / 1e9)
            if h.round_trip_ns < _UNMEASURED_NS
            else HostStatus(h.name, h.identity is not None)
            for h in self._hosts.values()
        ]

    def regroup(self, groups: Mapping[str, Sequence[str]]) -> None:
        """Have the groups run elsewhere from the next launch on; who has none left is let go."""
        left = dict.fromkeys(self._hosts, -math.inf) | self._left
        self._left = {name: at_s for name, at_s in left.items() if name not in groups}
        old = self._hosts
        self._hosts = {
            name: old.get(name) or _Host(name, theirs) for name, theirs in groups.items()
        }
        for name, host in self._hosts.items():
            host.groups = groups[name]
        self._of_group = {g: host for host in self._hosts.values() for g in host.groups}

    def launch(self, generation: int, plan: bytes, checkpoint: bytes | None) -> None:
        """Have the workers of all hosts forked.

        Raises:
            CheckpointError: the checkpoint is longer than may be sent.
        """
        if checkpoint is not None and len(checkpoint) > LONGEST_BYTES:
            raise CheckpointError(
                f"a checkpoint of {len(checkpoint)} bytes cannot be sent to other hosts, allowed"
                f" are {LONGEST_BYTES}; let stages that keep much run on the host of the run"
            )
        self._generation = generation
        self._said.clear()
        self.codes = {}
        for host in self._hosts.values():
            host.living = set(host.groups)
            launch = Launch(generation, plan, checkpoint, host.offset_ns, tuple(host.groups))
            self._say(host, launch)

    def tell(self, group: str, body: bytes) -> None:
        """Say something to a worker."""
        self._say(self._of_group[group], Tell(self._generation, group, body))

    def kill(self, group: str | None = None) -> None:
        """Have all workers killed, or those of the host on which one group runs."""
        for host in self._hosts.values() if group is None else [self._of_group[group]]:
            self._say(host, Kill())

    def read(self) -> list[tuple[str, bytes]]:
        """Return what workers have said since the last call; never wait.

        Raises:
            StageError: an agent has ended, has begun anew, or cannot go on.
        """
        now_s = time.monotonic()
        if now_s >= self._beat_s:
            self._beat_s = now_s + BEAT_S
            for host in self._hosts.values():
                self._beat(host)
        while self._socket.poll(0):
            frames = self._socket.recv_multipart(copy=False)
            if len(frames) == 3:
                identity, number, body = (frame.bytes for frame in frames)
                self._hear(identity, number, body, _key_of(frames[2]))
        said = [*self._said]
        self._said.clear()
        return said

    def look(self) -> None:
        """Raise if a host that workers run on has been silent for too long.

        Raises:
            StageError: it has; it is lost, and must join again.
        """
        for host in self._hosts.values():
            silent_s = time.monotonic() - host.heard_s
            if host.identity is not None and silent_s > self._silent_s and host.lose():
                raise StageError(
                    f"host '{host.name}' has not answered for {silent_s:.1f} s"
                    f" (supervision.silent_s = {self._silent_s:g}); is it up, and connected?"
                )

    def close(self, failure: str = "") -> None:
        """Tell all that the run is over, and why, if it failed; wait a moment for them to hear."""
        for host in self._hosts.values():
            self._say(host, Over(failure))
        until_s = time.monotonic() + _HEARD_S
        while self._is_owed and (left_s := until_s - time.monotonic()) > 0:
            self._socket.poll(round(min(left_s, BEAT_S) * 1000))
            with suppress(StageError):
                self.read()
        self._socket.close()
        self._context.term()

    @property
    def _is_owed(self) -> bool:
        talks = [host.conversation for host in self._hosts.values()]
        return any(talk is not None and talk.is_owed for talk in talks)

    def _hear(self, identity: bytes, number: bytes, body: bytes, key: str) -> None:
        host = next((h for h in self._hosts.values() if h.identity == identity), None)
        try:
            message = msgspec.msgpack.decode(body, type=FromAgent)
        except msgspec.MsgspecError:
            self._refuse(identity, key, f"it does not speak as version {self._version} does")
            return
        if isinstance(message, Joined):
            self._join(identity, message, key)
            return
        if host is None or host.conversation is None:
            # It was given up, or the run was begun anew, and it does not know.
            if not isinstance(message, Left):
                self._send(identity, Forgotten())
            return
        host.heard_s = time.monotonic()
        if isinstance(message, Beat):
            host.conversation.heard(message.have)
            self._compare_clocks(host, message)
        elif host.conversation.is_next(number):
            self._take(host, message)

    def _take(self, host: _Host, message: Said | Death | Alas | Left) -> None:
        if isinstance(message, Left):
            if host.lose():
                raise StageError(f"host '{host.name}' has left: {message.why}")
            print(f"host '{host.name}' has left: {message.why}", file=sys.stderr, flush=True)
        elif message.generation != self._generation:
            pass  # of workers that are gone
        elif isinstance(message, Alas):
            host.living = set()
            raise StageError(f"host '{host.name}': {message.text}")
        elif message.group not in host.groups:
            pass  # no host speaks for the workers of another
        elif isinstance(message, Said):
            self._said.append((message.group, message.body))
        else:
            host.living.discard(message.group)
            self.codes[message.group] = message.code

    def _compare_clocks(self, host: _Host, message: Beat) -> None:
        """Take the offset of the beat that took the least time (Cristian 1989)."""
        if not message.echo_ns:
            return
        round_trip_ns = time.monotonic_ns() - message.echo_ns
        if 0 <= round_trip_ns <= host.round_trip_ns:
            host.round_trip_ns = round_trip_ns
            host.offset_ns = message.echo_ns + round_trip_ns // 2 - message.sent_ns

    def _join(self, identity: bytes, joined: Joined, key: str) -> None:
        host = self._hosts.get(joined.host)
        if host is not None and host.identity == identity:
            self._send(identity, Welcome())  # it had not heard the first
            return
        why = self._why_not(joined, key)
        if joined.host in self._left and not why:
            self._left[joined.host] = time.monotonic()
            self._refuse(identity, joined.host, "its stages have gone to others", ask_again=True)
            return
        if host is None or why:
            self._refuse(identity, joined.host, why)
            return
        if host.identity is not None and time.monotonic() - host.heard_s < self._silent_s:
            self._refuse(identity, host.name, "it has joined already", ask_again=True)
            return
        lost = host.lose()
        host.identity, host.heard_s = identity, time.monotonic()
        host.conversation = Conversation(lambda frames: self._send_frames(identity, frames))
        host.round_trip_ns = _UNMEASURED_NS
        self._send(identity, Welcome())
        self._beat(host)
        print(f"host '{host.name}' has joined", file=sys.stderr, flush=True)
        if lost:
            raise StageError(f"host '{host.name}' has begun anew")

    def _why_not(self, joined: Joined, key: str) -> str:
        if joined.host not in self._hosts and joined.host not in self._left:
            return f"no stage is on it; there are {', '.join(self._hosts)}"
        if key != joined.host:
            return (
                f"its key is known as that of '{key}'; let it in by its own name: pipeline keys"
                f" allow {joined.host} KEY"
            )
        if joined.version != self._version:
            return f"it runs version {joined.version}, and this is {self._version}"
        return difference(self._tables, joined.tables)

    def _refuse(self, identity: bytes, who: str, why: str, ask_again: bool = False) -> None:
        self._send(identity, Refused(why, ask_again))
        line = f"host '{who}' may not join: {why}"
        if line not in self._told:
            self._told.add(line)
            print(line, file=sys.stderr, flush=True)

    def _beat(self, host: _Host) -> None:
        if host.identity is not None and host.conversation is not None:
            self._send(host.identity, Beat(time.monotonic_ns(), host.conversation.have))

    def _say(self, host: _Host, message: ToAgent) -> None:
        if host.conversation is not None:
            host.conversation.say(msgspec.msgpack.encode(message))

    def _send(self, identity: bytes, message: ToAgent) -> None:
        self._send_frames(identity, (UNNUMBERED, msgspec.msgpack.encode(message)))

    def _send_frames(self, identity: bytes, frames: Sequence[bytes]) -> None:
        # Nobody is waited for: what cannot be sent now is lost, as on a connection that breaks.
        self._socket.send_multipart([identity, *frames])


def bindable(address: str) -> str:
    """Return ``ADDRESS:PORT`` with the address of a name, for ZeroMQ binds to no names.

    Raises:
        ConfigError: nobody has that name.
    """
    name, _, port = address.rpartition(":")
    try:
        found = sockets.getaddrinfo(name, int(port), sockets.AF_INET, sockets.SOCK_STREAM)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigError(
            f"run.address: {address}: cannot be found: {error}; name an address of the host that"
            " runs the pipeline, and a port below 65536"
        ) from None
    return f"{found[0][4][0]}:{port}"


def _key_of(frame: "zmq.Frame") -> str:
    """Return whose key the sender of a frame has proved to hold, as the guard knows it."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
