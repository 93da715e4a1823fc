"""Fault: rows change their order."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Data, Message
from stages.faults.fault import FaultConfig, FaultState
from stages.faults.late import LateFault

__all__ = ["FaultReorder", "FaultReorderConfig"]


class FaultReorderConfig(FaultConfig):
    """Options of `fault_reorder`."""

    probability: float = Field(gt=0, le=1)
    """How likely each row is overtaken."""
    by: int = Field(1, ge=1, le=100_000)
    """How many rows overtake it: those behind it, if they are not struck themselves."""


class FaultReorder(LateFault[FaultReorderConfig]):
    """Let some of what passes be overtaken by what came behind it."""

    Config = FaultReorderConfig
    told = "reordered on purpose"

    @property
    def probability(self) -> float:
        """How likely each row is overtaken."""
        return self.config.probability

    @property
    def late(self) -> int:
        """It leaves in front of the first row that does not overtake it."""
        return self.config.by + 1

    def clock(self, state: FaultState, message: Message) -> NDArray[np.int64]:
        """Return the number of each row."""
        assert isinstance(message.header, Data)
        return state.taken + np.arange(message.header.units, dtype=np.int64)
