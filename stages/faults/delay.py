"""Fault: rows come late in event time."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Message
from stages.faults.fault import FaultConfig, FaultState
from stages.faults.late import LateFault
from stages.faults.rows import times_us

__all__ = ["FaultDelay", "FaultDelayConfig"]


class FaultDelayConfig(FaultConfig):
    """Options of `fault_delay`."""

    probability: float = Field(gt=0, le=1)
    """How likely each row is late."""
    delay_us: int = Field(gt=0, le=3_600_000_000)
    """How late: it leaves when a row comes that is of so much later a time."""


class FaultDelay(LateFault[FaultDelayConfig]):
    """Let some of what passes come late: it keeps its time, and leaves behind what is younger.

    Bins whose windows are closed by then count it late. To hold a stream up in real time, use
    `fault_slow`.
    """

    Config = FaultDelayConfig
    told = "delayed on purpose"

    @property
    def probability(self) -> float:
        """How likely each row is late."""
        return self.config.probability

    @property
    def late(self) -> int:
        """How late."""
        return self.config.delay_us

    def clock(self, state: FaultState, message: Message) -> NDArray[np.int64]:
        """Return how far time has come with each row."""
        times = np.maximum(times_us(message), state.clock)
        return np.maximum.accumulate(times, dtype=np.int64)

    def advance(self, state: FaultState, message: Message, struck: int) -> FaultState:
        """Return the state behind a message; time has come as far as its latest row."""
        latest_us = int(times_us(message).max(initial=state.clock))
        return super().advance(state, message, struck)._replace(clock=latest_us)
