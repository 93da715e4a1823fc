"""How a run ended: what its stages report, and what it was put back to on its way."""

import msgspec

from pipeline.observe.status import HostStatus
from pipeline.queue.overload import Overload
from pipeline.report import StageReport

__all__ = ["Outcome", "Restart"]


class Restart(msgspec.Struct, frozen=True):
    """The run was put back to a checkpoint, and went on."""

    cause: str
    checkpoint: int
    at_s: float
    """Seconds behind the start of the run at which the cause was seen."""
    down_s: float
    """How long it took until the sources were let go again."""


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended that did not fail."""

    reports: list[StageReport]
    started: bool
    """Every stage had become ready, and the sources were let go."""
    interrupted: bool
    """The user stopped it."""
    drained: bool
    """Everything that the sources had sent was worked on to its end."""
    ready_s: float = 0.0
    """How long it took until the sources were let go; 0 where they were not."""
    restarts: list[Restart] = []
    overload: Overload | None = None
    """What it made the run give up; None without an ``[overload]`` table."""
    finished_before: bool = False
    """There was nothing to go on with: the run had come to its end before."""
    results: int = 0
    """How many files it had left then; they are as it left them."""
    hosts: list[HostStatus] = []
    """The others, and what is known of their clocks."""
