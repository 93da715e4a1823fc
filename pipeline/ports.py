"""Ports: what is known before a run about the data on an edge of the graph.

`pipeline check` computes them from the sources on; a stage refuses a port that it cannot work
with. ``None`` stands for what only the recording or the camera will tell.
"""

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

__all__ = ["EventsPort", "FramesPort", "OutputsPort", "Port", "PredictionsPort"]


@dataclass(frozen=True)
class EventsPort:
    """A stream of events."""

    kind: ClassVar[str] = "events"
    width: int | None
    height: int | None
    live: bool = False

    def __str__(self) -> str:
        size = "any sensor" if self.width is None else f"{self.width}×{self.height}"
        return f"events {size}{' live' if self.live else ''}"


@dataclass(frozen=True)
class FramesPort:
    """Frames of event counts, (windows, channels, height, width)."""

    kind: ClassVar[str] = "frames"
    channels: int
    height: int | None
    width: int | None
    window_us: int
    step_us: int

    def __str__(self) -> str:
        height, width = ("?" if size is None else size for size in (self.height, self.width))
        return f"frames (n, {self.channels}, {height}, {width}) of {self.window_us / 1000:g} ms"


@dataclass(frozen=True)
class OutputsPort:
    """The output of a network at each time step, (windows, features)."""

    kind: ClassVar[str] = "outputs"
    features: int
    classes: tuple[str, ...]
    window_us: int
    step_us: int
    trained_steps: int | None = None
    """Time steps over which the network was trained to be aggregated."""

    def __str__(self) -> str:
        return f"outputs (n, {self.features}), {len(self.classes)} classes"


@dataclass(frozen=True)
class PredictionsPort:
    """Class scores, (predictions, classes)."""

    kind: ClassVar[str] = "predictions"
    classes: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return f"predictions (n, {len(self.classes)})"


Port: TypeAlias = EventsPort | FramesPort | OutputsPort | PredictionsPort
