"""Time bins: events drawn into frames, window by window of a fixed grid of event time.

Window k is ``[origin + k·step_us, origin + k·step_us + window_us)``. It closes for ever when an
event or the watermark reaches its end. The end of the recording closes the earliest open window,
marked partial, if it holds an event that no window sent before does. An event is late when a window
it belongs to has closed: refused and counted, and put out as ``late`` if anybody takes that.
A window without events is a window like any other.

Windows overlap when step_us is shorter than window_us: an event is drawn into each of its windows
and counts once. When step_us is longer, events between windows are refused and counted.
"""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import StageError
from pipeline.events import EVENT, TIME_LIMIT_US, empty_events
from pipeline.messages import Events, Frames, Message, Start, Windows, data
from pipeline.ports import EventsPort, FramesPort
from pipeline.stage import Account, Transform
from stages.binning.canvas import (
    BETWEEN,
    CLOCK,
    CLOSED,
    CUT,
    FIRST,
    LAST,
    LATE,
    LIMIT,
    NEVER_US,
    OPENED,
    OUTSIDE,
    OVERFLOW,
    REACHED,
    START,
    TALLY,
    Clock,
    event_words,
)
from stages.binning.frame import FrameOptions, cut_counts, forget, frames_port, make_canvas
from stages.binning.strip import (
    Strip,
    cut_off,
    new_strip,
    packed,
    smallest,
    unpacked,
    widen,
    widths,
)
from stages.pool import Pool

__all__ = ["TimeBin", "TimeBinConfig", "TimeBinState"]

_NOT_ASKED = np.empty(0, dtype=np.bool_)


