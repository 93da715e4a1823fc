"""Queues between stages: bounded, lossless, in order, over any ZeroMQ transport.

ZeroMQ's own high-water marks are inexact, and PUSH/PULL over ipc was measured to lose the last
message when the sender closes. So the queue counts by itself: the receiver grants a capacity, the
sender keeps at most that many messages unacknowledged, and the high-water marks are off. A message
is acknowledged when its receiver has dealt with it; a stream is over when its end marker has been.
Nothing depends on LINGER.

Between the two DEALER sockets travel, with the receiver bound and the sender connected:

    sender → receiver   [hello]                                once, names the protocol
    receiver → sender   [credit: dealt with u64, capacity u32] on hello and after each message
    sender → receiver   [number u64] [header] [buffer]         numbers count from 0 without a gap

A run that goes on from a checkpoint counts on from there.
"""

import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

import zmq

from pipeline.errors import WireError
from pipeline.messages import MAX_BUFFER_BYTES, Data, Message, decode, encode

__all__ = ["HELLO", "NOTHING", "Passed", "Receiver", "Sender", "send_to_all"]

HELLO = b"pipeline-queue/1"
_CREDIT = struct.Struct("<QI")
_NUMBER = struct.Struct("<Q")


class Passed(NamedTuple):
    """What went through a queue."""

    messages: int
    units: int
    """Events, windows or predictions."""


NOTHING = Passed(0, 0)


def _dealer(context: "zmq.Context[zmq.Socket[bytes]]") -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.DEALER)
    socket.set_hwm(0)
    socket.linger = 0
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_BUFFER_BYTES)
    return socket


class Sender:
    """The end of a queue that puts messages in. It belongs to one thread."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        name: str,
        passed: Passed = NOTHING,
    ) -> None:
        """Connect to ``endpoint``; nothing is sent before the receiver has granted credit.

        ``passed`` is what went through the queue before a checkpoint that both ends go on from.
        """
        self.name = name
        self.messages, self.units = passed
        self.blocked_ns = 0
        self._dealt = passed.messages
        self._capacity = 0
        self._socket = _dealer(context)
        self._socket.connect(endpoint)
        self._socket.send(HELLO)

    @property
    def in_flight(self) -> int:
        """Messages sent and not yet dealt with by the receiver."""
        return self.messages - self._dealt

    def send(self, message: Message) -> None:
        """Send, waiting as long as the queue is full.

        Raises:
            WireError: the receiver speaks another protocol.
            zmq.ContextTerminated: the worker is being stopped.
        """
        send_to_all([self], message)

    def put(self, parts: tuple[bytes, memoryview], units: int) -> None:
        """Send an encoded message of ``units`` events, windows or predictions."""
        if self.in_flight >= self._capacity:
            # Not for each message: to be told that there is no credit costs as much as sending.
            self._take_credit(block=False)
        if self.in_flight >= self._capacity:
            started = time.monotonic_ns()
            while self.in_flight >= self._capacity:
                self._take_credit(block=True)
            self.blocked_ns += time.monotonic_ns() - started
        self._socket.send_multipart([_NUMBER.pack(self.messages), *parts], copy=False)
        self.messages += 1
        self.units += units

    def drain(self) -> None:
        """Wait until the receiver has dealt with everything sent."""
        while self.in_flight:
            self._take_credit(block=True)

    def close(self) -> None:
        """Close the socket; what is in flight is given up, so `drain` first."""
        self._socket.close(0)

    def _take_credit(self, block: bool) -> None:
        flags = 0 if block else zmq.NOBLOCK
        while True:
            try:
                frame = self._socket.recv(flags)
            except zmq.Again:
                return
            flags = zmq.NOBLOCK
            if len(frame) != _CREDIT.size:
                raise WireError(f"queue {self.name}: the receiver does not speak {HELLO.decode()}")
            dealt, capacity = _CREDIT.unpack(frame)
            if not self._dealt <= dealt <= self.messages:
                raise WireError(
                    f"queue {self.name}: {dealt} messages acknowledged, {self.messages} were sent"
                )
            self._dealt, self._capacity = dealt, capacity


def send_to_all(senders: Sequence[Sender], message: Message) -> None:
    """Send one message into several queues, encoded once; the fullest queue sets the pace."""
    parts = encode(message)
    units = message.header.units if isinstance(message.header, Data) else 0
    for sender in senders:
        sender.put(parts, units)


class Receiver:
    """The end of a queue that takes messages out. It belongs to one thread."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        name: str,
        capacity: int,
        passed: Passed = NOTHING,
    ) -> None:
        """Bind to ``endpoint``; a tcp port may be ``*``. ``passed`` as for `Sender`."""
        self.name = name
        self.messages, self.units = passed
        self._capacity = capacity
        self._open = 0
        self.socket = _dealer(context)
        try:
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
        while True:
            if timeout_ms is not None and not self.socket.poll(timeout_ms):
                return None
            frames = self.socket.recv_multipart(copy=False)
            if len(frames) == 1 and frames[0].bytes == HELLO:
                self._grant()
                if timeout_ms is not None:
                    timeout_ms = 0
                continue
            if len(frames) == 1:
                raise WireError(
                    f"queue {self.name}: the sender does not speak {HELLO.decode()};"
                    " do both ends run the same version?"
                )
            if len(frames) != 3 or len(frames[0]) != _NUMBER.size:
                sizes = [len(frame) for frame in frames]
                raise WireError(f"queue {self.name}: no message has frames of {sizes} bytes")
            (number,) = _NUMBER.unpack(frames[0].bytes)
            if number != self.messages:
                raise WireError(
                    f"queue {self.name}: message {number} arrived, {self.messages} was next"
                )
            try:
                message = decode(frames[1].bytes, frames[2].buffer)
            except WireError as error:
                raise WireError(f"queue {self.name}: {error}") from error
            self.messages += 1
            self._open += 1
            if isinstance(message.header, Data):
                self.units += message.header.units
            return message

    def deal(self) -> None:
        """Acknowledge the oldest message not yet dealt with."""
        self._open -= 1
        self._grant()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)

    def _grant(self) -> None:
        self.socket.send(_CREDIT.pack(self.messages - self._open, self._capacity))
