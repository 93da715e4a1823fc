"""Steps: the same number of frames of each recording, cut or filled up as training does it.

A network was trained on recordings of so many steps; a longer one was cut, a shorter one filled up
with empty steps at its end. With this stage a stream is the same, and so its predictions are those
of an evaluation. A recording without any frame stays without.
"""

import dataclasses
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Frames, Message, Start, Windows, data
from pipeline.ports import FramesPort
from pipeline.stage import Account, StageConfig, Transform

__all__ = ["Steps", "StepsConfig", "StepsState"]


class StepsConfig(StageConfig):
    """Options of `steps`."""

    count: int = Field(gt=0, le=1_000_000)
    """Frames of each recording."""


class StepsState(NamedTuple):
    """What a filled-up recording goes on from."""

    stream: str
    epoch: int
    shape: tuple[int, ...]
    """(channels, height, width) of its frames."""
    dtype: str
    last: Windows | None
    """The latest windows that count; None before the first frame."""
    taken: int
    filled: int
    ended: bool


class Steps(Transform[StepsConfig, StepsState]):
    """Cut or fill up each recording to the same number of frames."""

    Config = StepsConfig
    takes = (FramesPort,)

    def port(self) -> FramesPort:
        """Return the frames as they are, and how many of them there will be."""
        (frames,) = self.inputs
        assert isinstance(frames, FramesPort)
        return dataclasses.replace(frames, steps=self.config.count)

    def start(self, header: Start) -> StepsState:
        """Return the state in front of a recording's first frame."""
        return StepsState(header.stream, header.epoch, (), "", None, 0, 0, False)

    def process(self, state: StepsState, message: Message) -> Generator[Message, None, StepsState]:
        """Pass the frames on that still count."""
        header, frames = message.header, message.array
        assert isinstance(header, Frames)
        kept = frames[: max(0, self.config.count - state.taken)]
        state = state._replace(taken=state.taken + len(frames))
        if not len(kept):
            return state
        windows = _first(header.windows, len(kept))
        yield self._message(state, kept, windows)
        return state._replace(shape=kept.shape[1:], dtype=kept.dtype.name, last=windows)

    def finish(self, state: StepsState) -> Generator[Message, None, StepsState]:
        """Fill a recording up that has fewer frames."""
        missing = self.config.count - state.taken
        state = state._replace(ended=True)
        if state.last is None or missing <= 0:
            return state
        empty = np.zeros((missing, *state.shape), state.dtype)
        yield self._message(state, empty, _behind(state.last, missing))
        return state._replace(filled=missing)

    def account(self, state: StepsState) -> Account:
        """Return frames taken and left out, and how many were filled up with."""
        used = min(state.taken, self.config.count)
        return Account(
            taken=state.taken,
            used=used,
            made=used + state.filled,
            unit_in="frames",
            unit_out="windows",
            due=self.config.count if state.ended and state.taken else used,
            refused={"behind the last step": state.taken - used},
            notes={"empty steps filled up with": state.filled},
        )

    def _message(self, state: StepsState, frames: NDArray[Any], windows: Windows) -> Message:
        return data(
            Frames,
            frames,
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=windows.span_us(0)[0],
            t_last_us=windows.span_us(len(windows) - 1)[1],
            windows=windows,
        )


def _first(windows: Windows, count: int) -> Windows:
    """Return the first ``count`` windows of a run."""
    if count == len(windows):
        return windows
    spans_us = None if windows.spans_us is None else windows.spans_us[:count]
    last_event_us = windows.last_event_us[:count]
    merged = windows.merged[:count]
    return replace(
        windows, last_event_us=last_event_us, partial=False, spans_us=spans_us, merged=merged
    )


def _behind(windows: Windows, count: int) -> Windows:
    """Return ``count`` empty windows behind a run: of its grid, or without length at its end."""
    end_us, spans_us = windows.span_us(len(windows) - 1)[1], None
    if windows.spans_us is not None:
        spans_us = ((end_us, end_us),) * count
    return Windows(
        first=windows.number(len(windows) - 1) + 1,
        start_us=windows.start_us + len(windows) * windows.step_us if spans_us is None else end_us,
        length_us=windows.length_us,
        step_us=windows.step_us,
        last_event_us=(None,) * count,
        spans_us=spans_us,
    )
