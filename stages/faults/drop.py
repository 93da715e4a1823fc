"""Fault: rows are lost."""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Data, Message
from stages.faults.fault import Fault, FaultConfig, FaultState
from stages.faults.rows import rows_of

__all__ = ["FaultDrop", "FaultDropConfig"]


class FaultDropConfig(FaultConfig):
    """Options of `fault_drop`."""

    probability: float = Field(gt=0, le=1)
    """How likely each row is lost."""


class FaultDrop(Fault[FaultDropConfig]):
    """Lose some of what passes, as a bad cable does.

    What is lost is counted in the ledger as refused. Windows that are lost leave a gap in the grid.
    """

    Config = FaultDropConfig
    told = "dropped on purpose"
    more = -1

    @property
    def probability(self) -> float:
        """How likely each row is lost."""
        return self.config.probability

    def strike(
        self, state: FaultState, message: Message, struck: NDArray[np.bool_]
    ) -> Generator[Message, None, FaultState]:
        """Give the rows that are not lost."""
        assert isinstance(message.header, Data)
        return (yield from self.give(state, rows_of(message)[~struck], message.header))
