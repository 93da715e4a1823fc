"""Fault: a bit of a row is turned over."""

import math
from collections.abc import Generator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.messages import Data, Events, Message
from stages.faults.fault import Fault, FaultConfig, FaultState, draws
from stages.faults.rows import rows_of
from stages.filters.event_filter import NO_WATERMARK_US

__all__ = ["FaultCorrupt", "FaultCorruptConfig"]

_BITS = {"t": range(64), "x": range(64, 80), "y": range(80, 96), "p": range(96, 104)}
"""Where the fields of an event are; what lies behind them is nobody's."""
_WHICH = 1
"""What draws are for, other than whether a row is struck."""


class FaultCorruptConfig(FaultConfig):
    """Options of `fault_corrupt`."""

    probability: float = Field(gt=0, le=1)
    """How likely a bit of each row is turned over."""
    fields: tuple[Literal["t", "x", "y", "p"], ...] = Field(("x", "y", "p"), min_length=1)
    """Of events: in which fields. With ``t``, times may jump to anywhere, and no message says any
    more up to when all events have come."""


class FaultCorrupt(Fault[FaultCorruptConfig]):
    """Turn over one bit in some of what passes: in an event, a frame, an output or a score."""

    Config = FaultCorruptConfig
    told = "corrupted on purpose"

    @property
    def probability(self) -> float:
        """How likely a bit of each row is turned over."""
        return self.config.probability

    @property
    def always(self) -> bool:
        """Where times are not what they were, no message may promise any."""
        return "t" in self.config.fields

    def strike(
        self, state: FaultState, message: Message, struck: NDArray[np.bool_]
    ) -> Generator[Message, None, FaultState]:
        """Give all rows, those struck with another bit."""
        header = message.header
        assert isinstance(header, Data)
        where = np.flatnonzero(struck)
        drawn = draws(self.config.seed, state.epoch, state.taken, len(struck), _WHICH)[where]
        if isinstance(header, Events):
            bits = np.array([bit for field in self.config.fields for bit in _BITS[field]])
            words = rows_of(message).copy()
            _turn(words.view(np.uint8), where, bits[(drawn * len(bits)).astype(np.intp)])
            watermark_us = NO_WATERMARK_US if self.always else header.watermark_us
            return (yield from self.give(state, words, header, watermark_us))
        array = message.array.copy()
        octets = array.reshape(len(array), math.prod(array.shape[1:])).view(np.uint8)
        _turn(octets, where, (drawn * octets.shape[1] * 8).astype(np.intp))
        array.setflags(write=False)
        yield Message(header, array)
        return state._replace(made=state.made + len(array))


def _turn(octets: NDArray[np.uint8], rows: NDArray[np.intp], bits: NDArray[np.intp]) -> None:
    """Turn over one bit in each of some rows; they are written to."""
    octets[rows, bits // 8] ^= np.left_shift(1, bits % 8).astype(np.uint8)
