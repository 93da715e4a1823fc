"""What all faults share: which rows they strike, and what they say of it at the end.

A fault takes events, frames, outputs or predictions, and gives on what it takes. It strikes rows
(an event, a window, a prediction), never messages, and whether it strikes one depends on nothing
but its seed, the number of the recording and that of the row in it. So the same rows are struck
each time, however the stream is cut into messages, and after a restart from a checkpoint too.
"""

from abc import abstractmethod
from collections.abc import Generator
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Data, Events, Frames, Message, Outputs, Predictions, Start
from pipeline.ports import EventsPort, FramesPort, OutputsPort, Port, PredictionsPort
from pipeline.stage import Account, PortError, StageConfig, Transform
from stages.faults.rows import Rows, as_messages, times_us
from stages.filters.event_filter import NO_WATERMARK_US

__all__ = ["Fault", "FaultConfig", "FaultState", "Held", "draws"]


class FaultConfig(StageConfig):
    """Options of every fault."""

    seed: int = Field(0, ge=0, lt=2**63)
    """Which rows are struck; another number strikes others."""
    from_us: int = Field(0, ge=0, lt=2**62)
    """No row before this time is struck, counted from the recording's first event. The time of a
    window, or of a prediction, is its end."""
    until_us: int | None = Field(None, gt=0, lt=2**62)
    """No row at or behind this time is struck."""


class Held(NamedTuple):
    """Rows that are held back."""

    header: Events | Frames | Outputs | Predictions
    array: NDArray[Any]


class FaultState(NamedTuple):
    """The counts of this recording, and what is held back."""

    stream: str
    epoch: int
    origin_us: int | None
    """From when on time is counted; None before the first row."""
    taken: int
    struck: int
    made: int
    watermark_us: int
    """As last received."""
    held: tuple[Held, ...]
    due_at: tuple[int, ...]
    """When each row held is due, by the fault's own clock."""
    clock: int
    """How far that has come."""


C = TypeVar("C", bound=FaultConfig)


class Fault(Transform[C, FaultState]):
    """A stage that harms what it passes on."""

    takes = (EventsPort, FramesPort, OutputsPort, PredictionsPort)
    told: ClassVar[str]
    """What the ledger calls the rows struck."""
    more: ClassVar[int] = 0
    """How many rows more come out for each that is struck; -1: it is refused."""

    @property
    @abstractmethod
    def probability(self) -> float:
        """How likely each row is struck."""

    @property
    def always(self) -> bool:
        """Whether messages without a row that is struck are worked on too."""
        return False

    @abstractmethod
    def strike(
        self, state: FaultState, message: Message, struck: NDArray[np.bool_]
    ) -> Generator[Message, None, FaultState]:
        """Yield what becomes of a message with `give`, and return the next state.

        Args:
            state: as it was in front of the message.
            message: one in which a row is struck; while rows are held back, any.
            struck: (n,) which rows.
        """

    def port(self) -> Port:
        """Return the input's port."""
        until_us = self.config.until_us
        if until_us is not None and until_us <= self.config.from_us:
            raise PortError(
                "until_us", f"must be > from_us = {self.config.from_us}, got {until_us}"
            )
        return self.inputs[0]

    def start(self, header: Start) -> FaultState:
        """Return the state in front of a recording's first row."""
        return FaultState(
            stream=header.stream,
            epoch=header.epoch,
            origin_us=header.t_first_us,
            taken=0,
            struck=0,
            made=0,
            watermark_us=NO_WATERMARK_US,
            held=(),
            due_at=(),
            clock=NO_WATERMARK_US,
        )

    def process(self, state: FaultState, message: Message) -> Generator[Message, None, FaultState]:
        """Yield what becomes of a message."""
        header = message.header
        assert isinstance(header, Data)
        state, struck = self._choose(state, message)
        if self.always or state.held or struck.any():
            state = yield from self.strike(state, message, struck)
        else:
            state = state._replace(made=state.made + header.units)
            yield message
        return self.advance(state, message, int(struck.sum()))

    def advance(self, state: FaultState, message: Message, struck: int) -> FaultState:
        """Return the state behind a message of which so many rows were struck."""
        header = message.header
        assert isinstance(header, Data)
        return state._replace(
            taken=state.taken + header.units,
            struck=state.struck + struck,
            watermark_us=getattr(header, "watermark_us", state.watermark_us),
        )

    def give(
        self, state: FaultState, rows: Rows, header: Data, watermark_us: int | None = None
    ) -> Generator[Message, None, FaultState]:
        """Yield rows as messages, and return the state with them counted.

        Args:
            state: what to count them in.
            rows: see `stages.faults.rows`.
            header: of the message that they are, or follow, from.
            watermark_us: for events; that of ``header`` when left out.
        """
        if watermark_us is None:
            watermark_us = getattr(header, "watermark_us", NO_WATERMARK_US)
        yield from as_messages(rows, header, watermark_us)
        return state._replace(made=state.made + len(rows))

    def account(self, state: FaultState) -> Account:
        """Return rows taken, struck and passed on."""
        refused = state.struck if self.more < 0 else 0
        return Account(
            taken=state.taken,
            used=state.taken - refused,
            made=state.made,
            unit_in=self._units,
            unit_out=self._units,
            refused={self.told: refused} if refused else {},
            due=state.taken + self.more * state.struck - len(state.due_at),
            notes={} if refused else {self.told: state.struck},
        )

    @property
    def _units(self) -> str:
        (port,) = self.inputs
        return "windows" if port.kind == "frames" else port.kind

    def _choose(self, state: FaultState, message: Message) -> tuple[FaultState, NDArray[np.bool_]]:
        """Return which rows of a message are struck, and the state with an origin of time."""
        assert isinstance(message.header, Data)
        count = message.header.units
        struck = draws(self.config.seed, state.epoch, state.taken, count) < self.probability
        if not count:
            return state, struck
        if state.origin_us is None:
            state = state._replace(origin_us=int(times_us(message)[0]))
        assert state.origin_us is not None
        from_us, until_us = self.config.from_us, self.config.until_us
        if from_us or until_us is not None:
            since_us = times_us(message) - state.origin_us
            struck &= since_us >= from_us
            if until_us is not None:
                struck &= since_us < until_us
        return state, struck


def draws(seed: int, epoch: int, first: int, count: int, purpose: int = 0) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each of ``count`` rows from row ``first`` on.

    A row's number is the same whatever others are asked for with it.

    Args:
        seed: which numbers.
        epoch: the number of the recording.
        first: the number of the first row in it.
        count: how many.
        purpose: numbers for another purpose are other ones.
    """
    bits = np.random.PCG64([seed, epoch, purpose])
    # One step of this generator is one number.
    bits.advance(first)
    return np.random.Generator(bits).random(count)
