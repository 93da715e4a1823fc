"""A reader's packets, whatever their sizes, gathered into chunks of one size for the stream."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EventArray, concatenate_events
from stages.counts import Counts, add_counts
from stages.formats.reader import Position, Reader

__all__ = ["Chunk", "Chunks", "From"]


class From(Protocol):
    """Where to begin, and what was counted before."""

    @property
    def position(self) -> Position:
        """Of the packet to begin with."""
        ...

    @property
    def offset(self) -> int:
        """Events of it to skip."""
        ...

    @property
    def shift_us(self) -> int:
        """What to add to the events' times."""
        ...

    @property
    def reached_us(self) -> int | None:
        """Latest time before, shifted."""
        ...

    @property
    def refused(self) -> Counts:
        """Events refused before, by reason."""
        ...

    @property
    def notes(self) -> Counts:
        """What else was found before, by kind."""
        ...


class Chunk(NamedTuple):
    """Consecutive events, at least one, and the place of the first of them."""

    events: EventArray
    position: Position
    """Of the packet that it lies in."""
    offset: int
    """How many events of that packet come before it."""
    refused: Counts
    """Events refused in front of ``position``, by reason."""
    notes: Counts
    """What else was found in front of ``position``, by kind."""
    reached_us: int
    """Latest time before the chunk; that of its first event where there is none."""


class Chunks:
    """Gathers packets into chunks of exactly ``size`` events; the last may be shorter.

    Args:
        reader: whose packets.
        begin: where to begin.
        size: events in a chunk.
        span_us: first time to play and first not to play, as they stand in the recording; None
            for no limit. Events outside are not counted.
    """

    def __init__(
        self,
        reader: Reader,
        begin: From,
        size: int,
        span_us: tuple[int, int | None] | None = None,
    ) -> None:
        self._reader = reader
        self._begin = begin
        self._size = size
        self._span_us = span_us
        self._reached_us = begin.reached_us

    @property
    def refused(self) -> Counts:
        """Events refused so far, by reason."""
        return add_counts(self._begin.refused, self._reader.refused)

    @property
    def notes(self) -> Counts:
        """What else was found so far, by kind."""
        return add_counts(self._begin.notes, self._reader.notes)

    def __iter__(self) -> Iterator[Chunk]:
        pending: list[EventArray] = []
        held, skip, position = 0, self._begin.offset, self._begin.position
        refused, notes = self._begin.refused, self._begin.notes
        place = (position, skip, refused, notes)
        damage: RecordingError | None = None
        packets = self._reader.packets(position)
        while True:
            try:
                packet = next(packets, None)
            except RecordingError as error:
                damage, packet = error, None
            if packet is None:
                break
            events, over = self._wanted(packet.events)
            used = min(skip, len(events))
            skip -= used
            while used < len(events):
                if not held:
                    place = (position, used, refused, notes)
                part = events[used : used + self._size - held]
                pending.append(part)
                used, held = used + len(part), held + len(part)
                if held == self._size:
                    yield self._chunk(pending, place)
                    pending, held = [], 0
            position, refused, notes = packet.position, self.refused, self.notes
            if over:
                break
        if held:
            yield self._chunk(pending, place)
        if damage is not None:
            raise damage

    def _chunk(
        self, pending: list[EventArray], place: tuple[Position, int, Counts, Counts]
    ) -> Chunk:
        events = concatenate_events(pending)
        if self._begin.shift_us:
            events = events.copy()
            events["t"] += self._begin.shift_us
        reached_us = int(events["t"][0]) if self._reached_us is None else self._reached_us
        self._reached_us = max(reached_us, int(events["t"].max()))
        return Chunk(events, *place, reached_us)

    def _wanted(self, events: EventArray) -> tuple[EventArray, bool]:
        """Return the events within the span, and whether the recording has left it behind."""
        if self._span_us is None or not len(events):
            return events, False
        first_us, end_us = self._span_us
        times = events["t"]
        over = end_us is not None and bool(times[-1] >= end_us)
        inside = times >= first_us
        if end_us is not None:
            inside &= times < end_us
        if inside.all():
            return events, over
        words = events.view(np.int64).reshape(-1, 2)[inside]
        return words.view(events.dtype).reshape(-1), over
