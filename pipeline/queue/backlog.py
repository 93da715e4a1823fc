"""What waits before a queue whose receiver is too slow, and what is given up of it.

A queue that may shed never lets its receiver have more than a few messages; the others wait here,
at the sender, where they can still be thinned, merged or dropped. Control messages never are, and
everything keeps its order.

What was given up is told with the message that comes next: to the receiver's ledger as a `Loss`, so
that both ends count the same at every point of the stream, and to the stages behind as a `Shed`.
"""

from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from pipeline.events import concatenate_events
from pipeline.messages import (
    Data,
    Events,
    Message,
    Predictions,
    Shed,
    data,
)
from pipeline.queue.coarsen import join, split

__all__ = ["BLOCK", "NO_LOSS", "Backlog", "Loss", "Policy", "Waiting", "WhenFull"]

WhenFull: TypeAlias = Literal["block", "drop_oldest", "drop_newest", "thin"]
_MOST_HALVINGS = 10
_MOST_CONTROL = 64


class Policy(NamedTuple):
    """What a queue does while its receiver is too slow."""

    when_full: WhenFull = "block"
    """``block``: the sender waits; ``drop_oldest`` and ``drop_newest``: a message is given up;
    ``thin``: of the events of a message that finds n waiting one in 2ⁿ stays, and when there is no
    room two messages become one with every other of their events, so that no stretch of time is
    left without any. Other data are dropped, the oldest first."""
    every: int = 1
    """Of all events one in so many stays, also while nothing waits."""
    merge: int = 1
    """So many windows that wait may become one."""
    room: int | None = None
    """Messages of data that may wait; None: as many as the queue has room for."""


BLOCK = Policy()


