"""Where a stage's messages come from: one queue, or several merged in an order of their own.

The order in which several queues are merged depends on what they hold and never on when it
arrived: data go by the event time of their last row, then by the order of the inputs, a row at a
time so that the cut of the messages does not show; control messages wait until every input has
brought theirs and are delivered once.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec
import zmq

from pipeline.messages import Data, EndRecording, EndStream, Header, Message, Predictions
from pipeline.queues import Receiver

__all__ = ["messages_from"]

_ENDS: tuple[type[Header], ...] = (EndRecording, EndStream)


def messages_from(receivers: Sequence[Receiver]) -> Iterator[Message]:
    """Yield the messages of all queues up to the end of the stream, that included.

    Messages of a single queue are acknowledged when the next one is asked for.
    """
    if len(receivers) == 1:
        yield from _single(receivers[0])
    else:
        yield from _merged(receivers)


def _single(receiver: Receiver) -> Iterator[Message]:
    while True:
        message = receiver.receive()
        if message is None:
            continue
        yield message
        receiver.deal()
        if isinstance(message.header, EndStream):
            return


def _merged(receivers: Sequence[Receiver]) -> Iterator[Message]:
    waiting: list[deque[Message]] = [deque() for _ in receivers]
    while True:
        _fill(receivers, waiting)
        heads = [rows[0] for rows in waiting]
        data = [k for k, head in enumerate(heads) if not head.is_control]
        if data:
            first = min(data, key=lambda k: (_time(heads[k].header), k))
            yield waiting[first].popleft()
            continue
        # An input whose recording or stream is over waits for what the others still have to say.
        kinds = [type(head.header) for head in heads]
        kind = min(kinds, key=lambda kind: _ENDS.index(kind) if kind in _ENDS else -1)
        first = kinds.index(kind)
        for k, rows in enumerate(waiting):
            if kinds[k] is kind:
                rows.popleft()
        yield heads[first]
        if kind is EndStream:
            return


def _fill(receivers: Sequence[Receiver], waiting: Sequence[deque[Message]]) -> None:
    """Read until every input has a message at hand.

    All inputs are read meanwhile, not only the empty ones: branches that come from one source
    would otherwise block it, and with it the branch that is waited for. What is read ahead is
    bounded by how far the branches lie apart.
    """
    if all(waiting):
        return
    poller = zmq.Poller()
    for receiver in receivers:
        poller.register(receiver.socket, zmq.POLLIN)
    by_socket = {receiver.socket: k for k, receiver in enumerate(receivers)}
    while not all(waiting):
        for socket, _ in poller.poll():
            k = by_socket[socket]
            message = receivers[k].receive(timeout_ms=0)
            if message is not None:
                waiting[k].extend(_rows(message))
                receivers[k].deal()


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
