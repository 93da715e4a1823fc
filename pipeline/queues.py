"""Queues between stages: bounded, lossless, in order, over any ZeroMQ transport.

ZeroMQ's own high-water marks are inexact, and PUSH/PULL over ipc was measured to lose the last
message when the sender closes. So the queue counts by itself: the receiver grants a capacity, the
sender keeps at most that many messages unacknowledged, and the high-water marks are off. A message
is acknowledged when its receiver has dealt with it; a stream is over when its end marker has been.
Nothing depends on LINGER.

Between a DEALER and a ROUTER socket travel, with the receiver bound and the sender connected:

    sender → receiver   [hello]                                once, names the protocol
    receiver → sender   [credit: dealt with u64, capacity u32] on hello and after each message
    sender → receiver   [number u64] [header] [buffer]         numbers count from 0 without a gap;
                        four more follow in its frame where something was given up since the
                        message before: messages, and units dropped, thinned and merged
    receiver → sender   [refused]                              to whom it does not listen

A run that goes on from a checkpoint counts on from there.

A receiver listens to whoever says hello first, and to nobody else: a second sender, or one of
another version, is refused, said once, and does no harm. What the first one sends is checked, and
if it is not what it should be, that is an error of the run. Over tcp a guard sees to it that only
who holds a key gets that far (`pipeline.guard`); from another host what a broken connection has
lost is sent again (`pipeline.link`).
"""

import os
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import zmq

from pipeline.backlog import NO_LOSS, Backlog, Loss
from pipeline.errors import WireError
from pipeline.guard import Guard, refuse_open_tcp
from pipeline.link import LINK_EVENTS, Link, beat
from pipeline.messages import MAX_BUFFER_BYTES, Data, Message, decode, encode
from pipeline.report import QueueCount

__all__ = ["HELLO", "NOTHING", "Passed", "Receiver", "Sender", "send_to_all", "wait_for"]

HELLO = b"pipeline-queue/1"
_CREDIT = struct.Struct("<QI")
_NUMBER = struct.Struct("<Q")
_LOSS = struct.Struct("<QQQQ")
_TAKEN = b"refused: taken"
_OTHER_VERSION = b"refused: other version"
_MAX_IN_FLIGHT_BYTES = 1 << 28
_ENCRYPTION_BYTES = 64
_ANSWERED = 1_000


class Passed(NamedTuple):
    """What went through a queue."""

    messages: int
    units: int
    """Events, windows or predictions."""
    lost: Loss = NO_LOSS
    """What was given up and did not."""


NOTHING = Passed(0, 0)


def _socket(context: "zmq.Context[zmq.Socket[bytes]]", kind: int) -> "zmq.Socket[bytes]":
    socket = context.socket(kind)
    socket.set_hwm(0)
    socket.linger = 0
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_BUFFER_BYTES + _ENCRYPTION_BYTES)
    return socket


