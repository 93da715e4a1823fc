"""Where a stage's messages come from: one queue, or several merged in an order of their own.

The order in which several queues are merged depends on what they hold and never on when it
arrived: data go by the event time of their last row since the start of their recording, then by the
order of the inputs, a row at a time so that the cut of the messages does not show. Control messages
are delivered once for each stream. It starts and is reset when all inputs that bring it have said
so; a recording's end waits for the data of all others, so that the next recordings begin together.

Live sources are the exception. Each device has a clock of its own, so their times say nothing of an
order, and one may be silent or gone for as long as it likes. So inputs that come from different
sources, one of which is live, wait for each other in nothing: each is delivered as it comes.

Where a stage takes data of several streams at once (`pipeline.stage.Together`), what would be next
of each goes as one turn, a window of each at most, in the same order. Recordings decide by their
times alone which windows go together. Of live sources those go that are there: each has its window
in a turn before anybody has a second one, and is waited for until somebody else has it.

Barriers of checkpoints wait for nobody, since that would change the order. The first of a
checkpoint that comes in, from whatever input, is delivered at once, before what is waiting; what
waits, and what the other inputs bring until their own barrier, belongs to the checkpoint (Chandy
and Lamport 1985). An input that is over has passed all barriers.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import zmq

from pipeline.messages import (
    Barrier,
    Data,
    EndStream,
    Message,
    Start,
)
from pipeline.queue.control_order import ahead, behind
from pipeline.queue.intake import Cut, Input, Pending, telling
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender, wait_for
from pipeline.report import QueueCount
from pipeline.stage import Together

__all__ = ["Inlet"]


class Inlet:
    """The messages of all queues up to the end of the stream, that included.

    Args:
        receivers: the queues.
        origins: for each queue the sources that its stream comes from.
        pending: what a checkpoint kept of what was on its way, when the run goes on from one.
        live: the sources that are live.
        senders: what waits before them goes on while there is nothing to take.
        together: how many streams' data go as one turn; None: one after the other.
        starts: of the recordings that were open when the checkpoint was made.
    """

    def __init__(
        self,
        receivers: Sequence[Receiver],
        origins: Sequence[frozenset[str]] = (),
        pending: Pending | None = None,
        live: frozenset[str] = frozenset(),
        senders: Sequence[Sender] = (),
        together: Together | None = None,
        starts: Sequence[Start] = (),
    ) -> None:
        self._senders, self._together = senders, together
        self._began_us = {start.stream: start.t_first_us or 0 for start in starts}
        """Of each stream's recording."""
        self._turns_from = 0
        """The group that is first in the next turn of live sources."""
        origins = origins or [frozenset()] * len(receivers)
        self._inputs = [
            Input(receiver, _relatives(k, origins), origins[k])
            for k, receiver in enumerate(receivers)
        ]
        for each, encoded in zip(self._inputs, pending or [], strict=False):
            each.restore(encoded)
        self._groups = [[self._inputs[k] for k in group] for group in _groups(origins, live)]
        self._cut: Cut | None = None

    def messages(self) -> Iterator[Message]:
        """Yield the messages.

        A message is acknowledged when it has been dealt with. Branches that come from one source
        are the exception, see `_fill`.
        """
        return self._single() if len(self._inputs) == 1 else self._merged()

    def turns(self) -> Iterator[Sequence[Message]]:
        """Yield the messages in turns; only data of different streams are ever in one turn."""
        if self._together is None or len(self._inputs) == 1:
            return ([message] for message in self.messages())
        return self._in_turns(self._together)

    def cut(self, barrier: int, kept: Callable[[list[QueueCount], Pending], None]) -> None:
        """Gather what belongs to a checkpoint, whose barrier was just delivered.

        Args:
            barrier: the checkpoint.
            kept: called once, when every input has passed the barrier, with what had come through
                each queue by then and what of it is still to be delivered.
        """
        self._cut = Cut(barrier, self._inputs, kept)

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
        yield from self._end()

    def _in_turns(self, together: Together) -> Iterator[Sequence[Message]]:
        until_s: float | None = None
        while going := [group for group in self._groups if not _is_over(group)]:
            ready = [group for group in going if all(each.rows for each in group)]
            missing = [group for group in going if group not in ready]
            told = [group for group in ready if ahead(group) or not any(map(_holds_data, group))]
            for group in told:
                yield from ([message] for message in self._next(group))
            if told:
                continue
            if not ready:
                yield from ([message] for message in self._fill(missing))
                continue
            if missing:
                # Who has something is read even where the turn is full, or it might never be.
                until_s = until_s or time.monotonic() + together.wait_s
                left_s = until_s - time.monotonic() if len(ready) < together.most else 0.0
                wait_ms = max(0, round(left_s * 1000))
                yield from ([message] for message in self._fill(missing, wait_ms, ready))
                if any(all(each.rows for each in group) for group in missing):
                    continue
            until_s = None
            chosen = self._chosen(ready, together)
            yield [each.rows[0] for each in chosen]
            for each in chosen:
                each.take()
        yield from ([message] for message in self._end())

    def _chosen(self, ready: "Sequence[list[Input]]", together: Together) -> "list[Input]":
        """Return the inputs whose next data go as one turn, at most one of each stream."""
        first = self._turns_from
        groups = sorted(enumerate(self._groups), key=lambda pair: pair[0] < first)
        chosen: list[Input] = []
        for number, group in groups:
            if group not in ready:
                continue
            data = sorted(
                (self._time(each), k) for k, each in enumerate(group) if _holds_data(each)
            )
            until_us = data[0][0] + max(1, together.spacing_us)
            streams = set[str]()
            for at_us, k in data:
                stream = group[k].rows[0].header.stream
                if len(chosen) == together.most or at_us >= until_us or stream in streams:
                    break  # nobody overtakes who cannot go
                streams.add(stream)
                chosen.append(group[k])
                self._turns_from = (number + 1) % len(groups)
        return chosen

    def _end(self) -> Iterator[Message]:
        """Deliver the end of all streams."""
        yield _together([each.rows[0] for each in self._inputs])
        for each in self._inputs:
            each.take()

    def _next(self, group: "Sequence[Input]") -> Iterator[Message]:
        """Deliver what is next of inputs that each have a message at hand."""
        said = ahead(group)
        if not said:
            data = [(self._time(each), k) for k, each in enumerate(group) if _holds_data(each)]
            said = [[group[min(data)[1]]]] if data else behind(group)
        for sayers in said:
            header = sayers[0].rows[0].header
            if isinstance(header, Start):
                self._began_us[header.stream] = header.t_first_us or 0
            yield _together([each.rows[0] for each in sayers])
            for each in sayers:
                each.take()

    def _time(self, source: "Input") -> int:
        """Return how long after the start of its recording the data end that are next, in µs."""
        header = source.rows[0].header
        assert isinstance(header, Data)
        return header.t_last_us - self._began_us.get(header.stream, 0)

    def _fill(
        self,
        groups: "Sequence[Sequence[Input]]",
        wait_ms: int | None = None,
        ready: "Sequence[Sequence[Input]]" = (),
    ) -> Iterator[Message]:
        """Read what comes first of what these groups wait for; yield the barriers that come in.

        ``wait_ms``: for how long at most, where nothing comes. ``ready``: the groups that wait with
        it; when one of them has more, no longer, or a silent one would slow all others down.

        An input that shares a source with an empty one is read ahead and acknowledged at once: it
        would otherwise block that source, and with it the branch that is waited for. What is read
        ahead is bounded by how far the branches lie apart. Inputs of other sources wait in their
        queues, which holds those sources back.
        """
        inputs = self._inputs
        empty = {inputs.index(each) for group in groups for each in group if not each.rows}
        wanted = [k for k, each in enumerate(inputs) if k in empty or each.relatives & empty]
        sockets = [inputs[k].receiver.socket for k in wanted]
        if wait_ms is None:
            wait_for(sockets, self._senders)
        poller = zmq.Poller()
        hurried = [each.receiver.socket for group in ready for each in group] if wait_ms else []
        for socket in [*sockets, *hurried]:
            poller.register(socket, zmq.POLLIN)
        readable = dict(poller.poll(wait_ms))
        for k in wanted:
            if inputs[k].receiver.socket in readable:
                yield from self._read(inputs[k])

    def _read(self, source: "Input") -> Iterator[Message]:
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


def _together(said: Sequence[Message]) -> Message:
    """Return what several inputs say as one."""
    message = said[0]
    for other in said[1:]:
        if other.header.shed is not None:
            message = telling(message, other.header.shed)
    return message


def _is_over(group: "Sequence[Input]") -> bool:
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


def _holds_data(source: "Input") -> bool:
    return isinstance(source.rows[0].header, Data)
