"""Replay of recordings: the source that reads files.

The state is the place in the recording, so a replay resumes where a checkpoint left it. When the
replay is paced the events leave in slices of one millisecond, each when its end is due, as a camera
would hand them out; the watermark then tells the stages behind how far time has come.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import PipelineError, RecordingError
from pipeline.events import EventArray, concatenate_events
from pipeline.messages import EndRecording, Events, Message, Start, control, data
from pipeline.ports import EventsPort
from pipeline.stage import Account, Played, PortError, Source
from stages.formats import open_recording
from stages.formats.policies import Policies
from stages.formats.reader import BEGINNING, Position, Reader

__all__ = ["Replay", "ReplayConfig", "ReplayState"]

_SLICE_S = 0.001

Counts: TypeAlias = tuple[tuple[str, int], ...]


class ReplayConfig(Policies):
    """Options of `replay`."""

    path: FilePath
    """The recording."""
    speed: float = Field(0.0, ge=0, allow_inf_nan=False)
    """1 is real time, 2 twice as fast, 0 as fast as the pipeline can."""
    batch_events: int = Field(16_384, ge=1, le=16_777_216)
    """Events in a message, at most; it never changes the result."""


class ReplayState(NamedTuple):
    """Where the replay is: ``offset`` events behind the start of the packet at ``position``."""

    position: Position
    offset: int
    sent: int
    """Events sent in all."""
    refused: Counts
    """Events refused in front of ``position``, by reason."""
    flaws: Counts
    """What else the reader found wrong in front of ``position``, by kind."""
    declared: int | None
    """Events that the file itself says it holds, once it was played to its end."""
    phase: str
    """``before``, ``within`` or ``after`` the recording."""


class _Chunk(NamedTuple):
    """Consecutive events, and the place of the first of them as in `ReplayState`."""

    events: EventArray
    position: Position
    offset: int
    refused: Counts
    flaws: Counts


class Replay(Source[ReplayConfig, ReplayState]):
    """Play a recording: as fast as possible, in real time, or at any speed."""

    Config = ReplayConfig

    def port(self) -> EventsPort:
        """Look into the recording's header for the sensor size."""
        try:
            with self._reader() as reader:
                return EventsPort(reader.width, reader.height)
        except PipelineError as error:
            raise PortError("path", str(error)) from None

    @property
    def speed(self) -> float:
        """How many times faster than recorded to play; 0 is as fast as possible."""
        return self.config.speed

    def initial_state(self) -> ReplayState:
        """Return the place before the recording."""
        return ReplayState(BEGINNING, 0, 0, (), (), None, "before")

    def play(self, state: ReplayState) -> Iterator[Played[ReplayState]]:
        """Yield the recording from ``state`` on."""
        if state.phase == "after":
            return
        with self._reader() as reader:
            gathered = _Chunks(reader, state, self.config.batch_events)
            chunks = iter(gathered)
            chunk, damage = _next(chunks)
            if state.phase == "before":
                state = state._replace(phase="within")
                yield Played([self._start(reader, chunk)], state)
            while chunk is not None:
                following, damage = _next(chunks)
                for begin, end, watermark_us, due_us in self._slices(chunk, following):
                    state = ReplayState(
                        position=chunk.position,
                        offset=chunk.offset + end,
                        sent=state.sent + end - begin,
                        refused=chunk.refused,
                        flaws=chunk.flaws,
                        declared=None,
                        phase="within",
                    )
                    message = self._message(chunk.events[begin:end], watermark_us)
                    yield Played([message], state, due_us)
                chunk = following
            state = state._replace(
                refused=gathered.refused,
                flaws=gathered.flaws,
                declared=reader.event_count if damage is None else None,
                phase="after",
            )
            yield Played([control(EndRecording(stream=self.name))], state)
            if damage is not None:
                raise damage

    def account(self, state: ReplayState) -> Account:
        """Return events read, sent and refused; the file's own count is held against them."""
        refused, flaws = dict(state.refused), dict(state.flaws)
        if state.declared is not None and "damaged bytes" in flaws:
            refused["in damaged packets"] = state.declared - state.sent - sum(refused.values())
        total = sum(refused.values())
        return Account(
            taken=state.sent + total,
            used=state.sent,
            made=state.sent,
            unit_in="events",
            unit_out="events",
            refused=refused,
            due=None if state.declared is None else state.declared - total,
            notes=flaws,
        )

    def _reader(self) -> Reader:
        return open_recording(self.config.path, self.config)

    def _start(self, reader: Reader, chunk: _Chunk | None) -> Message:
        first_us = None if chunk is None else int(chunk.events["t"][0])
        return control(
            Start(
                stream=self.name,
                width=reader.width,
                height=reader.height,
                source=str(self.config.path),
                t_first_us=first_us,
            )
        )

    def _message(self, events: EventArray, watermark_us: int) -> Message:
        first_us, last_us = watermark_us, watermark_us
        if len(events):
            first_us, last_us = int(events["t"][0]), int(events["t"][-1])
        return data(
            Events,
            events,
            stream=self.name,
            t_first_us=first_us,
            t_last_us=last_us,
            watermark_us=watermark_us,
        )

    def _slices(
        self, chunk: _Chunk, following: _Chunk | None
    ) -> Iterator[tuple[int, int, int, int | None]]:
        """Cut a chunk by time when paced; yield begin, end, watermark, due time."""
        # Time may go back; how far it has come is its running maximum.
        reached = np.maximum.accumulate(chunk.events["t"])
        last_us = int(reached[-1])
        if self.config.speed == 0:
            yield 0, len(reached), last_us, None
            return
        slice_us = max(1, round(1e6 * _SLICE_S * self.config.speed))
        # Nothing comes before the next event; behind the last one time stops.
        until_us = last_us if following is None else max(last_us, int(following.events["t"][0]))
        begin, edge_us = 0, (int(reached[0]) // slice_us + 1) * slice_us
        while edge_us <= until_us:
            end = int(np.searchsorted(reached, edge_us))
            yield begin, end, edge_us, edge_us
            begin, edge_us = end, edge_us + slice_us
        yield begin, len(reached), last_us, last_us


def _next(chunks: Iterator[_Chunk]) -> tuple[_Chunk | None, RecordingError | None]:
    """Return the next chunk; damage in the file ends the recording before it ends the run."""
    try:
        return next(chunks, None), None
    except RecordingError as error:
        return None, error


class _Chunks:
    """Gathers packets into chunks of exactly ``size`` events; the last may be shorter."""

    def __init__(self, reader: Reader, state: ReplayState, size: int) -> None:
        self._reader = reader
        self._state = state
        self._size = size

    @property
    def refused(self) -> Counts:
        """Events refused so far, by reason."""
        return _sum(self._state.refused, self._reader.refused)

    @property
    def flaws(self) -> Counts:
        """What else was found wrong so far, by kind."""
        return _sum(self._state.flaws, self._reader.quality)

    def __iter__(self) -> Iterator[_Chunk]:
        pending: list[EventArray] = []
        held, skip, position = 0, self._state.offset, self._state.position
        refused, flaws = self._state.refused, self._state.flaws
        place = (position, skip, refused, flaws)
        damage: RecordingError | None = None
        packets = self._reader.packets(position)
        while True:
            try:
                packet = next(packets, None)
            except RecordingError as error:
                damage, packet = error, None
            if packet is None:
                break
            events = packet.events
            used = min(skip, len(events))
            skip -= used
            while used < len(events):
                if not held:
                    place = (position, used, refused, flaws)
                part = events[used : used + self._size - held]
                pending.append(part)
                used, held = used + len(part), held + len(part)
                if held == self._size:
                    yield _Chunk(concatenate_events(pending), *place)
                    pending, held = [], 0
            position, refused, flaws = packet.position, self.refused, self.flaws
        if held:
            yield _Chunk(concatenate_events(pending), *place)
        if damage is not None:
            raise damage


def _sum(before: Counts, *more: Mapping[str, int]) -> Counts:
    total = Counter(dict(before))
    for counts in more:
        total.update(counts)
    return tuple(sorted(total.items()))
