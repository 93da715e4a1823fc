"""Count bins: events drawn into frames, so many events to a window, whatever time they take.

Window k holds the events from number k·step on, ``events`` of them, counted over those that are of
the sensor and of a possible time. It closes with its last event. The end of the recording closes
the window begun, marked partial, if it holds an event that no window sent before does. A window's
span runs from its earliest event to one µs behind the latest that a window had so far.

Windows overlap when step is smaller than events: an event is drawn into each of its windows and
counts once. When step is larger, events between windows are refused and counted.
"""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.events import empty_events
from pipeline.messages import Events, Frames, Message, Start, Windows, data
from pipeline.ports import EventsPort, FramesPort
from pipeline.stage import Account, Transform
from stages.binning.canvas import CUT, NEVER_US, OUTSIDE, OVERFLOW, TALLY, event_words
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

__all__ = ["CountBin", "CountBinConfig", "CountBinState"]


class CountBinConfig(FrameOptions):
    """Options of `count_bin`."""

    events: int = Field(gt=0, le=16_777_216)
    """Events in a window."""
    step: int | None = Field(None, gt=0, le=1 << 40)
    """Events from the start of a window to that of the next; ``events`` when left out. A smaller
    step makes windows overlap, a larger one leaves events out between them."""


class CountBinState(NamedTuple):
    """The events of the open windows, and the strip that windows are drawn on."""

    stream: str
    epoch: int
    channels: int
    height: int
    width: int
    strip: Strip
    """Written to; it has no open windows."""
    tally: NDArray[np.int64]
    held: NDArray[np.int64]
    """(events, 2) words of the events from the start of the earliest open window on."""
    drawn: int
    """How many of them are in a window that was sent."""
    skip: int
    """Events still to come before the earliest open window starts."""
    reached_us: int
    """Time of the latest event in the windows sent."""
    taken: int
    counted: int
    """Events of the sensor and of a possible time."""
    sent: int
    ended: bool


