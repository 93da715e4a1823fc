"""The inputs of a stage: what was read of each and not delivered, and what checkpoints keep."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from pipeline.messages import EndStream, Frames, Message, Predictions, Shed, decode, encode
from pipeline.queue.coarsen import split
from pipeline.queue.receiver import Receiver
from pipeline.report import QueueCount

__all__ = ["Cut", "Input", "Pending", "telling"]

Pending = list[list[tuple[bytes, bytes]]]
"""For each input messages in their order, encoded."""


class Input:
    """One of several queues, and what was read from it and not delivered yet."""

    def __init__(
        self, receiver: Receiver, relatives: frozenset[int], sources: frozenset[str]
    ) -> None:
        self.receiver, self.sources = receiver, sources
        self.relatives = relatives
        """Inputs that share a source with it, itself not included."""
        self.rows = deque[Message]()
        self.barrier = -1
        """The last that came in."""
        self.over = False
        self.shed: Shed | None = None
        """What a barrier told that was not delivered."""
        self._owed = 0
        """Messages read that are to be acknowledged when their rows are delivered."""

    def restore(self, encoded: list[tuple[bytes, bytes]]) -> None:
        """Have at hand what a checkpoint kept."""
        for header, buffer in encoded:
            self._append(decode(header, buffer))

    def put(self, message: Message) -> None:
        """Have a message at hand that was read."""
        self._append(message)
        # Whoever has ended is let go: what takes the others long is no reason for it to wait.
        if self.relatives or self.over:
            self.receiver.deal()
        else:
            self._owed += 1

    def take(self) -> None:
        """The first row has been dealt with."""
        self.rows.popleft()
        if not self.rows and self._owed:
            self._owed -= 1
            self.receiver.deal()

    def _append(self, message: Message) -> None:
        self.over = self.over or isinstance(message.header, EndStream)
        if self.shed is not None:
            message, self.shed = telling(message, self.shed), None
        self.rows.extend(_rows(message))


class Cut:
    """What belongs to a checkpoint of several inputs: it is whole when all have passed it."""

    def __init__(
        self,
        barrier: int,
        inputs: Sequence[Input],
        kept: Callable[[list[QueueCount], Pending], None],
    ) -> None:
        self._barrier, self._inputs, self._kept = barrier, inputs, kept
        self._pending: Pending = [[_encoded(row) for row in each.rows] for each in inputs]
        self._counts: dict[int, QueueCount] = {}
        self._told = False
        if len(inputs) == 1:  # it comes in order, behind all that there was
            inputs[0].barrier = barrier
        self.look()

    def came(self, source: Input, message: Message) -> None:
        """Keep a message that is on this side of its input's barrier."""
        k = self._inputs.index(source)
        if k not in self._counts:
            self._pending[k].append(_encoded(message))

    def look(self) -> None:
        """See which inputs have passed."""
        for k, each in enumerate(self._inputs):
            if k not in self._counts and (each.over or each.barrier >= self._barrier):
                self._counts[k] = each.receiver.count()
        if len(self._counts) == len(self._inputs) and not self._told:
            self._told = True
            self._kept([self._counts[k] for k in range(len(self._inputs))], self._pending)


def telling(message: Message, shed: Shed) -> Message:
    """Return a message that also tells what another would have told of overload."""
    header = message.header
    shed = shed if header.shed is None else header.shed + shed
    return Message(msgspec.structs.replace(header, shed=shed), message.array)


def _encoded(message: Message) -> tuple[bytes, bytes]:
    header, buffer = encode(message)
    return header, bytes(buffer)


def _rows(message: Message) -> Iterator[Message]:
    """Cut predictions into rows and frames into windows; other data pass whole."""
    header = message.header
    if isinstance(header, Frames):
        yield from split(message)
        return
    if not isinstance(header, Predictions) or len(header.spans) < 2:
        yield message
        return
    for k, span in enumerate(header.spans):
        row = message.array[k : k + 1]
        one = msgspec.structs.replace(
            header,
            shape=row.shape,
            spans=(span,),
            t_first_us=span.t_start_us,
            t_last_us=span.t_end_us,
            shed=None if k else header.shed,
        )
        yield Message(one, row)
