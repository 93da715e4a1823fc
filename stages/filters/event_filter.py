"""What all filters share: how events pass through them and what they say of those that do not.

A filter passes on a message for each that it takes, an empty one too, since that carries a
watermark. Events that stay as they are travel on without a copy. Filters that look at coordinates
refuse events outside the sensor, and those that look at times events of impossible time; readers
deliver neither.

Events are worked on as words, (n, 2) int64: the time, and x | y << 16 | p << 32. Read so they cost
a third of what fields of records cost.
"""

from abc import abstractmethod
from collections.abc import Generator
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StageError
from pipeline.events import EVENT, LARGEST_SIDE_PX
from pipeline.messages import Events, Message, Start, control, data
from pipeline.ports import EventsPort
from pipeline.stage import Account, PortError, StageConfig, Transform

__all__ = [
    "IMPOSSIBLE",
    "NEVER_US",
    "NO_WATERMARK_US",
    "OUTSIDE",
    "EventFilter",
    "FilterState",
    "Words",
    "no_words",
    "selected",
]

OUTSIDE = "outside the sensor"
IMPOSSIBLE = "of impossible time"

NEVER_US = -(2**63)
"""The time of a pixel that has not fired; so far from any event time that no period reaches it."""

NO_WATERMARK_US = -(2**63)
"""A watermark that promises nothing."""

_MAX_AREA = 1 << 26
"""Pixels that may be remembered one by one: half a gigabyte."""

Words: TypeAlias = NDArray[np.int64]
"""Events as (n, 2) int64: time, and x | y << 16 | p << 32."""

C = TypeVar("C", bound=StageConfig)
M = TypeVar("M")


class FilterState(NamedTuple, Generic[M]):
    """The counts of a recording and what the filter remembers of it."""

    stream: str
    epoch: int
    taken: int
    made: int
    refused: NDArray[np.int64]
    """Events refused, a column a reason; written in place."""
    watermark_us: int
    """As last received."""
    memory: M
    """What the filter itself remembers; its arrays are written in place."""


class EventFilter(Transform[C, FilterState[M]], Generic[C, M]):
    """A stage that takes events and gives events.

    A filter says what it remembers at the start of a recording, which events stay, and, where it
    changes it, the size of the sensor that the stages behind it see.
    """

    takes = (EventsPort,)
    reasons: ClassVar[tuple[str, ...]] = ()
    """Why events are refused, in the order of the counts that `select` adds to."""

    @abstractmethod
    def remember(self, header: Start) -> M:
        """Return what the filter remembers at the start of a recording.

        Raises:
            PortError: an option does not fit the sensor.
        """

    @abstractmethod
    def select(self, words: Words, memory: M, refused: NDArray[np.int64]) -> tuple[Words, M]:
        """Return the events that go on, and what is remembered now.

        Args:
            words: (n, 2) events, read-only.
            memory: what was remembered.
            refused: (reasons,) counts of events refused; those of this call are added.

        Returns:
            ``words`` itself if nothing was refused or changed, or an array of its own.
        """

    def resize(self, width: int | None, height: int | None) -> tuple[int | None, int | None]:
        """Return columns and rows of what is passed on, None where they are not known.

        Raises:
            PortError: an option does not fit the sensor.
        """
        return width, height

    def announce(self, header: Start) -> Start:
        """Return the Start of a recording that is passed on."""
        width, height = self.resize(header.width, header.height)
        assert width is not None
        assert height is not None
        if (width, height) == (header.width, header.height):
            return header
        return msgspec.structs.replace(header, width=width, height=height)

    def watermark_us(self, memory: M, watermark_us: int) -> int:
        """Return the watermark that is passed on."""
        return watermark_us

    def imports(self) -> tuple[str, ...]:
        """Return what most filters' kernels need."""
        return ("numba",)

    def port(self) -> EventsPort:
        """Return the input's port with the size that the filter gives it."""
        (events,) = self.inputs
        assert isinstance(events, EventsPort)
        width, height = self.resize(events.width, events.height)
        return EventsPort(width, height, events.live)

    def start(self, header: Start) -> FilterState[M]:
        """Return the state in front of a recording's first event.

        Raises:
            StageError: an option does not fit the sensor, or no sensor is of such a size.
        """
        width, height = header.width, header.height
        fits = all(0 < side <= LARGEST_SIDE_PX for side in (width, height))
        if not fits or width * height > _MAX_AREA:
            raise StageError(
                f"stage '{self.name}': the size of the sensor is {width}×{height}, must be within"
                f" {LARGEST_SIDE_PX}×{LARGEST_SIDE_PX} and <= {_MAX_AREA} pixels; is"
                f" {header.source} damaged?"
            )
        try:
            self.resize(header.width, header.height)
            memory = self.remember(header)
        except PortError as error:
            raise StageError(
                f"stage '{self.name}': {error.key}: {error}; the recording is {header.source}"
            ) from None
        return FilterState(
            stream=header.stream,
            epoch=header.epoch,
            taken=0,
            made=0,
            refused=np.zeros(len(self.reasons), dtype=np.int64),
            watermark_us=NO_WATERMARK_US,
            memory=memory,
        )

    def step(
        self, state: FilterState[M] | None, message: Message
    ) -> Generator[Message, None, FilterState[M] | None]:
        """Take any message; the Start that is passed on tells the size that the filter gives."""
        if not isinstance(message.header, Start):
            return (yield from super().step(state, message))
        state = self.start(message.header)
        yield control(self.announce(message.header))
        return state

    def process(
        self, state: FilterState[M], message: Message
    ) -> Generator[Message, None, FilterState[M]]:
        """Yield the events of a message that stay."""
        header = message.header
        assert isinstance(header, Events)
        words = message.array.view(np.int64).reshape(-1, 2)
        kept, memory = self.select(words, state.memory, state.refused)
        watermark_us = self.watermark_us(memory, header.watermark_us)
        state = state._replace(
            taken=state.taken + len(words),
            made=state.made + len(kept),
            watermark_us=header.watermark_us,
            memory=memory,
        )
        if kept is words and watermark_us == header.watermark_us:
            yield message
        else:
            yield self.message(state, kept, watermark_us)
        return state

    def gauges(self, state: FilterState[M]) -> dict[str, float]:
        """Return the share of this recording's events that stayed."""
        refused = int(state.refused.sum())
        return {"kept": 1 - refused / state.taken} if state.taken else {}

    def account(self, state: FilterState[M]) -> Account:
        """Return events passed on and, by reason, refused."""
        refused = dict(zip(self.reasons, state.refused.tolist(), strict=True))
        return Account(
            taken=state.taken,
            used=state.taken - sum(refused.values()),
            made=state.made,
            unit_in="events",
            unit_out="events",
            refused=refused,
        )

    @staticmethod
    def message(state: FilterState[Any], words: Words, watermark_us: int) -> Message:
        """Make a message of events; an empty one is of the time of its watermark."""
        first_us, last_us = watermark_us, watermark_us
        if len(words):
            first_us, last_us = int(words[0, 0]), int(words[-1, 0])
        return data(
            Events,
            words.reshape(-1).view(EVENT),
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=first_us,
            t_last_us=last_us,
            watermark_us=watermark_us,
        )


def no_words() -> Words:
    """Return no events, as read-only as those of a message, to compile kernels with."""
    words = np.empty((0, 2), dtype=np.int64)
    words.setflags(write=False)
    return words


def selected(words: Words, out: Words, count: int) -> Words:
    """Return the first ``count`` events of ``out``, or ``words`` itself if all of them stayed."""
    return words if count == len(words) else out[:count]
