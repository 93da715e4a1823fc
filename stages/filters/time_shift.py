"""Time shift: all times of a recording moved by one amount, watermarks and clocks with them."""

from collections.abc import Generator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.events import TIME_LIMIT_US
from pipeline.messages import Clock, Message, Retime, Start, control
from pipeline.ports import EventsPort
from pipeline.stage import PortError, StageConfig
from stages.filters.event_filter import (
    IMPOSSIBLE,
    NO_WATERMARK_US,
    EventFilter,
    FilterState,
    Words,
)

__all__ = ["Shift", "TimeShift", "TimeShiftConfig"]


class TimeShiftConfig(StageConfig):
    """Options of `time_shift`; one of the two."""

    shift_us: int | None = Field(None, gt=-TIME_LIMIT_US, lt=TIME_LIMIT_US)
    """What is added to every time, in µs."""
    start_us: int | None = Field(None, gt=-TIME_LIMIT_US, lt=TIME_LIMIT_US)
    """The time that the recording's first event gets; 0 makes times count from it."""


class Shift(NamedTuple):
    """By how much times are moved; None until the first event where nothing else tells."""

    us: int | None


class TimeShift(EventFilter[TimeShiftConfig, Shift]):
    """Add to all times, or let them start at a given one."""

    Config = TimeShiftConfig
    reasons = (IMPOSSIBLE,)

    def port(self) -> EventsPort:
        """Return the input's port."""
        given = [self.config.shift_us, self.config.start_us]
        if given.count(None) != 1:
            problem = "both are given" if None not in given else "neither is given"
            raise PortError("shift_us", f"{problem}; give either shift_us or start_us")
        return super().port()

    def remember(self, header: Start) -> Shift:
        """Return the shift, if the Start of the recording is enough to know it."""
        config = self.config
        if config.start_us is None:
            return Shift(config.shift_us)
        first_us = header.t_first_us
        if first_us is None or abs(first_us) >= TIME_LIMIT_US:
            return Shift(None)
        return Shift(config.start_us - first_us)

    def select(
        self, words: Words, memory: Shift, refused: NDArray[np.int64]
    ) -> tuple[Words, Shift]:
        """Add the shift; an event whose time is impossible before or after it is refused."""
        times, shift_us = words[:, 0], memory.us
        if shift_us is None:
            possible = np.abs(times // 2) < TIME_LIMIT_US // 2
            if not possible.any():
                refused[0] += len(words)
                return words[:0], memory
            assert self.config.start_us is not None
            shift_us = self.config.start_us - int(times[possible.argmax()])
        # Neither the time nor the sum may reach the limit; put so, no sum overflows.
        lowest_us = -TIME_LIMIT_US - min(shift_us, 0)
        highest_us = TIME_LIMIT_US - max(shift_us, 0)
        possible = (times > lowest_us) & (times < highest_us)
        if possible.all():
            shifted = words.copy()
        else:
            shifted = words[possible]
            refused[0] += len(words) - len(shifted)
        shifted[:, 0] += shift_us
        return shifted, Shift(shift_us)

    def watermark_us(self, memory: Shift, watermark_us: int) -> int:
        """Return the watermark shifted; it promises nothing while the shift is not known."""
        if memory.us is None or abs(watermark_us) >= TIME_LIMIT_US:
            return NO_WATERMARK_US
        return _shift(watermark_us, memory.us)

    def announce(self, header: Start) -> Start:
        """Return the Start with its first time and its clock shifted."""
        shift_us = self.remember(header).us
        first_us = header.t_first_us
        if first_us is not None:
            first_us = None if shift_us is None else _shift(first_us, shift_us)
        return msgspec.structs.replace(
            header, t_first_us=first_us, clock=_shift_clock(header.clock, shift_us)
        )

    def step(
        self, state: FilterState[Shift] | None, message: Message
    ) -> Generator[Message, None, FilterState[Shift] | None]:
        """Take any message; a new clock of the recording is shifted too."""
        header = message.header
        if isinstance(header, Retime) and state is not None:
            clock = _shift_clock(header.clock, state.memory.us)
            yield control(msgspec.structs.replace(header, clock=clock))
            return state
        return (yield from super().step(state, message))


def _shift(t_us: int, shift_us: int) -> int:
    return max(1 - TIME_LIMIT_US, min(t_us + shift_us, TIME_LIMIT_US - 1))


def _shift_clock(clock: Clock | None, shift_us: int | None) -> Clock | None:
    """Return the clock of shifted times; none as long as the shift is not known."""
    if clock is None or shift_us is None:
        return None
    return msgspec.structs.replace(clock, t_us=_shift(clock.t_us, shift_us))
