"""What the faults share that end something: they strike a given number of times in a whole run."""

from abc import abstractmethod
from collections.abc import Generator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.messages import Data, Message
from pipeline.ports import Port
from stages.faults.fault import Fault, FaultConfig, FaultState
from stages.faults.marks import Marks
from stages.faults.rows import rows_of
from stages.sinks.output_file import check_output

__all__ = ["FewConfig", "FewFault"]


class FewConfig(FaultConfig):
    """Options of the faults that strike a given number of times."""

    probability: float = Field(1.0, gt=0, le=1)
    """How likely each row is struck. With 1 it is the first one at or behind ``from_us``."""
    times: int = Field(1, ge=1, le=1_000_000)
    """How many rows are struck, in a run and all its restarts together; each row once."""
    marks: FilePath
    """A small file that tells what was struck already, so that a run which goes on from a
    checkpoint does not end at the same row for ever. A run that starts afresh removes it."""


C = TypeVar("C", bound=FewConfig)


class FewFault(Fault[C]):
    """A fault that strikes single rows, when those in front of them have been passed on."""

    writes = ("marks",)

    @abstractmethod
    def do(self) -> None:
        """Do the harm."""

    @property
    def probability(self) -> float:
        """How likely each row is struck."""
        return self.config.probability

    def port(self) -> Port:
        """Return the input's port; look whether the marks can be written."""
        check_output(self.config.marks, "replace", key="marks")
        return super().port()

    def open(self) -> None:
        """Read what was struck, or forget it where a run starts afresh."""
        self._marks = Marks(self.config.marks)
        try:
            if not self.resumes:
                self._marks.clear()
            self._struck = self._marks.read()
        except OSError as error:
            raise self._unusable(error) from None

    def strike(
        self, state: FaultState, message: Message, struck: NDArray[np.bool_]
    ) -> Generator[Message, None, FaultState]:
        """Give the message; do the harm in front of each row that is struck for the first time."""
        header, done = message.header, 0
        assert isinstance(header, Data)
        for at in np.flatnonzero(struck).tolist():
            if len(self._struck) >= self.config.times:
                break
            mark = f"{state.epoch} {state.taken + at}"
            if mark in self._struck:
                continue
            if at > done:
                # A watermark is true of the whole message only.
                front = rows_of(message)[done:at]
                state = yield from self.give(state, front, header, state.watermark_us)
                done = at
            self._mark(mark)
            self.do()
        if not done:
            yield message
            return state._replace(made=state.made + header.units)
        return (yield from self.give(state, rows_of(message)[done:], header))

    def _mark(self, mark: str) -> None:
        try:
            self._marks.add(mark)
        except OSError as error:
            raise self._unusable(error) from None
        self._struck.add(mark)

    def _unusable(self, error: OSError) -> StageError:
        return StageError(
            f"stage '{self.name}': marks: {self.config.marks}: cannot be used: {error.strerror};"
            " name another file"
        )
