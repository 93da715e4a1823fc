"""What the faults share that let rows come late: they are held back, and leave when they are due.

Each row has a time by a clock of the fault's own; a row that is struck is due some of that time
later, and leaves in front of the first row that is due behind it.
"""

from abc import abstractmethod
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from pipeline.messages import Data, Events, Message, Reset
from stages.faults.fault import C, Fault, FaultState, Held
from stages.faults.rows import as_messages, rows_of

__all__ = ["LateFault"]


class LateFault(Fault[C]):
    """A fault that holds rows back; the watermark waits for them."""

    @abstractmethod
    def clock(self, state: FaultState, message: Message) -> NDArray[np.int64]:
        """Return (n,) the time of each row, none before that of the row in front of it."""

    @property
    @abstractmethod
    def late(self) -> int:
        """How much later a row is that was struck, by that clock."""

    def strike(
        self, state: FaultState, message: Message, struck: NDArray[np.bool_]
    ) -> Generator[Message, None, FaultState]:
        """Give the rows that are due, hold those back that are not."""
        header = message.header
        assert isinstance(header, Data)
        clock = self.clock(state, message)
        now = int(clock[-1]) if len(clock) else state.clock
        waits = [True] * len(state.due_at) + struck.tolist()
        due_at = np.concatenate([np.array(state.due_at, np.int64), clock + self.late * struck])
        rows = np.concatenate([*(rows_of(Message(*held)) for held in state.held), rows_of(message)])
        # Where two are due at a time, that which waited is first, then that which came first.
        order = np.lexsort((np.arange(len(rows)), ~np.array(waits, bool), due_at))
        leave = int(np.count_nonzero(due_at <= now))
        rows, due_at = rows[order], due_at[order]
        kept = as_messages(rows[leave:], header, state.watermark_us) if leave < len(rows) else ()
        state = state._replace(
            held=tuple(Held(one.header, one.array) for one in kept),  # type: ignore[arg-type]
            due_at=tuple(due_at[leave:].tolist()),
        )
        watermark_us = None
        if isinstance(header, Events) and state.held:
            watermark_us = min(header.watermark_us, int(rows[leave:, 0].min()))
        return (yield from self.give(state, rows[:leave], header, watermark_us))

    def finish(self, state: FaultState) -> Generator[Message, None, FaultState]:
        """Give what is still held back, in the order in which it would have left."""
        if state.held:
            header = state.held[-1].header
            rows = np.concatenate([rows_of(Message(*held)) for held in state.held])
            state = state._replace(held=(), due_at=())
            state = yield from self.give(state, rows, header, state.watermark_us)
        return state

    def step(
        self, state: FaultState | None, message: Message
    ) -> Generator[Message, None, FaultState | None]:
        """Take any message; what is held when a reset comes was before it, and leaves before it."""
        if isinstance(message.header, Reset) and state is not None:
            state = yield from self.finish(state)
        return (yield from super().step(state, message))
