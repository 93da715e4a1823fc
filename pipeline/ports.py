"""Ports: what is known before a run about the data on an edge of the graph.

`pipeline check` computes them from the sources on; a stage refuses a port that it cannot work
with. ``None`` stands for what only the recording or the camera will tell.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeAlias

__all__ = [
    "EVENT_FRAMES",
    "EventsPort",
    "FramesPort",
    "OutputsPort",
    "Port",
    "PredictionsPort",
    "Words",
]

EVENT_FRAMES = ("counts", "binary", "signed", "voxel", "time_surface", "decay")
"""What frames made of events may hold."""


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
class Words:
    """The vocabulary by which words are numbered."""

    path: Path
    ids: int
    """How many ids there are: of the words, of the padding and of the unknown word."""
    sha256: str
    """Of the words, one a line, in UTF-8."""


@dataclass(frozen=True)
class FramesPort:
    """Frames, (windows, channels, height, width).

    ``frame`` says what they hold, as the option of the stages that make them does: ``counts`` of
    events, ``grey`` pictures, ``tokens``. Windows of a number of events, tokens and slices have
    neither length nor step in time. ``made_of`` is what the source had: ``events``, ``video``,
    ``pictures``, ``slices``, ``text``; what to do where frames do not fit depends on it.
    """

    kind: ClassVar[str] = "frames"
    channels: int
    height: int | None
    width: int | None
    window_us: int | None
    step_us: int | None
    frame: str = "counts"
    made_of: str = "events"
    steps: int | None = None
    """How many each recording has, where it is the same for all."""
    words: Words | None = None
    """By what tokens are numbered."""

    def __str__(self) -> str:
        height, width = ("?" if size is None else size for size in (self.height, self.width))
        kind = "frames" if self.frame == "counts" else f"{self.frame} frames"
        shape = f"{kind} (n, {self.channels}, {height}, {width})"
        if self.window_us is None or self.step_us is None:
            return f"{shape} by count of events" if self.frame in EVENT_FRAMES else shape
        step = "" if self.step_us == self.window_us else f" every {self.step_us / 1000:g} ms"
        return f"{shape} of {self.window_us / 1000:g} ms{step}"


@dataclass(frozen=True)
class OutputsPort:
    """The output of a network at each time step, (windows, features).

    With a ``head`` these are features yet, and how many is known when the network is loaded.
    """

    kind: ClassVar[str] = "outputs"
    features: int | None
    classes: tuple[str, ...]
    window_us: int | None
    step_us: int | None
    trained_steps: int | None = None
    """Time steps over which the network was trained to be aggregated."""
    steps: int | None = None
    """How many outputs each recording has, where it is the same for all."""
    head: Path | None = None
    """Weights of the network that says how its outputs are taken together, and makes class scores
    of what was taken; None where the mean of the outputs is that already."""
    scores: str = "score"
    """What the class scores will be, see `PredictionsPort`."""

    def __str__(self) -> str:
        features = "?" if self.features is None else self.features
        return f"outputs (n, {features}), {len(self.classes)} classes"


@dataclass(frozen=True)
class PredictionsPort:
    """Class scores, (predictions, classes).

    ``scores`` says what they are: ``rate``, the share of the steps in which the class's neuron
    fired; ``activity``, the mean of what it put out, 0 or more; ``logit``; ``probability``;
    ``vote``, the share of the steps that the class won; ``score``, where nobody says more.
    """

    kind: ClassVar[str] = "predictions"
    classes: tuple[str, ...] = field(repr=False)
    scores: str = "score"
    needs_us: int | None = field(default=None, compare=False)
    """How long a recording must be, from its first event to its last, to have a prediction, in µs;
    None where that is not known."""

    def __str__(self) -> str:
        return f"predictions (n, {len(self.classes)})"


Port: TypeAlias = EventsPort | FramesPort | OutputsPort | PredictionsPort
