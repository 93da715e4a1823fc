"""What training learns from: labelled examples, each a stretch of frames."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.card import TrainedWords
from models.errors import ModelError

__all__ = ["Examples", "Frames", "LabelledFrames"]

Frames = NDArray[Any]
"""(steps, channels, height, width) or a stack of those; integers or float32."""


class Examples(Protocol):
    """Labelled stretches of frames, wherever they lie, with what a model card must say of them.

    Attributes:
        labels: (n,), int64, index into `classes`.
        groups: (n,), int64, whose they are (a person, a recording): no group may be in two parts.
        classes: Class names.
        sensor_size: (height, width) of what the frames were made from, pixels.
        window_us: Length of a step, microseconds; None: a step has no length in time.
        frame: What a frame holds: ``counts``, ``binary``, ``rgb``, ``tokens``, ...
        vocabulary: What numbers the words of texts; None for all else.
    """

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each example."""

    @property
    def groups(self) -> NDArray[np.int64]:
        """Whose each example is."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""

    @property
    def sensor_size(self) -> tuple[int, int]:
        """(height, width), pixels."""

    @property
    def window_us(self) -> int | None:
        """Length of a step, microseconds."""

    @property
    def frame(self) -> str:
        """What a frame holds."""

    @property
    def vocabulary(self) -> TrainedWords | None:
        """What numbers the words of texts."""

    def __len__(self) -> int:
        """Return how many examples there are."""

    def example(self, index: int, rng: np.random.Generator | None = None) -> Frames:
        """Return one example.

        Args:
            index: Which, from 0.
            rng: Where augmentation of the events themselves draws from; None: as recorded.

        Returns:
            (steps, channels, height, width), integers or float32; the caller may write to it.
        """


@dataclass(frozen=True)
class LabelledFrames:
    """Examples that lie in memory; see `Examples`.

    Attributes:
        frames: (n, steps, channels, height, width), integers or float32.

    Raises:
        ModelError: The arrays do not fit each other.
    """

    frames: Frames
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    classes: tuple[str, ...]
    sensor_size: tuple[int, int]
    window_us: int | None
    frame: str = "counts"
    vocabulary: TrainedWords | None = None

    def __post_init__(self) -> None:
        """Check shapes, dtype and labels."""
        good = self.frames.dtype.kind in "ui" or self.frames.dtype == np.float32
        if self.frames.ndim != 5 or not good:
            raise ModelError(
                "frames must be (examples, steps, channels, height, width) of integers or float32,"
                f" got {self.frames.shape} of {self.frames.dtype}; bin or convert them first"
            )
        count = len(self.frames)
        if not count or self.labels.shape != (count,) or self.groups.shape != (count,):
            raise ModelError(
                f"there must be one label and one group an example, and one example, got "
                f"{count} examples, {self.labels.shape} labels, {self.groups.shape} groups"
            )
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise ModelError(
                f"labels must be 0 to {len(self.classes) - 1}, got {self.labels.min()} to "
                f"{self.labels.max()}; give a name to every class"
            )

    def __len__(self) -> int:
        """Return how many examples there are."""
        return len(self.frames)

    def example(self, index: int, rng: np.random.Generator | None = None) -> Frames:
        """Return a copy of one example; frames have no events left to augment."""
        example: Frames = self.frames[index].copy()
        return example
