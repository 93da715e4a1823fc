"""A reader's packets, whatever their sizes, gathered into chunks of one size for the stream.

Each event is copied once here, from the memory that the reader decodes into to that which goes to
another core; see `chunks_kernel` for why.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT, EventArray, empty_events
from stages.counts import Counts, add_counts
from stages.formats.reader import Position, Reader
from stages.pool import Pool

__all__ = ["Chunk", "Chunks", "From"]

_MOST_CHUNKS = 16
"""That are under way at a time, in a queue of the usual length and in front of it."""


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
        from stages.sources.chunks_kernel import hand_over

        pool, chunk, held = Pool(_MOST_CHUNKS), empty_events(), 0
        skip, position = self._begin.offset, self._begin.position
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
                    chunk = pool.empty((self._size,), EVENT)
                count = min(self._size - held, len(events) - used)
                hand_over(events.view(np.int64), used, count, chunk.view(np.int64), held)
                used, held = used + count, held + count
                if held == self._size:
                    yield self._chunk(chunk, place)
                    held = 0
            position, refused, notes = packet.position, self.refused, self.notes
            if over:
                break
        if held:
            # A few events must not keep a large array. (A copy of `EVENT` skips its padding.)
            yield self._chunk(chunk[:held].view(np.int64).copy().view(EVENT), place)
        if damage is not None:
            raise damage

    def _chunk(self, events: EventArray, place: tuple[Position, int, Counts, Counts]) -> Chunk:
        times = events["t"]
        if self._begin.shift_us:
            times += self._begin.shift_us
        # Times that do not go back, as a rule, have their latest at the end.
        last_us = times.max() if self._reader.policies.on_time_back == "keep" else times[-1]
        reached_us = int(times[0]) if self._reached_us is None else self._reached_us
        self._reached_us = max(reached_us, int(last_us))
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
        kept: EventArray = events.view(np.int64).reshape(-1, 2)[inside].view(EVENT).reshape(-1)
        kept.setflags(write=False)  # as those of a packet are: the kernel is compiled for these
        return kept, over
