"""Where a stage's messages come from: one queue, or several merged in an order of their own.

The order in which several queues are merged depends on what they hold and never on when it
arrived: data go by the event time of their last row, then by the order of the inputs, a row at a
time so that the cut of the messages does not show; control messages wait until every input has
brought theirs and are delivered once, those that begin and end a recording once for each stream.

Live sources are the exception. Each device has a clock of its own, so their times say nothing of an
order, and one may be silent or gone for as long as it likes. So inputs that come from different
sources, one of which is live, wait for each other in nothing: each is delivered as it comes.

Barriers of checkpoints wait for nobody, since that would change the order. The first of a
checkpoint that comes in, from whatever input, is delivered at once, before what is waiting; what
waits, and what the other inputs bring until their own barrier, belongs to the checkpoint (Chandy
and Lamport 1985). An input that is over has passed all barriers.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec
import zmq

from pipeline.messages import (
    Barrier,
    Data,
    EndRecording,
    EndStream,
    Header,
    Message,
    Predictions,
    Retime,
    Shed,
    Start,
    decode,
    encode,
)
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender, wait_for
from pipeline.report import QueueCount

__all__ = ["Inlet", "Pending"]

_ENDS: tuple[type[Header], ...] = (EndRecording, EndStream)

Pending = list[list[tuple[bytes, bytes]]]
"""For each input messages in their order, encoded."""


class Inlet:
    """The messages of all queues up to the end of the stream, that included.

    Args:
        receivers: the queues.
        origins: for each queue the sources that its stream comes from.
        pending: what a checkpoint kept of what was on its way, when the run goes on from one.
        live: the sources that are live.
        senders: what waits before them goes on while there is nothing to take.
    """

    def __init__(
        self,
        receivers: Sequence[Receiver],
        origins: Sequence[frozenset[str]] = (),
        pending: Pending | None = None,
        live: frozenset[str] = frozenset(),
        senders: Sequence[Sender] = (),
    ) -> None:
        self._senders = senders
        origins = origins or [frozenset()] * len(receivers)
        self._inputs = [
            _Input(receiver, _relatives(k, origins)) for k, receiver in enumerate(receivers)
        ]
        for each, encoded in zip(self._inputs, pending or [], strict=False):
            each.restore(encoded)
        self._groups = [[self._inputs[k] for k in group] for group in _groups(origins, live)]
        self._cut: _Cut | None = None

    def messages(self) -> Iterator[Message]:
        """Yield the messages.

        A message is acknowledged when it has been dealt with. Branches that come from one source
        are the exception, see `_fill`.
        """
        return self._single() if len(self._inputs) == 1 else self._merged()

    def cut(self, barrier: int, kept: Callable[[list[QueueCount], Pending], None]) -> None:
        """Gather what belongs to a checkpoint, whose barrier was just delivered.

        Args:
            barrier: the checkpoint.
            kept: called once, when every input has passed the barrier, with what had come through
                each queue by then and what of it is still to be delivered.
        """
        self._cut = _Cut(barrier, self._inputs, kept)

    def _single(self) -> Iterator[Message]:
        receiver = self._inputs[0].receiver
        while True:
            wait_for([receiver.socket], self._senders)
            message = receiver.receive()
            if message is None:
                continue
            yield message
            receiver.deal()
            if isinstance(message.header, EndStream):
                return

    def _merged(self) -> Iterator[Message]:
        while going := [group for group in self._groups if not _is_over(group)]:
            ready = [group for group in going if all(each.rows for each in group)]
            for group in ready:
                yield from self._next(group)
            if not ready:
                yield from self._fill(going)
        yield _together([each.rows[0] for each in self._inputs])
        for each in self._inputs:
            each.take()

    def _next(self, group: "Sequence[_Input]") -> Iterator[Message]:
        """Deliver what is next of inputs that each have a message at hand."""
        heads = [each.rows[0] for each in group]
        retimed = [k for k, head in enumerate(heads) if isinstance(head.header, Retime)]
        if retimed:
            # It is about the wall clock, and must not hold back the data behind it.
            yield heads[retimed[0]]
            group[retimed[0]].take()
            return
        data = [k for k, head in enumerate(heads) if not head.is_control]
        if data:
            first = min(data, key=lambda k: (_time(heads[k].header), k))
            yield heads[first]
            group[first].take()
            return
        # An input whose recording or stream is over waits for what the others have to say.
        kinds = [type(head.header) for head in heads]
        kind = min(kinds, key=lambda kind: _ENDS.index(kind) if kind in _ENDS else -1)
        said: dict[str, list[_Input]] = {}
        for each, head in zip(group, heads, strict=True):
            if type(head.header) is kind:
                # Each stream starts and ends by itself; everything else is said once for all.
                what = head.header.stream if kind in (Start, EndRecording) else ""
                said.setdefault(what, []).append(each)
        for sayers in said.values():
            yield _together([each.rows[0] for each in sayers])
            for each in sayers:
                each.take()

    def _fill(self, groups: "Sequence[Sequence[_Input]]") -> Iterator[Message]:
        """Read what comes first of what these groups wait for; yield the barriers that come in.

        An input that shares a source with an empty one is read ahead and acknowledged at once: it
        would otherwise block that source, and with it the branch that is waited for. What is read
        ahead is bounded by how far the branches lie apart. Inputs of other sources wait in their
        queues, which holds those sources back.
        """
        inputs = self._inputs
        empty = {inputs.index(each) for group in groups for each in group if not each.rows}
        wanted = [k for k, each in enumerate(inputs) if k in empty or each.relatives & empty]
        sockets = [inputs[k].receiver.socket for k in wanted]
        wait_for(sockets, self._senders)
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        ready = dict(poller.poll())
        for k in wanted:
            if inputs[k].receiver.socket in ready:
                yield from self._read(inputs[k])

    def _read(self, source: "_Input") -> Iterator[Message]:
        """Take in one message, if there is one."""
        message = source.receiver.receive(timeout_ms=0)
        if message is None:
            return
        header = message.header
        if isinstance(header, Barrier):
            first = all(each.barrier < header.checkpoint for each in self._inputs)
            source.barrier = header.checkpoint
            if first:
                yield message
            else:
                source.shed = header.shed
            source.receiver.deal()
        else:
            if self._cut is not None:
                self._cut.came(source, message)
            source.put(message)
        if self._cut is not None:
            self._cut.look()


class _Input:
    """One of several queues, and what was read from it and not delivered yet."""

    def __init__(self, receiver: Receiver, relatives: frozenset[int]) -> None:
        self.receiver = receiver
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
        for header, buffer in encoded:
            self._append(decode(header, buffer))

    def put(self, message: Message) -> None:
        self._append(message)
        # Whoever has ended is let go: what takes the others long is no reason for it to wait.
        if self.relatives or self.over:
            self.receiver.deal()
        else:
            self._owed += 1

    def take(self) -> None:
        self.rows.popleft()
        if not self.rows and self._owed:
            self._owed -= 1
            self.receiver.deal()

    def _append(self, message: Message) -> None:
        self.over = self.over or isinstance(message.header, EndStream)
        if self.shed is not None:
            message, self.shed = _telling(message, self.shed), None
        self.rows.extend(_rows(message))


class _Cut:
    """What belongs to a checkpoint of several inputs: it is whole when all have passed it."""

    def __init__(
        self,
        barrier: int,
        inputs: Sequence[_Input],
        kept: Callable[[list[QueueCount], Pending], None],
    ) -> None:
        self._barrier, self._inputs, self._kept = barrier, inputs, kept
        self._pending: Pending = [[_encoded(row) for row in each.rows] for each in inputs]
        self._counts: dict[int, QueueCount] = {}
        self._told = False
        if len(inputs) == 1:  # it comes in order, behind all that there was
            inputs[0].barrier = barrier
        self.look()

    def came(self, source: _Input, message: Message) -> None:
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


def _telling(message: Message, shed: Shed) -> Message:
    """Return a message that also tells what another would have told of overload."""
    header = message.header
    shed = shed if header.shed is None else header.shed + shed
    return Message(msgspec.structs.replace(header, shed=shed), message.array)


def _together(said: Sequence[Message]) -> Message:
    """Return what several inputs say as one."""
    message = said[0]
    for other in said[1:]:
        if other.header.shed is not None:
            message = _telling(message, other.header.shed)
    return message


def _encoded(message: Message) -> tuple[bytes, bytes]:
    header, buffer = encode(message)
    return header, bytes(buffer)


def _is_over(group: "Sequence[_Input]") -> bool:
    return all(each.rows and isinstance(each.rows[0].header, EndStream) for each in group)


def _groups(origins: Sequence[frozenset[str]], live: frozenset[str]) -> list[list[int]]:
    """Return which inputs are merged: those that share a source, and all that are of none live."""
    groups: list[set[int]] = []
    for k, sources in enumerate(origins):
        related = [group for group in groups if any(sources & origins[one] for one in group)]
        groups = [*(group for group in groups if group not in related), {k}.union(*related)]
    alone = [group for group in groups if any(live & origins[k] for k in group)]
    others = set[int]().union(*(group for group in groups if group not in alone))
    return [sorted(group) for group in (*alone, others) if group]


def _relatives(k: int, origins: Sequence[frozenset[str]]) -> frozenset[int]:
    return frozenset(
        other for other, sources in enumerate(origins) if other != k and sources & origins[k]
    )


def _time(header: Header) -> int:
    return header.t_last_us if isinstance(header, Data) else 0


def _rows(message: Message) -> Iterator[Message]:
    """Cut predictions into rows; other data pass whole."""
    header = message.header
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
