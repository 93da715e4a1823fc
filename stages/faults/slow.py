"""Fault: a slow reader."""

import time
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Data, Message
from stages.faults.fault import Fault, FaultConfig, FaultState

__all__ = ["FaultSlow", "FaultSlowConfig"]


class FaultSlowConfig(FaultConfig):
    """Options of `fault_slow`."""

    sleep_us: float = Field(gt=0, le=60_000_000)
    """How long it sleeps for each row that is struck."""
    probability: float = Field(1.0, gt=0, le=1)
    """How likely it sleeps at each row."""


class FaultSlow(Fault[FaultSlowConfig]):
    """Read slowly: sleep for so long an event, a window or a prediction.

    With a small ``probability`` and a long sleep it stands still now and then, as a network does.
    """

    Config = FaultSlowConfig
    told = "slowed down on purpose"

    @property
    def probability(self) -> float:
        """How likely it sleeps at each row."""
        return self.config.probability

    def strike(
        self, state: FaultState, message: Message, struck: NDArray[np.bool_]
    ) -> Generator[Message, None, FaultState]:
        """Sleep, then give the message as it is."""
        assert isinstance(message.header, Data)
        time.sleep(self.config.sleep_us * int(struck.sum()) / 1e6)
        yield message
        return state._replace(made=state.made + message.header.units)
