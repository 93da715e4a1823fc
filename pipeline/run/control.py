"""What the supervisor and its workers say to each other, over one ZeroMQ socket in the run folder.

worker → supervisor   Ready, then Done; or Failed; before that Compiles, where it does; Kept for
                      each stage and checkpoint; Alive all the time, with Traced where wanted
supervisor → worker   Go when all are ready; Pause, Step, Resume, Speed and Forget while sources
                      play; Checkpoint; Stop to drain; Abort to give up; Exit when all is done
"""

from typing import TypeAlias

import msgspec

from pipeline.checkpoint.folder import StageSnapshot
from pipeline.observe.status import StageStatus
from pipeline.report import Failure, StageReport

__all__ = [
    "Abort",
    "Alive",
    "Checkpoint",
    "Compiles",
    "Done",
    "Exit",
    "Failed",
    "Forget",
    "FromWorker",
    "Go",
    "Kept",
    "Level",
    "Order",
    "Pause",
    "Plan",
    "Ready",
    "Resume",
    "Speed",
    "Step",
    "Stop",
    "ToWorker",
    "Traced",
]


class Plan(msgspec.Struct, frozen=True):
    """All that is needed to build the graph once more; lies in the run folder."""

    path: str
    tables: dict[str, object]
    overrides: list[str]
    run_id: str
    resumes: bool
    """Whether the run goes on from a checkpoint."""
    checkpoints: bool
    """Whether checkpoints are made."""
    beat_s: float
    """How often a worker says that it is alive."""
    host: str = ""
    """Whose groups are run here; "" is the host that supervises."""
    address: str = ""
    """Of this host, at which others reach its queues; "" where there are no other hosts."""
    trace: bool = False
    """Whether stages tell when they work; see `pipeline.observe.trace`."""
    offset_ns: int = 0
    """How far the run's clock is ahead of this host's."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Stages are open and input queues are bound, at these endpoints."""

    endpoints: dict[str, str]


class Compiles(msgspec.Struct, frozen=True, tag="compiles"):
    """Kernels are being compiled that no run before has left in the cache."""


class Kept(msgspec.Struct, frozen=True, tag="kept"):
    """What belongs to checkpoint ``number`` of one stage; to any, if its stream was over."""

    number: int | None
    snapshot: StageSnapshot


class Alive(msgspec.Struct, frozen=True, tag="alive"):
    """The worker still hears, and this is what its stages are doing."""

    stages: list[StageStatus]


class Traced(msgspec.Struct, frozen=True, tag="traced"):
    """What a stage did since it last told: name, begin and end in ns, event time in µs."""

    stage: str
    spans: list[tuple[str, int, int, int | None]]
    left_out: int
    """Spans that were too many."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """All stages of the worker have seen the end of the stream."""

    reports: list[StageReport]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A stage failed."""

    stage: str
    failure: Failure


class Go(msgspec.Struct, frozen=True, tag="go"):
    """Every worker is ready: connect to these endpoints and run."""

    endpoints: dict[str, str]


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Sources end their streams now; what is on its way is still worked on."""


class Pause(msgspec.Struct, frozen=True, tag="pause"):
    """Sources let nothing more leave."""


class Step(msgspec.Struct, frozen=True, tag="step"):
    """Sources pause, and let so many further turns leave."""

    turns: int


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """Sources play on."""


class Speed(msgspec.Struct, frozen=True, tag="speed"):
    """Sources that are paced play so many times faster than recorded from here on."""

    speed: float


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """Sources let a Reset leave: membranes and all that stages remember begin anew."""


class Checkpoint(msgspec.Struct, frozen=True, tag="checkpoint"):
    """Sources let the barrier of a checkpoint leave as soon as they can."""

    number: int
    oldest: int = 0
    """The oldest that is kept: what only older ones would ask for is not needed any more."""


class Level(msgspec.Struct, frozen=True, tag="level"):
    """Queues shed what belongs to a step of `pipeline.queue.overload`'s ladder."""

    level: int


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """Give up what is on its way, close everything, leave."""


class Exit(msgspec.Struct, frozen=True, tag="exit"):
    """Every worker is done: leave."""


FromWorker: TypeAlias = Ready | Compiles | Kept | Alive | Traced | Done | Failed
Order: TypeAlias = Pause | Step | Resume | Speed | Forget | Stop
"""What the user wants of the sources."""
ToWorker: TypeAlias = (
    Go | Pause | Step | Resume | Speed | Forget | Checkpoint | Level | Stop | Abort | Exit
)
