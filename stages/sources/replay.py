"""Replay of recordings: the source that reads files.

The state is the place in the recordings, so a replay resumes where a checkpoint left it. When the
replay is paced the events leave in slices of one millisecond, each when its end is due, as a camera
would hand them out; the watermark then tells the stages behind how far time has come.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.config import FilePath, SensorSize
from pipeline.errors import PipelineError, RecordingError
from pipeline.messages import EndRecording, Events, Message, Start, control, data
from pipeline.ports import EventsPort
from pipeline.stage import Account, Played, PortError, Source
from stages.counts import Counts, add_counts
from stages.formats import open_recording
from stages.formats.notes import IN_DAMAGED_PARTS, lost_to_damage
from stages.formats.policies import Policies
from stages.formats.reader import BEGINNING, Position, Reader
from stages.sources.ahead import read_ahead
from stages.sources.chunks import Chunk, Chunks
from stages.sources.playlist import declared_sizes, playlist

__all__ = ["Replay", "ReplayConfig", "ReplayState"]

_SLICE_S = 0.001
_CHUNKS_AHEAD = 2
_LOADED = set[str]()
"""Endings of files that this process has read before, so that what reads them is loaded."""


class ReplayConfig(Policies):
    """Options of `replay`."""

    path: FilePath | list[FilePath]
    """The recording; or a folder, whose recordings are played by name; or a pattern such as
    ``digits/*/*.bin``; or a list of those. Other files of a folder or a pattern are passed over,
    unless their name ends like a recording's."""
    on_error: Literal["raise", "skip"] = "raise"
    """Where one of several recordings cannot be read, or not to its end: ``raise`` ends the run
    when all before it was worked on, ``skip`` goes on with the next one and says so."""
    speed: float = Field(0.0, ge=0, allow_inf_nan=False)
    """1 is real time, 2 twice as fast, 0 as fast as the pipeline can."""
    start_us: int = Field(0, ge=0)
    """Where to start in each recording, counted from its first event, in µs."""
    stop_us: int | None = Field(None, gt=0)
    """Where to stop in each recording, counted from its first event, in µs; that moment itself is
    not played. At its end when left out."""
    loop: int = Field(1, ge=0)
    """How often to play it all; 0 is for ever. From the second time on event times are shifted so
    that they go on behind the last one."""
    join: bool = False
    """Play everything as one long recording: times go on from one to the next, and nothing is
    reset in between. Otherwise each recording, and each time it is played, is an epoch."""
    size: SensorSize | None = None
    """(height, width) of the sensor, for recordings that do not say it or say it wrongly; what
    nothing declares is measured by reading the recording once more."""
    stream: str | None = None
    """Which stream of events to play where a recording has several: its name, camera or topic."""
    batch_events: int = Field(131_072, ge=1, le=16_777_216)
    """Events in a message, at most; it never changes the result."""


class ReplayState(NamedTuple):
    """Where the replay is: ``offset`` events behind the start of the packet at ``position``."""

    turn: int
    """The recording being played, counted through all times that it is played."""
    within: bool
    """Whether it was begun."""
    position: Position
    offset: int
    shift_us: int
    """What is added to its times."""
    reached_us: int | None
    """Latest time sent of this recording, or of all joined to it; None before the first."""
    ended_us: int | None
    """Where the recording before it ended, None for the first."""
    sent: int
    """Events sent in all."""
    refused: Counts
    """Events refused in front of ``position``, by reason."""
    notes: Counts
    """What else the reader found in front of ``position``, by kind."""
    declared: int | None
    """Events that the finished recordings say they hold; None once one does not say it."""


class Replay(Source[ReplayConfig, ReplayState]):
    """Play recordings: as fast as possible, in real time, or at any speed; once or in a loop."""

    Config = ReplayConfig
    free = ("speed", "batch_events")

    def port(self) -> EventsPort:
        """Look into the recordings' headers for the sensor size; None where it must be measured."""
        if self.config.stop_us is not None and self.config.stop_us <= self.config.start_us:
            raise PortError(
                "stop_us",
                f"must be > start_us = {self.config.start_us}, got {self.config.stop_us}",
            )
        if self.config.join and self.config.on_error == "skip":
            raise PortError("on_error", 'must be "raise" where recordings are joined, got "skip"')
        try:
            recordings = playlist(self.config.path)
            sizes = declared_sizes(recordings, self._open, self.config.on_error == "skip")
        except PipelineError as error:
            raise PortError("path", str(error)) from None
        if self.config.join and len(sizes) > 1:
            shown = ", ".join(sorted("?" if one is None else f"{one[1]}×{one[0]}" for one in sizes))
            raise PortError("join", f"sensors of several sizes ({shown}) cannot be joined")
        height, width = (sizes.pop() or (None, None)) if len(sizes) == 1 else (None, None)
        return EventsPort(width, height)

    def imports(self) -> tuple[str, ...]:
        """Return what the kernels that read need."""
        return ("numba",)

    def open(self) -> None:
        """Read a first packet, so that kernels are there before the others wait for events."""
        first = playlist(self.config.path)[0]
        if first.suffix in _LOADED:
            return
        _LOADED.add(first.suffix)
        with suppress(PipelineError), self._open(first) as reader:
            if reader.declared_size is not None:  # measuring it would read the whole recording
                next(iter(Chunks(reader, self.initial_state(), 1)), None)

    @property
    def speed(self) -> float:
        """How many times faster than recorded to play; 0 is as fast as possible."""
        return self.config.speed

    def recordings(self) -> list[Path]:
        """Return the recordings of one time through."""
        return playlist(self.config.path)

    def length_us(self, recording: Path) -> int | None:
        """Return how long a recording is played, where its file says how long it is."""
        if self.config.join:
            return None
        try:
            with self._open(recording) as reader:
                whole_us = reader.length_us()
        except PipelineError:
            return None  # it is told when it is played, or was already
        if whole_us is None:
            return None
        stop_us = self.config.stop_us
        last_us = whole_us if stop_us is None else min(whole_us, stop_us)
        return max(0, last_us - self.config.start_us)

    def initial_state(self) -> ReplayState:
        """Return the place before the first recording."""
        return ReplayState(0, False, BEGINNING, 0, 0, None, None, 0, (), (), 0)

    def play(self, state: ReplayState) -> Iterator[Played[ReplayState]]:
        """Yield the recordings from ``state`` on."""
        paths = playlist(self.config.path)
        turns = self.config.loop * len(paths)
        while not turns or state.turn < turns:
            last = bool(turns) and state.turn == turns - 1
            sent = state.sent
            play = self._play if self.config.on_error == "raise" else self._play_or_skip
            state = yield from play(state, paths, last)
            if not turns and state.turn % len(paths) == 0 and state.sent == sent == 0:
                raise RecordingError(f"{paths[0]}: holds no event to play for ever; set loop = 1")

    def account(self, state: ReplayState) -> Account:
        """Return events read, sent and refused; the files' own counts are held against them."""
        refused, notes = dict(state.refused), dict(state.notes)
        known = state.declared is not None and not state.within
        missing = (state.declared or 0) - state.sent - sum(refused.values())
        if known and (lost := lost_to_damage(missing, notes)):
            refused[IN_DAMAGED_PARTS] = lost
        total = sum(refused.values())
        return Account(
            taken=state.sent + total,
            used=state.sent,
            made=state.sent,
            unit_in="events",
            unit_out="events",
            refused=refused,
            due=(state.declared or 0) - total if known and state.declared else None,
            notes=notes,
        )

    def _open(self, path: Path) -> Reader:
        return open_recording(path, self.config, stream=self.config.stream, size=self.config.size)

    def _play(
        self, state: ReplayState, paths: list[Path], last: bool
    ) -> Generator[Played[ReplayState], None, ReplayState]:
        """Play one recording of the list, from ``state`` on; return the state behind it."""
        with self._open(paths[state.turn % len(paths)]) as reader:
            origin_us = _first_us(reader)
            begins = not state.within and (state.turn == 0 or not self.config.join)
            if not state.within:
                state = self._begin(state, reader, origin_us, state.turn >= len(paths))
            span_us = None
            if origin_us is not None and self._cut:
                stop_us = self.config.stop_us
                end_us = None if stop_us is None else origin_us + stop_us
                span_us = (origin_us + self.config.start_us, end_us)
            begin_us = (origin_us or 0) + self.config.start_us
            chunks = Chunks(reader, state, self.config.batch_events, span_us)
            with closing(read_ahead(iter(chunks), _CHUNKS_AHEAD)) as flow:
                chunk, damage = _next(flow)
                if begins:
                    # Events are at hand now: a clock that runs from here keeps none waiting.
                    yield Played([self._start(state, reader, origin_us, paths)], state)
                while chunk is not None:
                    following, damage = _next(flow)
                    for begin, end, watermark_us, due_us in self._slices(
                        chunk, following, begin_us + state.shift_us
                    ):
                        state = state._replace(
                            position=chunk.position,
                            offset=chunk.offset + end,
                            reached_us=watermark_us,
                            sent=state.sent + end - begin,
                            refused=chunk.refused,
                            notes=chunk.notes,
                        )
                        message = self._message(state, chunk, begin, end)
                        yield Played([message], state, due_us)
                    chunk = following
            ending = self._end_message(state)
            state = self._end(state, reader, chunks, damage)
            if damage is not None and self.config.on_error == "skip":
                state = _noted(state, "recordings cut short")
            if last or damage is not None or not self.config.join:
                yield Played([ending], state)
            if damage is not None:
                raise damage
        return state

    def _play_or_skip(
        self, state: ReplayState, paths: list[Path], last: bool
    ) -> Generator[Played[ReplayState], None, ReplayState]:
        """Play one recording as far as it can be read; return the state behind it."""
        turn = state.turn
        try:
            for played in self._play(state, paths, last):
                state = played.state
                yield played
        except RecordingError as error:
            ending = []
            if state.turn == turn:  # its end was not sent, as damage behind its start would have it
                ending = [self._end_message(state)] if state.within else []
                state = state._replace(
                    turn=turn + 1, within=False, position=BEGINNING, offset=0, declared=None
                )
                state = _noted(state, "recordings skipped")
            yield Played(ending, state, remark=f"{error}; going on with the next recording")
        return state

    @property
    def _cut(self) -> bool:
        return self.config.start_us > 0 or self.config.stop_us is not None

    def _begin(
        self, state: ReplayState, reader: Reader, origin_us: int | None, again: bool
    ) -> ReplayState:
        """Return the state at the start of a recording; ``again``: it was played before."""
        shift_us, position = 0, BEGINNING
        if origin_us is not None:
            begin_us = origin_us + self.config.start_us
            if state.ended_us is not None and (again or (self.config.join and state.turn)):
                shift_us = state.ended_us + 1 - begin_us
            if self.config.start_us:
                position = reader.position_at(begin_us)
        return state._replace(within=True, position=position, offset=0, shift_us=shift_us)

    def _end(
        self,
        state: ReplayState,
        reader: Reader,
        chunks: Chunks,
        damage: RecordingError | None,
    ) -> ReplayState:
        """Return the state behind a recording."""
        declared = None
        known = state.declared is not None and reader.event_count is not None
        if known and damage is None and not self._cut:
            declared = (state.declared or 0) + (reader.event_count or 0)
        return state._replace(
            turn=state.turn + 1,
            within=False,
            position=BEGINNING,
            offset=0,
            # A recording's time is its own, and may lie before that of the one before it.
            reached_us=state.reached_us if self.config.join else None,
            ended_us=state.ended_us if state.reached_us is None else state.reached_us,
            refused=chunks.refused,
            notes=chunks.notes,
            declared=declared,
        )

    def _epoch(self, state: ReplayState) -> int:
        return 0 if self.config.join else state.turn

    def _start(
        self, state: ReplayState, reader: Reader, origin_us: int | None, paths: list[Path]
    ) -> Message:
        first_us, source = None, str(reader.path)
        if self.config.join and len({path.parent for path in paths}) > 1:
            # What the first recording's folder is called says nothing of the others.
            source = os.path.commonpath(paths)
        if origin_us is not None:
            first_us = origin_us + self.config.start_us + state.shift_us
        return control(
            Start(
                stream=self.name,
                epoch=self._epoch(state),
                width=reader.width,
                height=reader.height,
                source=source,
                t_first_us=first_us,
                shift_us=state.shift_us,
            )
        )

    def _end_message(self, state: ReplayState) -> Message:
        return control(EndRecording(stream=self.name, epoch=self._epoch(state)))

    def _message(self, state: ReplayState, chunk: Chunk, begin: int, end: int) -> Message:
        events = chunk.events[begin:end]
        assert state.reached_us is not None
        first_us = last_us = state.reached_us
        if len(events):
            first_us, last_us = int(events["t"][0]), int(events["t"][-1])
        return data(
            Events,
            events,
            stream=self.name,
            epoch=self._epoch(state),
            t_first_us=first_us,
            t_last_us=last_us,
            watermark_us=state.reached_us,
        )

    def _slices(
        self, chunk: Chunk, following: Chunk | None, begin_us: int
    ) -> Iterator[tuple[int, int, int, int | None]]:
        """Cut a chunk by time when paced; yield begin, end, watermark, due time.

        Slices are counted from the recording's begin, as windows are: one that is some milliseconds
        long ends with a slice, and is known to be over as soon as it is.
        """
        times = chunk.events["t"]
        if self.config.on_time_back == "keep":
            # How far time has come is its running maximum.
            times = np.maximum.accumulate(times)
        last_us = max(chunk.reached_us, int(times[-1]))
        if self.config.speed == 0:
            yield 0, len(times), last_us, None
            return
        slice_us = max(1, round(1e6 * _SLICE_S * self.config.speed))
        # Nothing comes before the next event; behind the last one time stops.
        until_us = last_us if following is None else max(last_us, int(following.events["t"][0]))
        begin, edge_us = 0, int(times[0]) + slice_us - (int(times[0]) - begin_us) % slice_us
        while edge_us <= until_us:
            end = int(np.searchsorted(times, edge_us))
            yield begin, end, max(chunk.reached_us, edge_us), edge_us
            begin, edge_us = end, edge_us + slice_us
        yield begin, len(times), last_us, last_us


def _noted(state: ReplayState, what: str) -> ReplayState:
    return state._replace(notes=add_counts(state.notes, {what: 1}))


def _first_us(reader: Reader) -> int | None:
    """Return the time of the first event that the reader delivers, None where there is none."""
    try:
        for events, _ in reader.packets():
            if len(events):
                return int(events["t"][0])
    except RecordingError:
        # It will be met again, and told then, when the recording is played.
        pass
    return None


def _next(chunks: Iterator[Chunk]) -> tuple[Chunk | None, RecordingError | None]:
    """Return the next chunk; damage in the file ends the recording before it ends the run."""
    try:
        return next(chunks, None), None
    except RecordingError as error:
        return None, error
