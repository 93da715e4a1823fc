"""Slices: a whole recording cut into so many parts of equally many events, each drawn into a frame.

Of n events, those that are of the sensor and of a possible time, slice k of T holds the n // T from
number k · (n // T) on, and the last takes the rest as well. This is how the public reference code
prepares DVS Gesture (LynxiTech/BIDL; SpikingJelly calls it ``split_by = "number"``), where it
counts at the sensor's size and then resizes (`resize`). Where there are fewer events than slices
the last has them all and the others are empty; a recording without events has no slice.

How long a slice is shows only at the end, so all events of a recording are held until then, in 16
bytes each, and nothing comes out of it before. A live source has no such end.
"""

import dataclasses
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import StageError
from pipeline.events import empty_events
from pipeline.messages import Frames, Message, Start, Windows, data
from pipeline.ports import EventsPort, FramesPort
from pipeline.stage import Account, PortError, Transform
from stages.binning.canvas import CUT, NEVER_US, OUTSIDE, OVERFLOW, TALLY, event_words
from stages.binning.frame import FrameOptions, cut_counts, frames_port, make_canvas
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

__all__ = ["SliceBin", "SliceBinConfig", "SliceBinState"]


class SliceBinConfig(FrameOptions):
    """Options of `slice_bin`."""

    slices: int = Field(gt=0, le=65_536)
    """Slices of each recording; the steps that the model takes."""
    max_events: int = Field(16_777_216, gt=0, le=1 << 30)
    """Events of a recording, at most: they are held until its end, in 16 bytes each."""


class SliceBinState(NamedTuple):
    """The events of the recording so far."""

    stream: str
    epoch: int
    channels: int
    height: int
    width: int
    strip: Strip
    """Written to; it has no open windows."""
    tally: NDArray[np.int64]
    held: tuple[NDArray[np.int64], ...]
    """(n, 2) words each, of the events that count."""
    counted: int
    """How many these are."""
    reached_us: int
    """Time of the latest event in the slices sent."""
    taken: int
    sent: int
    ended: bool


class SliceBin(Transform[SliceBinConfig, SliceBinState]):
    """Draw a whole recording into a fixed number of frames of equally many events."""

    Config = SliceBinConfig
    takes = (EventsPort,)

    def port(self) -> FramesPort:
        """Return the frames' shape, from the size asked for or from the sensor."""
        (events,) = self.inputs
        assert isinstance(events, EventsPort)
        if events.live:
            raise PortError(
                "from",
                "a live source has no end, and slices of equally many events are known only at the"
                " end of a recording; take time_bin or count_bin, or replay a recording",
            )
        port = frames_port(self.config, events, None, None, open_windows=1)
        return dataclasses.replace(port, steps=self.config.slices)

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
            self._draw(warm._replace(strip=strip), event_words(empty_events(1)), 0)

    def start(self, header: Start, size: tuple[int, int] | None = None) -> SliceBinState:
        """Return the state in front of a recording's first event."""
        size = size or self.config.size or (header.height, header.width)
        options = self.config.model_copy(update={"size": size})
        return SliceBinState(
            stream=header.stream,
            epoch=header.epoch,
            channels=options.channels,
            height=size[0],
            width=size[1],
            strip=new_strip(self._pool, make_canvas(options, header, open_windows=1), room=1),
            tally=np.zeros(TALLY, dtype=np.int64),
            held=(),
            counted=0,
            reached_us=NEVER_US,
            taken=0,
            sent=0,
            ended=False,
        )

    def snapshot(self, state: SliceBinState) -> SliceBinState:
        """Return the state with what its strip holds, and not all that it has room for."""
        return state._replace(strip=packed(state.strip, 0))

    def restore(self, saved: SliceBinState) -> SliceBinState:
        """Return the state with a strip to draw on."""
        return saved._replace(strip=unpacked(self._pool, saved.strip, room=1))

    def process(
        self, state: SliceBinState, message: Message
    ) -> Generator[Message, None, SliceBinState]:
        """Keep the events of a message."""
        yield from ()
        kept = self._screened(state, event_words(message.array))
        counted = state.counted + len(kept)
        if counted > self.config.max_events:
            raise StageError(
                f"a recording has more than max_events = {self.config.max_events} events, and all"
                " are held until its end: raise it, play less (stop_us), or take time_bin"
            )
        return state._replace(
            held=(*state.held, kept) if len(kept) else state.held,
            counted=counted,
            taken=state.taken + len(message.array),
        )

    def finish(self, state: SliceBinState) -> Generator[Message, None, SliceBinState]:
        """Yield the slices of the recording."""
        state = state._replace(ended=True)
        if not state.counted:
            return state
        words = np.concatenate(state.held)
        state = state._replace(held=(), reached_us=int(words[0, 0]) - 1)
        slices, size = self.config.slices, len(words) // self.config.slices
        for k in range(slices):
            part = words[k * size : (k + 1) * size if k < slices - 1 else None]
            state = yield from self._send(state, part)
        return state

    def account(self, state: SliceBinState) -> Account:
        """Return events binned and refused, and slices sent and due."""
        refused = {
            "outside the sensor": int(state.tally[OUTSIDE]),
            "of impossible time": int(state.tally[OVERFLOW]),
        }
        return Account(
            taken=state.taken,
            used=state.taken - sum(refused.values()),
            made=state.sent,
            unit_in="events",
            unit_out="windows",
            refused=refused,
            due=self.config.slices if state.ended and state.counted else 0,
            notes=cut_counts(self.config, int(state.tally[CUT])),
        )

    def _screened(self, state: SliceBinState, words: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the events that count."""
        kept, canvas = np.empty_like(words), state.strip.canvas
        count = self._kernel.screen(
            words, kept, canvas.columns, canvas.rows, canvas.plane, state.tally
        )
        return kept[:count]

    def _draw(self, state: SliceBinState, words: NDArray[np.int64], windows: int) -> int:
        """Run the kernel over the events of a slice; return how many windows it has drawn."""
        size = len(words)
        count: int = self._kernel.bin_by_count(
            words, 0, state.reached_us, size, size, windows, *state.strip, state.tally
        )
        return count

    def _send(
        self, state: SliceBinState, words: NDArray[np.int64]
    ) -> Generator[Message, None, SliceBinState]:
        """Draw a slice and send it."""
        slots, canvas = state.strip
        if len(words):
            if not self._draw(state, words, 1):  # a count outgrew 8 bits
                state = state._replace(strip=widen(state.strip, 0))
                slots, canvas = state.strip
                self._draw(state, words, 1)
            frames = smallest(canvas.frames[:1])
            span_us = (int(slots.starts_us[0]), int(slots.ends_us[0]))
            last_event_us = int(slots.last_event_us[0])
            strip = cut_off(self._pool, state.strip, 1, 1, room=1)
        else:  # all events are in the last slice, so that there is nothing to fade yet
            frames = np.zeros_like(canvas.frames[:1])
            span_us, last_event_us, strip = (state.reached_us + 1,) * 2, None, state.strip
        yield data(
            Frames,
            frames.reshape(1, state.channels, state.height, state.width),
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=span_us[0],
            t_last_us=span_us[1],
            windows=Windows(
                first=state.sent,
                start_us=span_us[0],
                length_us=0,
                step_us=0,
                last_event_us=(last_event_us,),
                spans_us=(span_us,),
            ),
        )
        return state._replace(strip=strip, reached_us=span_us[1] - 1, sent=state.sent + 1)
