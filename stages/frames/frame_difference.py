"""Frame difference: what became brighter and what darker from one frame to the next.

It makes of a video what an event camera would have seen: a pixel has an ON event where it has
become brighter by more than the threshold since the frame before, an OFF event where it has become
darker by more (RGB-gesture of Lynxi's BIDL design text). A difference is of the time between its
two frames; the first frame of a recording, or after a reset, has none.
"""

import dataclasses
from collections.abc import Generator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import StageError
from pipeline.messages import Frames, Message, Start, Windows, data
from pipeline.ports import FramesPort
from pipeline.stage import Account, PortError, StageConfig, Transform

__all__ = ["FrameDifference", "FrameDifferenceConfig", "FrameDifferenceState"]


class FrameDifferenceConfig(StageConfig):
    """Options of `frame_difference`."""

    threshold: int = Field(15, ge=0, le=254)
    """By how much, of 255, the brightness of a pixel must change, and more, to count."""


class FrameDifferenceState(NamedTuple):
    """The frame before, and the counts of this recording."""

    stream: str
    epoch: int
    last: NDArray[np.uint8] | None
    """(height, width); None before the first frame."""
    last_us: int
    """Its time."""
    taken: int
    made: int
    firsts: int
    """Frames that had none before them."""


class FrameDifference(Transform[FrameDifferenceConfig, FrameDifferenceState]):
    """Turn frames of grey into frames of events: 1 where a pixel has become darker or brighter.

    Channel 0 holds OFF, channel 1 ON.
    """

    Config = FrameDifferenceConfig
    takes = (FramesPort,)

    def port(self) -> FramesPort:
        """Return two channels of the input's size and step."""
        (frames,) = self.inputs
        assert isinstance(frames, FramesPort)
        if frames.frame != "grey" or frames.channels != 1:
            raise PortError(
                "from",
                f"takes grey frames, its input gives {frames.channels} channels of"
                f' {frames.frame}; set colour = "grey" in the source',
            )
        steps = None if frames.steps is None else frames.steps - 1
        return dataclasses.replace(frames, channels=2, frame="binary", steps=steps)

    def start(self, header: Start) -> FrameDifferenceState:
        """Return the state in front of a recording's first frame."""
        return FrameDifferenceState(header.stream, header.epoch, None, 0, 0, 0, 0)

    def reset(self, state: FrameDifferenceState) -> FrameDifferenceState:
        """Forget the frame before."""
        return state._replace(last=None)

    def process(
        self, state: FrameDifferenceState, message: Message
    ) -> Generator[Message, None, FrameDifferenceState]:
        """Yield the differences that the frames of a message complete."""
        header, frames = message.header, message.array[:, 0]
        assert isinstance(header, Frames)
        if not len(frames):
            return state
        if message.array.dtype != np.uint8:
            raise StageError(
                f"stage '{self.name}': takes frames of bytes, got {message.array.dtype}"
            )
        times_us = [header.windows.span_us(k)[0] for k in range(len(frames))]
        taken = state.taken + len(frames)
        if state.last is None:
            state = state._replace(firsts=state.firsts + 1)
        else:
            if state.last.shape != frames.shape[1:]:
                raise StageError(
                    f"stage '{self.name}': a frame of {frames.shape[1:]} follows one of"
                    f" {state.last.shape}"
                )
            frames = np.concatenate([state.last[np.newaxis], frames])
            times_us.insert(0, state.last_us)
        if len(frames) > 1:
            yield self._message(state, frames, times_us)
        return state._replace(
            last=frames[-1].copy(),
            last_us=times_us[-1],
            taken=taken,
            made=state.made + len(frames) - 1,
        )

    def account(self, state: FrameDifferenceState) -> Account:
        """Return frames taken, and differences made and due."""
        return Account(
            taken=state.taken,
            used=state.taken,
            made=state.made,
            unit_in="frames",
            unit_out="windows",
            due=state.taken - state.firsts,
        )

    def _message(
        self, state: FrameDifferenceState, frames: NDArray[np.uint8], times_us: list[int]
    ) -> Message:
        change = np.diff(frames.astype(np.int16), axis=0)
        threshold = self.config.threshold
        events = np.stack([change < -threshold, change > threshold], axis=1).astype(np.uint8)
        # The later frame is what a difference was waiting for.
        windows = Windows(
            first=state.made,
            start_us=times_us[0],
            length_us=0,
            step_us=0,
            last_event_us=tuple(times_us[1:]),
            spans_us=tuple(pairwise(times_us)),
        )
        return data(
            Frames,
            events,
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=times_us[0],
            t_last_us=times_us[-1],
            windows=windows,
        )