class TimeBinConfig(FrameOptions):
    """Options of `time_bin`."""

    window_us: int = Field(gt=0, le=3_600_000_000)
    """Length of a window in µs."""
    step_us: int | None = Field(None, gt=0, le=3_600_000_000)
    """From the start of a window to that of the next in µs; ``window_us`` when left out. A shorter
    step makes windows overlap, a longer one leaves gaps between them."""
    origin_us: int | None = Field(None, gt=-TIME_LIMIT_US, lt=TIME_LIMIT_US)
    """Event time at which window 0 starts; the recording's first event when left out."""
    max_gap_us: int = Field(3_600_000_000, gt=0, le=TIME_LIMIT_US // 2)
    """A longer gap between two events is taken for a broken clock and ends the run."""


class TimeBinState(NamedTuple):
    """The grid and the windows that are not sent yet; ``clock`` and ``strip`` are written to."""

    stream: str
    epoch: int
    channels: int
    height: int
    width: int
    clock: Clock
    strip: Strip
    """Slot 0 is the earliest window that is not sent."""
    tally: NDArray[np.int64]
    origin_us: int | None
    taken: int
    sent: int
    """Windows sent."""
    last_event_us: int | None
    """Time of the last event in the windows sent."""
    watermark_us: int


class TimeBin(Transform[TimeBinConfig, TimeBinState]):
    """Draw events into frames, in windows of event time."""

    Config = TimeBinConfig
    takes = (EventsPort,)
    side_outputs = ("late",)

    def port(self) -> FramesPort:
        """Return the frames' shape, from the size asked for or from the sensor."""
        (events,) = self.inputs
        assert isinstance(events, EventsPort)
        return frames_port(self.config, events, self._length_us, self._step_us, self._room)

    def side_port(self, output: str) -> EventsPort:
        """Return the port of late events, which are those that it takes."""
        (events,) = self.inputs
        assert isinstance(events, EventsPort)
        return events

    def imports(self) -> tuple[str, ...]:
        """Return the kernels."""
        return ("stages.binning.kernel",)

    def open(self) -> None:
        """Compile the kernel, or load it from Numba's cache."""
        from stages.binning import kernel

        self._kernel, self._pool = kernel, Pool()
        header = Start(stream="", width=1, height=1, source="")
        warm = self._begin(self.start(header, size=(1, 1)), 0)
        for strip in widths(warm.strip):
            self._draw(warm._replace(strip=strip), event_words(empty_events()), 0, _NOT_ASKED)
            self._close_until(warm._replace(strip=strip), 0)

    def start(self, header: Start, size: tuple[int, int] | None = None) -> TimeBinState:
        """Return the state in front of a recording's first event."""
        size = size or self.config.size or (header.height, header.width)
        options = self.config.model_copy(update={"size": size})
        state = TimeBinState(
            stream=header.stream,
            epoch=header.epoch,
            channels=options.channels,
            height=size[0],
            width=size[1],
            clock=np.zeros(CLOCK, dtype=np.int64),
            strip=new_strip(self._pool, make_canvas(options, header, self._room), self._room),
            tally=np.zeros(TALLY, dtype=np.int64),
            origin_us=None,
            taken=0,
            sent=0,
            last_event_us=None,
            watermark_us=NEVER_US,
        )
        return state if options.origin_us is None else self._begin(state, options.origin_us)

    def snapshot(self, state: TimeBinState) -> TimeBinState:
        """Return the state with what its strip holds, and not all that it has room for."""
        return state._replace(strip=packed(state.strip, int(state.clock[OPENED])))

    def restore(self, saved: TimeBinState) -> TimeBinState:
        """Return the state with a strip to draw on."""
        return saved._replace(strip=unpacked(self._pool, saved.strip, self._room))

    def reset(self, state: TimeBinState) -> TimeBinState:
        """Forget what a time surface or a decay remembers, the open window's events included."""
        forget(state.strip.canvas)
        return state

    def process(
        self, state: TimeBinState, message: Message
    ) -> Generator[Message, None, TimeBinState]:
        """Draw the events of a message; yield the windows that they close, and late events."""
        header, words = message.header, event_words(message.array)
        assert isinstance(header, Events)
        asked = "late" in self.taken_outputs
        late = np.zeros(len(words), dtype=np.bool_) if asked else _NOT_ASKED
        state = state._replace(taken=state.taken + len(words))
        done = 0
        if state.origin_us is None:
            state, done = self._find_origin(state, words)
        while done < len(words):
            done, why = self._draw(state, words, done, late)
            if why == self._kernel.CROWDED:
                state = state._replace(strip=widen(state.strip, int(state.clock[OPENED])))
            elif why:
                state = yield from self._send(state)
                if why == self._kernel.GAP:
                    raise self._gap(state, int(words[done, 0]))
        if state.origin_us is not None:
            state = yield from self._pass_watermark(state, header.watermark_us)
        if asked:
            yield _late_message(header, words[late])
        return state

    def finish(self, state: TimeBinState) -> Generator[Message, None, TimeBinState]:
        """Close the earliest open window, if it holds what no other does, and mark it partial."""
        slots, clock = state.strip.slots, state.clock
        if clock[OPENED] and slots.last_event_us[0] >= clock[CLOSED]:
            self._close_until(state, int(slots.ends_us[0]))
            state = yield from self._send(state, partial=True)
        return state

    def account(self, state: TimeBinState) -> Account:
        """Return events binned and refused, and windows sent and due."""
        refused = {
            "late": int(state.tally[LATE]),
            "outside the sensor": int(state.tally[OUTSIDE]),
            "of impossible time": int(state.tally[OVERFLOW]),
        }
        if self._step_us > self._length_us:
            refused["between windows"] = int(state.tally[BETWEEN])
        return Account(
            taken=state.taken,
            used=state.taken - sum(refused.values()),
            made=state.sent,
            unit_in="events",
            unit_out="windows",
            refused=refused,
            due=self._due(state),
            notes=cut_counts(self.config, int(state.tally[CUT])),
        )

    @property
    def _length_us(self) -> int:
        return self.config.window_us

    @property
    def _step_us(self) -> int:
        return self.config.step_us or self.config.window_us

    @property
    def _room(self) -> int:
        """How many windows are open at a time, at most."""
        return -(-self._length_us // self._step_us)

    @property
    def _live(self) -> bool:
        (events,) = self.inputs
        return isinstance(events, EventsPort) and events.live

    def _begin(self, state: TimeBinState, origin_us: int) -> TimeBinState:
        """Anchor the grid."""
        clock = state.clock
        clock[[START, CLOSED]] = origin_us
        clock[REACHED] = NEVER_US
        clock[LIMIT] = origin_us + self._length_us + self.config.max_gap_us
        return state._replace(origin_us=origin_us)

    def _find_origin(
        self, state: TimeBinState, words: NDArray[np.int64]
    ) -> tuple[TimeBinState, int]:
        """Anchor the grid at the first event of a possible time; return how many came before."""
        before = 0
        while before < len(words) and abs(int(words[before, 0])) >= TIME_LIMIT_US:
            before += 1
        state.tally[OVERFLOW] += before
        if before < len(words):
            state = self._begin(state, int(words[before, 0]))
        return state, before

    def _draw(
        self,
        state: TimeBinState,
        words: NDArray[np.int64],
        begin: int,
        late: NDArray[np.bool_],
    ) -> tuple[int, int]:
        """Run the kernel from event ``begin`` on."""
        result: tuple[int, int] = self._kernel.bin_by_time(
            words,
            begin,
            self._length_us,
            self._step_us,
            self.config.max_gap_us,
            state.clock,
            *state.strip,
            state.tally,
            late,
        )
        return result

    def _close_until(self, state: TimeBinState, t_us: int) -> bool:
        closed: bool = self._kernel.close_until(
            t_us, self._length_us, self._step_us, state.clock, *state.strip
        )
        return closed

    def _pass_watermark(
        self, state: TimeBinState, watermark_us: int
    ) -> Generator[Message, None, TimeBinState]:
        """Close the windows that the watermark has passed and send all that are closed."""
        clock = state.clock
        if not self._live and watermark_us > clock[LIMIT]:
            state = yield from self._send(state)
            raise self._gap(state, watermark_us)
        while self._first_end_us(clock) <= watermark_us and not self._close_until(
            state, watermark_us
        ):
            state = yield from self._send(state)
        state = yield from self._send(state)
        if self._live:
            # A live source that is idle keeps its clock; a recording has none of its own.
            clock[LIMIT] = max(
                int(clock[LIMIT]), self._first_end_us(clock) + self.config.max_gap_us
            )
        return state._replace(watermark_us=max(state.watermark_us, watermark_us))

    def _first_end_us(self, clock: Clock) -> int:
        """Return the end of the earliest window that is not closed."""
        return int(clock[START]) + int(clock[FIRST]) * self._step_us + self._length_us

    def _send(
        self, state: TimeBinState, partial: bool = False
    ) -> Generator[Message, None, TimeBinState]:
        """Send the closed windows, if there are any, and drop them from the strip."""
        clock, (slots, canvas) = state.clock, state.strip
        used, opened = int(clock[FIRST]), int(clock[OPENED])
        if not used:
            return state
        last = [None if t == NEVER_US else t for t in slots.last_event_us[:used].tolist()]
        windows = Windows(
            first=state.sent,
            start_us=int(clock[START]),
            length_us=self._length_us,
            step_us=self._step_us,
            last_event_us=tuple(last),
            partial=partial,
        )
        frames = smallest(canvas.frames[:used])
        yield data(
            Frames,
            frames.reshape(used, state.channels, state.height, state.width),
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=windows.start_us,
            t_last_us=windows.span_us(used - 1)[1],
            windows=windows,
        )
        clock[FIRST] = 0
        clock[OPENED] -= used
        clock[LAST] -= used
        clock[START] += used * self._step_us
        return state._replace(
            strip=cut_off(self._pool, state.strip, used, opened, self._room),
            sent=state.sent + used,
            last_event_us=next((t for t in reversed(last) if t is not None), state.last_event_us),
        )

    def _due(self, state: TimeBinState) -> int:
        """Return how many windows the grid has up to the last event, or up to the watermark."""
        if state.origin_us is None:
            return 0
        length_us, step_us, origin_us = self._length_us, self._step_us, state.origin_us
        last_us = NEVER_US if state.last_event_us is None else state.last_event_us
        reached_us = max(state.watermark_us, last_us, int(state.clock[REACHED]))
        full = max(0, (reached_us - origin_us - length_us) // step_us + 1)
        begun_us = origin_us + full * step_us
        closed_us = origin_us if not full else begun_us - step_us + length_us
        return full + (last_us >= max(begun_us, closed_us))

    def _gap(self, state: TimeBinState, t_us: int) -> StageError:
        gap_s = (t_us - int(state.clock[START])) / 1e6
        return StageError(
            f"event time jumps to {t_us} µs, {gap_s:.0f} s ahead; a gap must not exceed"
            f" max_gap_us = {self.config.max_gap_us}: raise it, or repair the recording's clock"
        )


def _late_message(header: Events, words: NDArray[np.int64]) -> Message:
    """Return late events as they leave; a message of none still passes the watermark on."""
    first_us = last_us = header.watermark_us
    if len(words):
        first_us, last_us = int(words[0, 0]), int(words[-1, 0])
    message = data(
        Events,
        words.reshape(-1).view(EVENT),
        stream=header.stream,
        epoch=header.epoch,
        t_first_us=first_us,
        t_last_us=last_us,
        watermark_us=header.watermark_us,
    )
    return message._replace(output="late")
