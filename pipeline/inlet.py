"""Where a stage's messages come from: one queue, or several merged in an order of their own.

The order in which several queues are merged depends on what they hold and never on when it
arrived: data go by the event time of their last row, then by the order of the inputs, a row at a
time so that the cut of the messages does not show; control messages wait until every input has
brought theirs and are delivered once.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import zmq

from pipeline.messages import Data, EndRecording, EndStream, Header, Message, Predictions, Start
from pipeline.queues import Receiver

__all__ = ["messages_from"]

_ENDS: tuple[type[Header], ...] = (EndRecording, EndStream)


def messages_from(
    receivers: Sequence[Receiver], origins: Sequence[frozenset[str]] = ()
) -> Iterator[Message]:
    """Yield the messages of all queues up to the end of the stream, that included.

    Args:
        receivers: the queues.
        origins: for each queue the sources that its stream comes from.

    A message is acknowledged when it has been dealt with. Branches that come from one source are
    the exception, see `_fill`.
    """
    if len(receivers) == 1:
        yield from _single(receivers[0])
    else:
        yield from _merged(receivers, origins or [frozenset()] * len(receivers))


def _single(receiver: Receiver) -> Iterator[Message]:
    while True:
        message = receiver.receive()
        if message is None:
            continue
        yield message
        receiver.deal()
        if isinstance(message.header, EndStream):
            return


def _merged(receivers: Sequence[Receiver], origins: Sequence[frozenset[str]]) -> Iterator[Message]:
    inputs = [
        _Input(receiver, _relatives(k, origins), deque()) for k, receiver in enumerate(receivers)
    ]
    while True:
        _fill(inputs)
        heads = [each.rows[0] for each in inputs]
        data = [k for k, head in enumerate(heads) if not head.is_control]
        if data:
            first = min(data, key=lambda k: (_time(heads[k].header), k))
            yield heads[first]
            inputs[first].take()
            continue
        # An input whose recording or stream is over waits for what the others still have to say.
        kinds = [type(head.header) for head in heads]
        kind = min(kinds, key=lambda kind: _ENDS.index(kind) if kind in _ENDS else -1)
        said = set[str]()
        for each, head in zip(inputs, heads, strict=True):
            if type(head.header) is kind:
                # Each stream starts by itself; everything else is said once for all.
                what = head.header.stream if kind is Start else ""
                if what not in said:
                    yield head
                said.add(what)
                each.take()
        if kind is EndStream:
            return


class _Input(NamedTuple):
    """One of several queues, and what was read from it and not delivered yet."""

    receiver: Receiver
    relatives: frozenset[int]
    """Inputs that share a source with it, itself not included."""
    rows: deque[Message]

    def read(self) -> None:
        message = self.receiver.receive(timeout_ms=0)
        if message is not None:
            self.rows.extend(_rows(message))
            if self.relatives:
                self.receiver.deal()

    def take(self) -> None:
        self.rows.popleft()
        if not self.rows and not self.relatives:
            self.receiver.deal()


def _relatives(k: int, origins: Sequence[frozenset[str]]) -> frozenset[int]:
    return frozenset(
        other for other, sources in enumerate(origins) if other != k and sources & origins[k]
    )


def _fill(inputs: Sequence[_Input]) -> None:
    """Read until every input has a message at hand.

    An input that shares a source with an empty one is read ahead and acknowledged at once: it
    would otherwise block that source, and with it the branch that is waited for. What is read
    ahead is bounded by how far the branches lie apart. Inputs of other sources wait in their
    queues, which holds those sources back.
    """
    while empty := [k for k, each in enumerate(inputs) if not each.rows]:
        poller = zmq.Poller()
        wanted = {k for k, each in enumerate(inputs) if k in empty or each.relatives & set(empty)}
        for k in wanted:
            poller.register(inputs[k].receiver.socket, zmq.POLLIN)
        ready = dict(poller.poll())
        for k in sorted(wanted):
            if inputs[k].receiver.socket in ready:
                inputs[k].read()


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
        )
        yield Message(one, row)
