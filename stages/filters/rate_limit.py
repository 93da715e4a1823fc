"""Rate limit: of more events than the stages behind can work on, a fair sample passes.

Event time is cut into intervals. If one holds more events than may pass, the right number is drawn
from all of its events, each as likely as another, wherever its pixel is and whenever in the
interval it came: the picture gets thinner and nothing else. Letting pass what comes first would
favour the rows that a sensor reads out first. The draw depends on nothing but the interval and the
order of its events, so the same recording is thinned the same way each time.

It takes the whole interval to know how many events to draw from, so events are held back until it
is over; the memory for them is that of twice the events that may pass.
"""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.events import TIME_LIMIT_US
from pipeline.messages import Message, Reset, Start
from pipeline.ports import EventsPort
from pipeline.stage import PortError, StageConfig
from stages.filters.event_filter import IMPOSSIBLE, EventFilter, FilterState, Words, no_words

__all__ = ["Interval", "RateLimit", "RateLimitConfig"]

_MAX_ALLOWED = 1 << 20


class RateLimitConfig(StageConfig):
    """Options of `rate_limit`."""

    max_events_per_s: int = Field(gt=0, le=10_000_000_000)
    """Events that pass in a second of event time, at most."""
    interval_us: int = Field(1000, gt=0, le=60_000_000)
    """The limit holds in each interval of this length, on a grid that starts at event time 0; a
    fraction of an event is not let pass. Events are held back for as long."""


class Interval(NamedTuple):
    """The open interval; the arrays are written in place."""

    numbers: NDArray[np.int64]
    """(6,) its start, events seen, candidates held, earliest time and largest key; and the latest
    time of all events so far."""
    held: NDArray[np.int64]
    """(2·allowed, 2) the candidates, in the order in which they came."""
    keys: NDArray[np.int64]
    """(2·allowed,) their keys."""


class RateLimit(EventFilter[RateLimitConfig, Interval]):
    """Let pass a fair sample of at most so many events a second."""

    Config = RateLimitConfig
    reasons = (IMPOSSIBLE, "above the rate limit")

    def port(self) -> EventsPort:
        """Return the input's port."""
        allowed, interval_us = self._allowed, self.config.interval_us
        if allowed < 1:
            raise PortError(
                "interval_us",
                f"no event fits into {interval_us} µs at {self.config.max_events_per_s} events/s;"
                f" must be >= {-(-1_000_000 // self.config.max_events_per_s)}",
            )
        if allowed > _MAX_ALLOWED:
            raise PortError(
                "interval_us",
                f"{allowed} events may pass in {interval_us} µs, which are too many to hold"
                f" (<= {_MAX_ALLOWED}); make it shorter",
            )
        return super().port()

    def open(self) -> None:
        """Compile the kernels, or load them from Numba's cache."""
        from stages.filters import rate_limit_kernel

        self._kernel = rate_limit_kernel
        nothing, refused = _nothing_held(1), np.zeros(2, np.int64)
        self.select(no_words(), nothing, refused)
        self._close(nothing, refused, np.empty((0, 2), np.int64))

    def remember(self, header: Start) -> Interval:
        """Return that no interval is open."""
        return _nothing_held(self._allowed)

    def select(
        self, words: Words, memory: Interval, refused: NDArray[np.int64]
    ) -> tuple[Words, Interval]:
        """Hold the events; return those of the intervals that they close."""
        out = np.empty((self._held(memory) + len(words), 2), dtype=np.int64)
        count = self._kernel.limit(
            words, self.config.interval_us, self._allowed, *memory, out, refused
        )
        return out[:count], memory

    def process(
        self, state: FilterState[Interval], message: Message
    ) -> Generator[Message, None, FilterState[Interval]]:
        """Yield the events of the intervals that a message's events or its watermark close."""
        state = yield from super().process(state, message)
        numbers, kernel = state.memory.numbers, self._kernel
        end_us = int(numbers[kernel.START]) + self.config.interval_us
        # Where a clock was set back the watermark is still that of the old one, and says nothing.
        if self._held(state.memory) and int(numbers[kernel.LATEST]) < end_us <= state.watermark_us:
            state = yield from self._release(state)
        return state

    def finish(
        self, state: FilterState[Interval]
    ) -> Generator[Message, None, FilterState[Interval]]:
        """Yield what is held at the end of a recording."""
        if self._held(state.memory):
            state = yield from self._release(state)
        return state

    def reset(self, state: FilterState[Interval]) -> FilterState[Interval]:
        """Forget how far time has come; `step` has sent what was held."""
        return state._replace(memory=_nothing_held(self._allowed))

    def step(
        self, state: FilterState[Interval] | None, message: Message
    ) -> Generator[Message, None, FilterState[Interval] | None]:
        """Take any message; what is held when a reset comes was before it, and leaves before it."""
        if isinstance(message.header, Reset) and state is not None:
            state = yield from self.finish(state)
        return (yield from super().step(state, message))

    def watermark_us(self, memory: Interval, watermark_us: int) -> int:
        """Return the watermark, or the time of the earliest event held if that is before it."""
        if not self._held(memory):
            return watermark_us
        return min(watermark_us, int(memory.numbers[self._kernel.FIRST]))

    @property
    def _allowed(self) -> int:
        """Events that may pass in an interval."""
        return self.config.max_events_per_s * self.config.interval_us // 1_000_000

    def _held(self, memory: Interval) -> int:
        """Return how many events are held back."""
        return int(memory.numbers[self._kernel.HELD])

    def _release(
        self, state: FilterState[Interval]
    ) -> Generator[Message, None, FilterState[Interval]]:
        """Close the open interval and yield its events."""
        words = self._close(state.memory, state.refused, np.empty_like(state.memory.held))
        yield self.message(state, words, state.watermark_us)
        return state._replace(made=state.made + len(words))

    def _close(self, memory: Interval, refused: NDArray[np.int64], out: Words) -> Words:
        closed: Words = out[: self._kernel.close(len(memory.keys) // 2, *memory, out, refused)]
        return closed


def _nothing_held(allowed: int) -> Interval:
    return Interval(
        numbers=np.array([0, 0, 0, 0, 0, -TIME_LIMIT_US], dtype=np.int64),
        held=np.empty((2 * allowed, 2), dtype=np.int64),
        keys=np.empty(2 * allowed, dtype=np.int64),
    )