class Sender:
    """The end of a queue that puts messages in. It belongs to one thread."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        name: str,
        passed: Passed = NOTHING,
        guard: Guard | None = None,
        peer: str | None = None,
        output: str = "",
        backlog: Backlog | None = None,
    ) -> None:
        """Connect to ``endpoint``; nothing is sent before the receiver has granted credit.

        Args:
            context: that of the process.
            endpoint: where the receiver is bound.
            name: the queue's, for messages.
            passed: what went through the queue before a checkpoint that both ends go on from.
            guard: encrypts what goes over tcp; needed where that leaves this host.
            peer: whose key the receiver has; None where both ends have the same.
            output: the side output of its stage that it carries, "" for the main one.
            backlog: what waits at this end of a queue that may shed; None where it never does.

        Raises:
            WireError: tcp would leave this host without a key.
            PipelineError: no key of the peer is known.
        """
        self.name, self.output = name, output
        self.messages, sent, self._lost = passed
        self.units = sent + self._lost.units
        self.backlog = backlog
        self.blocked_ns = 0
        self._dealt = passed.messages
        self._capacity = 0
        self._sizes = deque[int]()
        self._bytes = 0
        self._endpoint, self._guard = endpoint, guard
        self._refusals: zmq.Socket[bytes] | None = None
        self._link: Link | None = None
        if guard is None:
            refuse_open_tcp(endpoint, name)
        self._socket = _socket(context, zmq.DEALER)
        # Known by this also after its connection broke and was made again.
        self._socket.setsockopt(zmq.IDENTITY, os.urandom(16).replace(b"\0", b"0", 1))
        if guard is not None and endpoint.startswith("tcp:"):
            try:
                if peer is None:
                    self._refusals = guard.connect(self._socket, name, peer)
                else:
                    self._link = Link(guard.connect(self._socket, name, peer, LINK_EVENTS))
                beat(self._socket)
            except BaseException:
                self._socket.close(0)
                raise
        self._socket.connect(endpoint)
        self._socket.send(HELLO)

    @property
    def in_flight(self) -> int:
        """Messages sent and not yet dealt with by the receiver."""
        return self.messages - self._dealt

    @property
    def lost(self) -> Loss:
        """What was given up."""
        return self._lost if self.backlog is None else self._lost + self.backlog.lost

    def count(self) -> QueueCount:
        """Return what was to be sent: what was, what waits, and what was given up."""
        lost, waiting = self.lost, 0 if self.backlog is None else len(self.backlog)
        messages = self.messages + waiting + lost.messages
        blocked_s = self.blocked_ns / 1e9
        return QueueCount(
            self.name, messages, self.units, blocked_s, self.output, lost.messages, lost.by_reason()
        )

    @property
    def socket(self) -> "zmq.Socket[bytes]":
        """What to poll for credit."""
        return self._socket

    @property
    def sockets(self) -> "list[zmq.Socket[bytes]]":
        """What to poll for anything that lets what waits go on."""
        return [self._socket] if self._link is None else [self._socket, self._link.monitor]

    @property
    def is_owed(self) -> bool:
        """Whether something waits to be sent, or may have to be sent again."""
        return bool(self.backlog) or (self._link is not None and bool(self._link.kept))

    def send(self, message: Message) -> None:
        """Send, waiting as long as the queue is full.

        Raises:
            WireError: the receiver speaks another protocol.
            zmq.ContextTerminated: the worker is being stopped.
        """
        send_to_all([self], message)

    def put(
        self, parts: tuple[bytes, memoryview], units: int, others: "Sequence[Sender]" = ()
    ) -> None:
        """Send an encoded message of ``units`` events, windows or predictions.

        Where it has to wait, what waits before ``others`` goes on meanwhile.
        """
        size = len(parts[0]) + parts[1].nbytes
        if self._link is not None:
            self._mend(self._link, block=False)
        if self._full(size):
            # Not for each message: to be told that there is no credit costs as much as sending.
            self._take_credit(block=False)
        if self._full(size):
            started = time.monotonic_ns()
            while self._full(size):
                self._wait_for_credit(others)
            self.blocked_ns += time.monotonic_ns() - started
        self._transmit(parts, NO_LOSS)
        self.units += units

    def offer(self, message: Message, others: "Sequence[Sender]" = ()) -> None:
        """Put a message into a queue that may shed: it is sent at once, later, in part, or never.

        It waits only where the backlog has no room for it and makes none.
        """
        assert self.backlog is not None
        if not self._capacity:
            self._take_credit(block=True)
        if isinstance(message.header, Data):
            self.units += message.header.units
        self.flush()
        for part in self.backlog.parts(message):
            if not self.backlog.add(part):
                started = time.monotonic_ns()
                while not self.backlog.add(part):
                    self._wait_for_credit(others)
                    self.flush()
                self.blocked_ns += time.monotonic_ns() - started
            self.flush()

    def flush(self) -> None:
        """Send what waits, as far as there is credit, and again what a connection has lost."""
        if self._link is not None and self._link.kept:
            self._take_credit(block=False)
        if self.backlog is None:
            return
        while (waiting := self.backlog.first()) is not None:
            size = waiting.message.array.nbytes
            if self._full(size):
                self._take_credit(block=False)
            if self._full(size):
                return
            self.backlog.take()
            self._transmit(encode(waiting.stamped), waiting.loss)

    def drain(self) -> None:
        """Wait until the receiver has dealt with everything sent."""
        self.flush()
        while self.in_flight or self.backlog:
            self._take_credit(block=True)
            self.flush()

    def close(self) -> None:
        """Close the socket; what is in flight is given up, so `drain` first."""
        self._socket.close(0)
        self._forget_refusals()
        if self._link is not None:
            self._link.monitor.close(0)

    def _full(self, size: int) -> bool:
        """Whether a message of ``size`` bytes must wait; a large one goes when it is alone."""
        return self.in_flight >= self._capacity or (
            self._bytes > 0 and self._bytes + size > _MAX_IN_FLIGHT_BYTES
        )

    def _transmit(self, parts: tuple[bytes, memoryview], loss: Loss) -> None:
        number = _NUMBER.pack(self.messages)
        if loss != NO_LOSS:
            number += _LOSS.pack(*loss)
        frames: list[bytes | memoryview] = [number, *parts]
        self._socket.send_multipart(frames, copy=False)
        if self._link is not None:
            self._link.kept.append(frames)
        self.messages += 1
        size = len(parts[0]) + parts[1].nbytes
        self._sizes.append(size)
        self._bytes += size

    def _wait_for_credit(self, others: "Sequence[Sender]") -> None:
        if self._refusals is None:
            mine = [self._socket] if self._link is None else [self._socket, self._link.monitor]
            wait_for(mine, [other for other in others if other is not self])
        self._take_credit(block=True)

    def _forget_refusals(self) -> None:
        if self._refusals is not None:
            self._refusals.close(0)
            self._refusals = None

    def _wait_until_let_in(self) -> None:
        """Wait for the first word of the receiver, or for that it does not know our key."""
        assert self._guard is not None
        while self._refusals is not None:
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(self._refusals, zmq.POLLIN)
            ready = dict(poller.poll())
            if self._refusals in ready:
                raise self._guard.refusal(self.name, self._endpoint)
            self._forget_refusals()

    def _mend(self, link: Link, block: bool) -> None:
        """Send again what was lost with a connection; wait for a word of the receiver."""
        while True:
            if link.made_anew():
                self._socket.send(HELLO)
                for frames in link.kept:
                    self._socket.send_multipart(frames, copy=False)
            if link.refused:
                assert self._guard is not None
                raise self._guard.refusal(self.name, self._endpoint)
            if not block:
                return
            poller = zmq.Poller()
            poller.register(self._socket, zmq.POLLIN)
            poller.register(link.monitor, zmq.POLLIN)
            if self._socket in dict(poller.poll()):
                return

    def _take_credit(self, block: bool) -> None:
        if self._link is not None:
            self._mend(self._link, block)
        elif block and self._refusals is not None:
            self._wait_until_let_in()
        flags = 0 if block else zmq.NOBLOCK
        while True:
            try:
                frame = self._socket.recv(flags)
            except zmq.Again:
                return
            flags = zmq.NOBLOCK
            if frame == _TAKEN:
                raise WireError(f"queue {self.name}: its receiver listens to another sender")
            if len(frame) != _CREDIT.size:
                raise WireError(f"queue {self.name}: the receiver does not speak {HELLO.decode()}")
            dealt, capacity = _CREDIT.unpack(frame)
            if self._link is not None and dealt < self._dealt:
                continue  # of the connection before
            if not self._dealt <= dealt <= self.messages:
                raise WireError(
                    f"queue {self.name}: {dealt} messages acknowledged, {self.messages} were sent"
                )
            for _ in range(dealt - self._dealt):
                self._bytes -= self._sizes.popleft()
                if self._link is not None:
                    self._link.kept.popleft()
            self._dealt, self._capacity = dealt, capacity


def send_to_all(senders: Sequence[Sender], message: Message) -> None:
    """Send one message into several queues, encoded once; the fullest queue sets the pace."""
    parts = None
    units = message.header.units if isinstance(message.header, Data) else 0
    for sender in senders:
        if sender.backlog is None:
            parts = parts or encode(message)
            sender.put(parts, units, senders)
        else:
            sender.offer(message, senders)


def wait_for(sockets: "Sequence[zmq.Socket[bytes]]", senders: Sequence[Sender]) -> None:
    """Wait until there is something to read; what waits before senders goes on meanwhile.

    Returns at once where nothing waits: to read will block by itself.
    """
    while behind := [sender for sender in senders if sender.is_owed]:
        poller = zmq.Poller()
        for socket in [*sockets, *(each for sender in behind for each in sender.sockets)]:
            poller.register(socket, zmq.POLLIN)
        ready = dict(poller.poll())
        for sender in behind:
            sender.flush()
        if any(socket in ready for socket in sockets):
            return


class Receiver:
    """The end of a queue that takes messages out. It belongs to one thread."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        name: str,
        capacity: int,
        passed: Passed = NOTHING,
        guard: Guard | None = None,
        linked: bool = False,
    ) -> None:
        """Bind to ``endpoint``; a tcp port may be ``*``. ``passed`` and ``guard``: see `Sender`.

        ``linked``: its sender is on another host, and sends again what a broken connection lost.

        Raises:
            WireError: the endpoint cannot be bound, or would be open to other hosts without keys.
        """
        if guard is None:
            refuse_open_tcp(endpoint, name)
        self.name = name
        self.messages, self.units, self.lost = passed
        self._capacity = capacity
        self.linked = linked
        self._open = 0
        self._sender: bytes | None = None
        self._answered, self._told = set[bytes](), set[str]()
        self.socket = _socket(context, zmq.ROUTER)
        self.socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        # A peer that heeds no credit is read no further; one that does never gets there.
        self.socket.setsockopt(zmq.RCVHWM, 2 * capacity + 8)
        try:
            if guard is not None and endpoint.startswith("tcp:"):
                guard.bind(self.socket, name)
                beat(self.socket)
            self.socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.socket.close(0)
            raise WireError(f"queue {name}: cannot bind {endpoint}: {error}") from error
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def receive(self, timeout_ms: int | None = None) -> Message | None:
        """Return the next message, or None when ``timeout_ms`` has passed.

        The message counts as dealt with once `deal` is called.

        Raises:
            WireError: the message is malformed or out of sequence.
            zmq.ContextTerminated: the worker is being stopped.
        """
        until = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        while True:
            if until is not None:
                left_ms = max(0, round((until - time.monotonic()) * 1000))
                if not self.socket.poll(left_ms):
                    return None
            identity, small, buffer = self._take()
            if identity != self._sender or len(small) == 1:
                self._greet(identity, small)
                continue
            if buffer is None or len(small[0]) not in (_NUMBER.size, _NUMBER.size + _LOSS.size):
                sizes = [len(frame) for frame in small]
                raise WireError(
                    f"queue {self.name}: no message begins with frames of {sizes} bytes"
                )
            (number,) = _NUMBER.unpack_from(small[0])
            if number != self.messages and self.linked:
                continue  # here already, or before what will be sent again
            if number != self.messages:
                raise WireError(
                    f"queue {self.name}: message {number} arrived, {self.messages} was next"
                )
            try:
                message = decode(small[1], buffer)
            except WireError as error:
                raise WireError(f"queue {self.name}: {error}") from error
            if len(small[0]) > _NUMBER.size:
                self.lost += Loss(*_LOSS.unpack_from(small[0], _NUMBER.size))
            self.messages += 1
            self._open += 1
            if isinstance(message.header, Data):
                self.units += message.header.units
            return message

    def count(self) -> QueueCount:
        """Return what came, and what is known to have been given up."""
        lost = self.lost
        return QueueCount(
            self.name,
            self.messages + lost.messages,
            self.units + lost.units,
            lost_messages=lost.messages,
            lost=lost.by_reason(),
        )

    def deal(self) -> None:
        """Acknowledge the oldest message not yet dealt with."""
        self._open -= 1
        self._grant()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)

    def answer_again(self) -> None:
        """Acknowledge all once more to a sender whose connection broke when its stream was over.

        Raises:
            zmq.ContextTerminated: nobody needs it any more.
        """
        identity, small, _ = self._take()
        if identity == self._sender and small == [HELLO]:
            self._grant()

    def _take(self) -> tuple[bytes, list[bytes], memoryview | None]:
        """Return who sent the next message, its small frames, and its buffer if it has one.

        Small frames are copied, which takes less time than to share them; of a message that has
        too many frames no more than three are kept.
        """
        socket = self.socket
        identity, small = socket.recv(), [socket.recv()]
        if socket.getsockopt(zmq.RCVMORE):
            small.append(socket.recv())
            if socket.getsockopt(zmq.RCVMORE):
                frame = socket.recv(copy=False)
                if not frame.more:
                    return identity, small, frame.buffer
                small.append(b"")
                while socket.getsockopt(zmq.RCVMORE):
                    socket.recv(copy=False)
        return identity, small, None

    def _greet(self, identity: bytes, frames: list[bytes]) -> None:
        """Listen to the first who says hello; refuse all others, to whom nothing is owed."""
        hello = frames == [HELLO]
        if hello and self._sender in (None, identity):
            self._sender = identity
            self._grant()
        elif identity == self._sender:
            raise WireError(
                f"queue {self.name}: the sender does not speak {HELLO.decode()};"
                " do both ends run the same version?"
            )
        elif hello:
            self._refuse(identity, _TAKEN, "it has a sender, and another one came")
        else:
            self._refuse(
                identity,
                _OTHER_VERSION,
                f"somebody does not speak {HELLO.decode()}; do both ends run the same version?",
            )

    def _refuse(self, identity: bytes, answer: bytes, why: str) -> None:
        if identity not in self._answered and len(self._answered) < _ANSWERED:
            self._answered.add(identity)
            self.socket.send_multipart([identity, answer])
        if why not in self._told:
            self._told.add(why)
            print(f"warning: queue {self.name}: refused: {why}", file=sys.stderr, flush=True)

    def _grant(self) -> None:
        assert self._sender is not None
        credit = _CREDIT.pack(self.messages - self._open, self._capacity)
        self.socket.send(self._sender, zmq.SNDMORE)
        self.socket.send(credit)
