"""The end of a queue that puts messages in; what travels, see `pipeline.queue.protocol`."""

import os
import time
from collections import deque
from collections.abc import Sequence

import zmq

from pipeline.errors import WireError
from pipeline.messages import Data, Message, encode
from pipeline.queue.backlog import NO_LOSS, Backlog, Loss
from pipeline.queue.guard import Guard, refuse_open_tcp
from pipeline.queue.link import LINK_EVENTS, Link, beat
from pipeline.queue.protocol import CREDIT, HELLO, LOSS, NOTHING, NUMBER, TAKEN, Passed, open_socket
from pipeline.report import QueueCount

__all__ = ["Sender", "send_to_all", "wait_for"]

_MAX_IN_FLIGHT_BYTES = 1 << 28


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
        self._socket = open_socket(context, zmq.DEALER)
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
        number = NUMBER.pack(self.messages)
        if loss != NO_LOSS:
            number += LOSS.pack(*loss)
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
            if frame == TAKEN:
                raise WireError(f"queue {self.name}: its receiver listens to another sender")
            if len(frame) != CREDIT.size:
                raise WireError(f"queue {self.name}: the receiver does not speak {HELLO.decode()}")
            dealt, capacity = CREDIT.unpack(frame)
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
