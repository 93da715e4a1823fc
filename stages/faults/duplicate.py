"""Fault: rows come twice."""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Data, Message
from stages.faults.fault import Fault, FaultConfig, FaultState
from stages.faults.rows import rows_of

__all__ = ["FaultDuplicate", "FaultDuplicateConfig"]


class FaultDuplicateConfig(FaultConfig):
    """Options of `fault_duplicate`."""

    probability: float = Field(gt=0, le=1)
    """How likely each row comes twice."""


class FaultDuplicate(Fault[FaultDuplicateConfig]):
    """Let some of what passes come twice, one right behind the other."""

    Config = FaultDuplicateConfig
    told = "duplicated on purpose"
    more = 1

    @property
    def probability(self) -> float:
        """How likely each row comes twice."""
        return self.config.probability

    def strike(
        self, state: FaultState, message: Message, struck: NDArray[np.bool_]
    ) -> Generator[Message, None, FaultState]:
        """Give all rows, and those struck once more."""
        assert isinstance(message.header, Data)
        rows = np.repeat(rows_of(message), 1 + struck, axis=0)
        return (yield from self.give(state, rows, message.header))