class Loss(NamedTuple):
    """What a queue gave up."""

    messages: int = 0
    dropped: int = 0
    """Units: events, windows or predictions; likewise below."""
    thinned: int = 0
    merged: int = 0

    def __add__(self, other: object) -> "Loss":
        """Return both together."""
        assert isinstance(other, Loss)
        return Loss(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def units(self) -> int:
        """Units in all."""
        return self.dropped + self.thinned + self.merged

    def by_reason(self) -> dict[str, int]:
        """Return the units, by why they were given up; what did not happen is left out."""
        reasons = {"dropped": self.dropped, "thinned": self.thinned, "merged": self.merged}
        return {reason: units for reason, units in reasons.items() if units}


NO_LOSS = Loss()


class Waiting(NamedTuple):
    """A message that waits."""

    message: Message
    loss: Loss = NO_LOSS
    """What was given up before it or out of it."""
    shed: Shed = Shed()
    """The same for the stages behind; what the stages before it have lost is in its header."""

    @property
    def stamped(self) -> Message:
        """The message with all that was shed in its header."""
        header = self.message.header
        if self.shed == Shed():
            return self.message
        shed = self.shed if header.shed is None else self.shed + header.shed
        return Message(msgspec.structs.replace(header, shed=shed), self.message.array)


class Backlog:
    """Messages that wait, oldest first.

    Args:
        policy: asked for each message, since the level of overload may have changed.
        room: messages of data that may wait.
        counts: whether frames are counts, which can be merged.
        steered: whether it is overload's ladder that makes it give something up.

    Attributes:
        lost: all that was given up.
        pressed: what was given up because something waited, in units.
    """

    def __init__(
        self,
        policy: Callable[[], Policy],
        room: int,
        counts: bool = False,
        steered: bool = False,
    ) -> None:
        self._policy, self._room, self._counts = policy, room, counts
        self._waiting = deque[Waiting]()
        self._data = 0
        self._events = 0
        """Events so far, of which each so many-th stays."""
        self._loss, self._shed = NO_LOSS, Shed()
        """What is to be told with the next message."""
        self.lost = NO_LOSS
        self.steered, self.pressed = steered, 0

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._waiting)

    def parts(self, message: Message) -> list[Message]:
        """Return what is to be added one after the other for a message.

        Where windows are merged and dropped, a run of many goes as a message each: to be given up,
        or not, as one it would be too much.
        """
        policy = self._policy()
        cut = self._counts and policy.merge > 1 and policy.when_full != "block"
        return split(message) if cut else [message]

    def add(self, message: Message) -> bool:
        """Take in a message; return whether there was room for it or could be made.

        Where there was none the queue is to be asked again once something has left it.
        """
        policy = self._policy()
        if not isinstance(message.header, Data):
            if len(self._waiting) >= self._room + _MOST_CONTROL:
                return False
            self._append(message)
            return True
        header = message.header
        if policy.merge > 1 and self._merge(message, policy.merge):
            return True
        room = self._room if policy.room is None else policy.room
        full = self._data >= room
        if full and policy.when_full == "block":
            return False
        if full and policy.when_full == "drop_newest":
            self._lose(Waiting(message), Loss(1, header.units))
            return True
        every = policy.every
        if policy.when_full == "thin":
            every *= 2 ** min(self._data, _MOST_HALVINGS)
        kept = self._thinned(message, every)
        if every > policy.every:
            self.pressed += header.units - len(kept.array)
        self._append(kept)
        self._data += 1
        while self._data > room and policy.when_full != "block":
            if policy.when_full != "thin" or not self._thin_two():
                self._drop_oldest()
        return True

    def first(self) -> Waiting | None:
        """Return the oldest message, None if none waits."""
        return self._waiting[0] if self._waiting else None

    def take(self) -> Waiting:
        """Take the oldest message out."""
        taken = self._waiting.popleft()
        self._data -= isinstance(taken.message.header, Data)
        return taken

    def _append(self, message: Message) -> None:
        self._waiting.append(Waiting(message, self._loss, self._shed))
        self._loss, self._shed = NO_LOSS, Shed()

    def _lose(self, waiting: Waiting, loss: Loss) -> None:
        """Let a message go; what it would have told is told with the one that comes next."""
        self.pressed += loss.units
        self._loss += waiting.loss
        self._shed += waiting.shed
        self._give_up(loss, waiting.message)

    def _give_up(self, loss: Loss, message: Message) -> None:
        """Take note of a loss of which the next message tells, and of what ``message`` told."""
        self.lost += loss
        self._loss += loss
        self._shed += _shed(message, loss)
        if message.header.shed is not None:
            self._shed += message.header.shed

    def _drop_oldest(self) -> None:
        place = next(k for k, w in enumerate(self._waiting) if isinstance(w.message.header, Data))
        oldest = self._waiting[place]
        header = oldest.message.header
        assert isinstance(header, Data)
        del self._waiting[place]
        self._data -= 1
        told, self._loss, self._shed = (self._loss, self._shed), NO_LOSS, Shed()
        self._lose(oldest, Loss(1, header.units))
        behind = self._waiting[place]
        self._waiting[place] = behind._replace(
            loss=self._loss + behind.loss, shed=self._shed + behind.shed
        )
        self._loss, self._shed = told

    def _thin_two(self) -> bool:
        """Make one of the two oldest messages of events that stand together; False: none do."""
        for place in range(len(self._waiting) - 1):
            first, second = self._waiting[place], self._waiting[place + 1]
            a, b = first.message.header, second.message.header
            if not isinstance(a, Events) or not isinstance(b, Events):
                continue
            if (a.stream, a.epoch) != (b.stream, b.epoch):
                continue
            both = concatenate_events([first.message.array, second.message.array])
            kept = both[::2].copy()
            header = msgspec.structs.replace(
                a,
                shape=kept.shape,
                t_last_us=b.t_last_us,
                watermark_us=max(a.watermark_us, b.watermark_us),
                shed=None,
            )
            loss = Loss(1, thinned=len(both) - len(kept))
            self.lost += loss
            self.pressed += loss.units
            shed = first.shed + second.shed + Shed(events=loss.thinned)
            for told in (a.shed, b.shed):
                shed = shed if told is None else shed + told
            self._waiting[place] = Waiting(
                Message(header, kept), first.loss + second.loss + loss, shed
            )
            del self._waiting[place + 1]
            self._data -= 1
            return True
        return False

    def _thinned(self, message: Message, every: int) -> Message:
        """Keep each ``every``-th event, counted from the first of all."""
        header = message.header
        if not isinstance(header, Events):
            return message
        begin = -self._events % every
        self._events += header.units
        if every == 1:
            return message
        kept = data(
            Events,
            message.array[begin::every],
            stream=header.stream,
            epoch=header.epoch,
            t_first_us=header.t_first_us,
            t_last_us=header.t_last_us,
            watermark_us=header.watermark_us,
        )
        loss = Loss(thinned=header.units - len(kept.array))
        self.lost += loss
        self._loss += loss
        self._shed += _shed(message, loss)
        stamps = {"seq": header.seq, "born_ns": header.born_ns, "shed": header.shed}
        return Message(msgspec.structs.replace(kept.header, **stamps), kept.array, message.output)

    def _merge(self, message: Message, most: int) -> bool:
        """Merge a message's windows into those of the last that waits, if they can be."""
        if not self._counts or not self._waiting:
            return False
        last = self._waiting[-1]
        joined = join(last.message, message, most)
        if joined is None:
            return False
        before, header = last.message.header, message.header
        assert isinstance(before, Data)
        assert isinstance(header, Data)
        loss = Loss(1, merged=before.units + header.units - len(joined.array))
        self.lost += loss
        self.pressed += loss.units
        shed = last.shed + Shed(merged=loss.merged)
        for told in (before.shed, header.shed):
            shed = shed if told is None else shed + told
        self._waiting[-1] = Waiting(joined, last.loss + loss, shed)
        return True


def _shed(message: Message, loss: Loss) -> Shed:
    """Return what the stages behind are told of a loss of this kind of data."""
    lost = loss.dropped + loss.thinned
    if isinstance(message.header, Events):
        return Shed(events=lost)
    if isinstance(message.header, Predictions):
        return Shed(predictions=lost)
    return Shed(windows=lost, merged=loss.merged)
