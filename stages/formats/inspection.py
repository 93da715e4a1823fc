"""Inspection: the one place where decoded events are held to what a stream of events must be.

Every reader's events pass through it. Events that are as they should be, which is nearly always
all of them, pass as they are, without a copy.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EVENT, TIME_LIMIT_US, EventArray, empty_events
from stages.formats.notes import BACK, GAPS, IMPOSSIBLE_TIME, OUTSIDE, UNKNOWN_POLARITY
from stages.formats.policies import Policies

__all__ = ["NO_TIME_US", "Inspector", "Violation"]

NO_TIME_US = -TIME_LIMIT_US
"""The latest time before the first event."""

_POLICY = {"keep": 0, "clamp": 1, "drop": 2, "raise": 3}
"""Policies as the kernel counts them."""


class Violation(ValueError):
    """An event violates what its policy says must not be; ``number`` counts within its batch.

    ``reset`` says that it is a clock that was set back, which begins a new recording where events
    come from a camera.
    """

    def __init__(self, text: str, number: int, reset: bool = False) -> None:
        super().__init__(text)
        self.number = number
        self.reset = reset


class Inspector:
    """Applies the policies to batch after batch, and counts.

    Args:
        width: columns of the sensor.
        height: rows of the sensor.
        policies: what to do about what.
        last_us: the latest time of the events before, `NO_TIME_US` for none.

    Attributes:
        last_us: the latest time of an event so far; events before it go back in time.
        refused: events left out, by reason.
        notes: what else was found, by kind; the event of a violation too.
        violation: why the latest batch ends before its end, None if it does not.
    """

    def __init__(
        self, width: int, height: int, policies: Policies, last_us: int = NO_TIME_US
    ) -> None:
        # Here, so that a recording's header can be looked at without Numba.
        from stages.formats import inspection_kernel

        self._kernel = inspection_kernel
        self._width, self._height, self._policies = width, height, policies
        self.last_us = last_us
        self.refused: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.violation: Violation | None = None

    def inspect(self, events: EventArray) -> EventArray:
        """Return the events that stay, read-only; after a violation only those before it."""
        words = events.view(np.int64).reshape(-1, 2)
        if not self._is_fine(words):
            events = self._apply(events)
        events.setflags(write=False)
        return events

    def _is_fine(self, words: NDArray[np.int64]) -> bool:
        """Look at events quickly; where all of them stay as they are, count what there is."""
        gap_us, width, height = self._policies.gap_us, self._width, self._height
        if self._kernel.is_clean(words, self.last_us, gap_us, width, height):
            self.last_us = int(words[-1, 0])
            return True
        steady, gaps, x, y, p, last_us = self._kernel.survey(words, self.last_us, gap_us)
        fits = x < width and y < height and p <= 1
        if not steady or not fits or (gaps and self._policies.on_gap != "keep"):
            return False
        self.last_us = last_us
        if gaps:
            self.notes[GAPS] += gaps
        return True

    def _apply(self, events: EventArray) -> EventArray:
        policies = self._policies
        kept = empty_events(len(events))
        counts = np.zeros(self._kernel.REASONS, np.int64)
        words = events.view(np.int64).reshape(-1, 2)
        count, self.last_us, stopped, why = self._kernel.inspect(
            words,
            0,
            self._width,
            self._height,
            self.last_us,
            policies.gap_us,
            _POLICY[policies.on_time_back],
            _POLICY[policies.on_gap],
            _POLICY[policies.on_outside],
            _POLICY[policies.on_unknown],
            kept.view(np.int64).reshape(-1, 2),
            counts,
        )
        self._count(*counts.tolist())
        if why >= 0:
            text = self._explain(events[stopped], why)
            self.violation = Violation(text, stopped, why == self._kernel.RESET)
        return kept[:count]

    def _count(
        self, impossible: int, polarity: int, outside: int, back: int, reset: int, gaps: int
    ) -> None:
        policies = self._policies
        refused, notes = {IMPOSSIBLE_TIME: impossible}, {GAPS: gaps}
        for policy, name, count in (
            (policies.on_unknown, UNKNOWN_POLARITY, polarity),
            (policies.on_outside, OUTSIDE, outside),
            (policies.on_time_back, BACK, back),
        ):
            (refused if policy == "drop" else notes)[name] = count
        self.refused.update({key: count for key, count in refused.items() if count})
        self.notes.update({key: count for key, count in notes.items() if count})

    def _explain(self, event: np.void, why: int) -> str:
        assert event.dtype == EVENT
        t, x, y, p = event.tolist()
        ahead_s, back_s = (t - self.last_us) / 1e6, (self.last_us - t) / 1e6
        if why == self._kernel.POLARITY:
            return f'its polarity is {p}, must be 0 or 1; set on_unknown = "drop" to leave it out'
        if why == self._kernel.OUTSIDE:
            return (
                f"it is at ({x}, {y}), outside the {self._width}×{self._height} sensor; set"
                ' on_outside = "drop" or "clamp", or give the right size'
            )
        if why == self._kernel.GAP:
            return (
                f"its time {t} µs is {ahead_s:.3f} s ahead of the one before, more than gap_us ="
                f' {self._policies.gap_us}; set on_gap = "keep"'
            )
        if why == self._kernel.RESET:
            return (
                f"its time {t} µs goes back by {back_s:.3f} s, so the clock was reset; cut the"
                ' recording there, or set on_time_back = "drop" or "keep"'
            )
        return (
            f"its time {t} µs is {back_s:.6f} s before that of an event before it; set"
            ' on_time_back = "clamp", "drop" or "keep"'
        )
