"""What the supervisor and its workers say to each other, over one ZeroMQ socket in the run folder.

worker → supervisor   Ready, then Done; or Failed; before that Compiles, where it does
supervisor → worker   Go when all are ready; Pause, Step and Resume while sources play; Stop to
                      drain; Abort to give up; Exit when all is done
"""

from typing import TypeAlias

import msgspec

from pipeline.report import Failure, StageReport

__all__ = [
    "Abort",
    "Compiles",
    "Done",
    "Exit",
    "Failed",
    "FromWorker",
    "Go",
    "Pause",
    "Plan",
    "Ready",
    "Resume",
    "Step",
    "Stop",
    "ToWorker",
]


class Plan(msgspec.Struct, frozen=True):
    """All that is needed to build the graph once more; lies in the run folder."""

    path: str
    tables: dict[str, object]
    overrides: list[str]
    run_id: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Stages are open and input queues are bound, at these endpoints."""

    endpoints: dict[str, str]


class Compiles(msgspec.Struct, frozen=True, tag="compiles"):
    """Kernels are being compiled that no run before has left in the cache."""


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


class Abort(msgspec.Struct, frozen=True, tag="abort"):
    """Give up what is on its way, close everything, leave."""


class Exit(msgspec.Struct, frozen=True, tag="exit"):
    """Every worker is done: leave."""


FromWorker: TypeAlias = Ready | Compiles | Done | Failed
ToWorker: TypeAlias = Go | Pause | Step | Resume | Stop | Abort | Exit
