"""Fault: the process is killed."""

import os
import signal

from stages.faults.few import FewConfig, FewFault

__all__ = ["FaultKill", "FaultKillConfig"]


class FaultKillConfig(FewConfig):
    """Options of `fault_kill`."""


class FaultKill(FewFault[FaultKillConfig]):
    """Kill the process that it runs in, with SIGKILL, as the system does when memory is short.

    Give it the ``group`` of the stages that are to die with it.
    """

    Config = FaultKillConfig
    told = "killed on purpose"

    def do(self) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)
