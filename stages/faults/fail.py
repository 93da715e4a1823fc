"""Fault: a stage fails."""

from pipeline.errors import StageError
from stages.faults.few import FewConfig, FewFault

__all__ = ["FaultRaise", "FaultRaiseConfig"]


class FaultRaiseConfig(FewConfig):
    """Options of `fault_raise`."""

    message: str = "failed on purpose"
    """What the error says."""


class FaultRaise(FewFault[FaultRaiseConfig]):
    """Fail with an error, as a stage does that cannot go on."""

    Config = FaultRaiseConfig
    told = "failed on purpose"

    def do(self) -> None:
        """Fail."""
        raise StageError(f"stage '{self.name}': {self.config.message}")
