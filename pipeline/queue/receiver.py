"""The end of a queue that takes messages out; what travels, see `pipeline.queue.protocol`."""

import sys
import time

import zmq

from pipeline.errors import WireError
from pipeline.messages import Data, Message, decode
from pipeline.queue.backlog import Loss
from pipeline.queue.guard import Guard, refuse_open_tcp
from pipeline.queue.link import beat
from pipeline.queue.protocol import (
    CREDIT,
    HELLO,
    LOSS,
    NOTHING,
    NUMBER,
    OTHER_VERSION,
    TAKEN,
    Passed,
    open_socket,
)
from pipeline.report import QueueCount

__all__ = ["Receiver"]

_ANSWERED = 1_000


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
        self.socket = open_socket(context, zmq.ROUTER)
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
            if buffer is None or len(small[0]) not in (NUMBER.size, NUMBER.size + LOSS.size):
                sizes = [len(frame) for frame in small]
                raise WireError(
                    f"queue {self.name}: no message begins with frames of {sizes} bytes"
                )
            (number,) = NUMBER.unpack_from(small[0])
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
            if len(small[0]) > NUMBER.size:
                self.lost += Loss(*LOSS.unpack_from(small[0], NUMBER.size))
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
            self._refuse(identity, TAKEN, "it has a sender, and another one came")
        else:
            self._refuse(
                identity,
                OTHER_VERSION,
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
        credit = CREDIT.pack(self.messages - self._open, self._capacity)
        self.socket.send(self._sender, zmq.SNDMORE)
        self.socket.send(credit)