class CountBin(Transform[CountBinConfig, CountBinState]):
    """Draw events into frames, a fixed number of them into each."""

    Config = CountBinConfig
    takes = (EventsPort,)

    def port(self) -> FramesPort:
        """Return the frames' shape, from the size asked for or from the sensor."""
        (events,) = self.inputs
        assert isinstance(events, EventsPort)
        return frames_port(self.config, events, None, None, open_windows=1)

    def imports(self) -> tuple[str, ...]:
        """Return the kernels."""
        return ("stages.binning.kernel",)

    def open(self) -> None:
        """Compile the kernel, or load it from Numba's cache."""
        from stages.binning import kernel

        self._kernel, self._pool = kernel, Pool()
        warm = self.start(Start(stream="", width=1, height=1, source=""), size=(1, 1))
        self._screened(warm, event_words(empty_events()))
        for strip in widths(warm.strip):
            self._draw(warm._replace(strip=strip), 1, 0)

    def start(self, header: Start, size: tuple[int, int] | None = None) -> CountBinState:
        """Return the state in front of a recording's first event."""
        size = size or self.config.size or (header.height, header.width)
        options = self.config.model_copy(update={"size": size})
        return CountBinState(
            stream=header.stream,
            epoch=header.epoch,
            channels=options.channels,
            height=size[0],
            width=size[1],
            strip=new_strip(self._pool, make_canvas(options, header, open_windows=1), room=1),
            tally=np.zeros(TALLY, dtype=np.int64),
            held=np.empty((0, 2), dtype=np.int64),
            drawn=0,
            skip=0,
            reached_us=NEVER_US,
            taken=0,
            counted=0,
            sent=0,
            ended=False,
        )

    def snapshot(self, state: CountBinState) -> CountBinState:
        """Return the state with what its strip holds, and not all that it has room for."""
        return state._replace(strip=packed(state.strip, 0))

    def restore(self, saved: CountBinState) -> CountBinState:
        """Return the state with a strip to draw on."""
        return saved._replace(strip=unpacked(self._pool, saved.strip, room=1))

    def reset(self, state: CountBinState) -> CountBinState:
        """Forget what a time surface or a decay remembers.

        The count goes on, and events of the open window stay: they are drawn when it closes.
        """
        forget(state.strip.canvas)
        return state

    def process(
        self, state: CountBinState, message: Message
    ) -> Generator[Message, None, CountBinState]:
        """Take the events of a message; yield the windows that they complete."""
        assert isinstance(message.header, Events)
        words = event_words(message.array)
        held = self._screened(state, words)
        new = len(held) - len(state.held)
        skipped = min(state.skip, new)
        state = state._replace(
            taken=state.taken + len(words),
            counted=state.counted + new,
            held=held[skipped:],
            skip=state.skip - skipped,
        )
        while len(state.held) >= self.config.events:
            windows = (len(state.held) - self.config.events) // self._step + 1
            state = yield from self._close(state, windows, self.config.events)
        return state

    def finish(self, state: CountBinState) -> Generator[Message, None, CountBinState]:
        """Close the window begun, if it holds what no other does, and mark it partial."""
        if len(state.held) > state.drawn:
            before = state.sent
            while state.sent == before:
                state = yield from self._close(state, 1, len(state.held), partial=True)
        return state._replace(ended=True)

    def account(self, state: CountBinState) -> Account:
        """Return events binned and refused, and windows sent and due."""
        refused = {
            "outside the sensor": int(state.tally[OUTSIDE]),
            "of impossible time": int(state.tally[OVERFLOW]),
        }
        size, step = self.config.events, self._step
        if step > size:
            periods, rest = divmod(state.counted, step)
            refused["between windows"] = periods * (step - size) + max(0, rest - size)
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
    def _step(self) -> int:
        return self.config.step or self.config.events

    def _screened(self, state: CountBinState, words: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the events held and, behind them, those new ones that count."""
        before = len(state.held)
        held = np.empty((before + len(words), 2), dtype=np.int64)
        held[:before] = state.held
        canvas = state.strip.canvas
        count = self._kernel.screen(
            words, held[before:], canvas.columns, canvas.rows, canvas.plane, state.tally
        )
        return held[: before + count]

    def _draw(self, state: CountBinState, size: int, windows: int) -> int:
        """Run the kernel over the events held and return how many windows it has drawn."""
        count: int = self._kernel.bin_by_count(
            event_words(state.held),
            state.drawn,
            state.reached_us,
            size,
            self._step,
            windows,
            *state.strip,
            state.tally,
        )
        return count

    def _close(
        self, state: CountBinState, windows: int, size: int, partial: bool = False
    ) -> Generator[Message, None, CountBinState]:
        """Draw and send windows, as many as there are slots, and drop their events.

        None is sent when a count outgrew 8 bits in the first one: then the strip is wider.
        """
        slots, canvas = state.strip
        used = self._draw(state, size, min(windows, len(canvas.frames)))
        if not used:
            return state._replace(strip=widen(state.strip, 0))
        spans = tuple(
            zip(slots.starts_us[:used].tolist(), slots.ends_us[:used].tolist(), strict=True)
        )
        frames = smallest(canvas.frames[:used])
        yield data(
            Frames,
            frames.reshape(used, state.channels, state.height, state.width),
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=spans[0][0],
            t_last_us=spans[-1][1],
            windows=Windows(
                first=state.sent,
                start_us=spans[0][0],
                length_us=0,
                step_us=0,
                last_event_us=tuple(slots.last_event_us[:used].tolist()),
                partial=partial,
                spans_us=spans,
            ),
        )
        done = used * self._step
        return state._replace(
            strip=cut_off(self._pool, state.strip, used, used, room=1),
            held=state.held[done:],
            drawn=max(0, size - self._step),
            skip=max(0, done - len(state.held)),
            reached_us=spans[-1][1] - 1,
            sent=state.sent + used,
        )

    def _due(self, state: CountBinState) -> int:
        """Return how many windows the events make that count."""
        size, step = self.config.events, self._step
        full = max(0, (state.counted - size) // step + 1)
        covered = (full - 1) * step + size if full else 0
        return full + (state.ended and state.counted > max(covered, full * step))
