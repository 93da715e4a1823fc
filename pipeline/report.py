"""What a stage tells the supervisor when it has finished, or failed."""

import traceback

import msgspec

from pipeline.observe.latency import Latency
from pipeline.stage import Account

__all__ = ["LOSSES", "Failure", "Pace", "QueueCount", "StageReport", "failure_of"]


LOSSES = ("dropped", "thinned", "merged")
"""How units are lost in a queue."""


class QueueCount(msgspec.Struct, frozen=True):
    """One end of a queue: messages and units (events, windows, predictions) put into it.

    The sender counts what it was to send, the receiver what came and what it was told is lost.
    """

    name: str
    messages: int
    units: int
    blocked_s: float = 0.0
    """How long the sender stood before a full queue."""
    output: str = ""
    """The side output that it carries, "" for a main one."""
    lost_messages: int = 0
    """Of all these, those that overload took from the queue or merged into others."""
    lost: dict[str, int] = {}
    """Units that it took, by how, see `LOSSES`."""

    @property
    def arrived(self) -> int:
        """Units that were not lost."""
        return self.units - sum(self.lost.values())


class Failure(msgspec.Struct, frozen=True):
    """An error as it travels to the supervisor; ``details`` is the traceback of a bug."""

    text: str
    exit_code: int
    details: str = ""


class Pace(msgspec.Struct, frozen=True):
    """How a paced source kept its clock, at the speed that it had last."""

    speed: float
    event_s: float
    """Event time between the first and the last message due."""
    wall_s: float
    """Time that passed between them: ``event_s / speed`` on a perfect clock."""
    late_max_ms: float
    """The furthest that a message left behind its due time."""


class StageReport(msgspec.Struct, frozen=True):
    """Accounts and timing of one stage over the whole run."""

    name: str
    account: Account | None
    received: list[QueueCount]
    sent: list[QueueCount]
    busy_s: float
    """Time spent in the stage's own step."""
    wall_s: float
    open_s: float = 0.0
    """How long the stage took to open: to load weights and kernels, to find a device."""
    processor_s: float = 0.0
    """Processor time of its process since it was let go, all threads; a group's stages share it."""
    failure: Failure | None = None
    """Why a source ended before its time; what it had sent was worked on to the end."""
    latency: Latency | None = None
    transit: Latency | None = None
    """The part of the latency behind the source: without what its pace adds."""
    pace: Pace | None = None
    remarks: list[str] = []
    """What a person may want to know beside, a line each."""


def failure_of(error: BaseException) -> Failure:
    """Turn an exception into what the user will read of it."""
    exit_code = getattr(error, "exit_code", None)
    if exit_code is not None:
        return Failure(str(error), exit_code)
    if isinstance(error, OSError) and error.filename is not None:
        return Failure(f"{error.filename}: {error.strerror}", 1)
    details = "".join(traceback.format_exception(error))
    return Failure(f"{type(error).__name__}: {error}", 1, details)
