"""How a run stands, as whoever watches it is told: its stages, queues, checkpoints and restarts.

The supervisor publishes it a few times a second over a socket in the run's folder, beside one at
which each stage shows some of the messages that it puts out (`pipeline.observe.tap`). Nobody needs
to listen, and nobody who does can slow the run down.
"""

import msgspec

from pipeline.observe.latency import Latency
from pipeline.report import QueueCount

__all__ = ["EdgeStatus", "HostStatus", "RunStatus", "StageStatus"]


class StageStatus(msgspec.Struct, frozen=True):
    """A stage, as its worker sees it."""

    name: str
    busy_s: float
    """For how long it has been busy with one message or turn, 0 if it waits."""
    worked_s: float
    """Time spent in its own steps so far."""
    lag_s: float = 0.0
    """How far its messages were behind, at worst, since this was last told: since they were due, or
    came in."""
    offered: int = 0
    """Units that it was to put into queues which overload's ladder steers."""
    pressed: int = 0
    """Units of these that the ladder took because something waited."""
    received: list[QueueCount] = []
    sent: list[QueueCount] = []
    event_us: int | None = None
    """Event time that it has come to; None before the first data."""
    latency: Latency | None = None
    """Of a sink, so far."""
    gauges: dict[str, float] = {}
    """What the stage itself shows, such as a firing rate for each layer; see `Stage.gauges`."""
    refused: dict[str, int] = {}
    """Units that it did not use, by reason, as of half a second ago at most."""
    over: bool = False


class EdgeStatus(msgspec.Struct, frozen=True):
    """A queue: messages on their way or being worked on, of so many that may be."""

    name: str
    sender: str
    receiver: str
    fill: int
    capacity: int
    kind: str = ""
    """What it carries: ``events``, ``frames``, ``outputs`` or ``predictions``."""
    use: str = ""
    """What stage the receiver is, such as ``jsonl``."""
    scores: str = ""
    """What the class scores of predictions are, see `pipeline.ports.PredictionsPort`."""


class HostStatus(msgspec.Struct, frozen=True):
    """Another host of a run."""

    name: str
    joined: bool
    offset_s: float | None = None
    """How far the run's clock is ahead of the host's; None before it was measured. Monotonic clocks
    begin when a machine does, so that may be days."""
    round_trip_s: float | None = None
    """How long that took: the offset is known to half of it."""


class RunStatus(msgspec.Struct, frozen=True):
    """A whole run."""

    run_id: str
    name: str
    path: str
    """The file that it runs."""
    at_s: float
    """Seconds since the run began."""
    state: str
    """``starting``, ``running``, ``paused``, ``stopping``, ``restarting``, or at last ``over``."""
    stages: list[StageStatus] = []
    edges: list[EdgeStatus] = []
    checkpoint: int | None = None
    checkpoint_age_s: float | None = None
    restarts: int = 0
    level: int = 0
    """The step of the overload ladder that is in force, 0 for none."""
    last_cause: str = ""
    """Of the latest restart."""
    hosts: list[HostStatus] = []
    """The others."""
