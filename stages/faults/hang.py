"""Fault: nothing happens any more."""

import os
import signal
import time
from typing import Literal

from pydantic import Field

from pipeline.ports import Port
from pipeline.stage import PortError
from stages.faults.few import FewConfig, FewFault

__all__ = ["FaultHang", "FaultHangConfig"]

_FOR_EVER_S = 1e6


class FaultHangConfig(FewConfig):
    """Options of `fault_hang`."""

    what: Literal["process", "stage"] = "process"
    """What hangs: the whole process, stopped with SIGSTOP; or this stage's step alone, which does
    not return, while the process still answers."""
    for_s: float | None = Field(None, gt=0, le=86_400)
    """How long a ``stage`` hangs; for ever when left out."""


class FaultHang(FewFault[FaultHangConfig]):
    """Hang: take what comes and do nothing, without dying.

    Give it the ``group`` of the stages that are to hang with it.
    """

    Config = FaultHangConfig
    told = "hung on purpose"

    def port(self) -> Port:
        """Return the input's port."""
        if self.config.for_s is not None and self.config.what == "process":
            raise PortError("for_s", 'a stopped process cannot go on by itself; set what = "stage"')
        return super().port()

    def do(self) -> None:
        """Stop."""
        if self.config.what == "process":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            time.sleep(self.config.for_s or _FOR_EVER_S)
