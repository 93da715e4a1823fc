"""Labelled frames in memory, cut into augmented batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError

__all__ = ["Augmentation", "LabelledFrames", "batches"]

Frames = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class LabelledFrames:
    """Recordings as event counts, with what a model card must say of them.

    Attributes:
        frames: (recordings, steps, 2, height, width), uint8 or uint16, events per pixel and
            step; channel 1 holds positive events.
        labels: (recordings,), int64, index into `classes`.
        groups: (recordings,), int64, who performed it: no group may be in two splits.
        classes: Class names.
        sensor_size: (height, width) of the sensor before binning, pixels.
        window_us: Length of a step, microseconds.
        frame: What a frame holds: ``counts`` of events, or ``binary``.

    Raises:
        ModelError: The arrays do not fit each other.
    """

    frames: Frames
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    classes: tuple[str, ...]
    sensor_size: tuple[int, int]
    window_us: int
    frame: str = "counts"

    def __post_init__(self) -> None:
        """Check shapes, dtype and labels."""
        if self.frames.ndim != 5 or self.frames.dtype.kind != "u":
            raise ModelError(
                "frames must be (recordings, steps, channels, height, width) of an unsigned "
                f"integer dtype, got {self.frames.shape} of {self.frames.dtype}; bin them first"
            )
        count = len(self.frames)
        if not count or self.labels.shape != (count,) or self.groups.shape != (count,):
            raise ModelError(
                f"there must be one label and one group a recording, and one recording, got "
                f"{count} recordings, {self.labels.shape} labels, {self.groups.shape} groups"
            )
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise ModelError(
                f"labels must be 0 to {len(self.classes) - 1}, got {self.labels.min()} to "
                f"{self.labels.max()}; give a name to every class"
            )


@dataclass(frozen=True)
class Augmentation:
    """Random changes that leave the class as it is (so no mirroring: left is not right).

    Attributes:
        crop_steps: Length of a random stretch of time; None takes all steps.
        shift_px: Largest shift, up, down, left and right, each recording its own; zeros come in.
        drop_probability: Each recording loses events with a probability drawn from 0 to this.
    """

    crop_steps: int | None = None
    shift_px: int = 0
    drop_probability: float = 0.0

    def __call__(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """Return changed copies of frames (recordings, steps, channels, height, width)."""
        steps = frames.shape[1]
        length = min(self.crop_steps or steps, steps)
        changed = np.zeros((len(frames), length, *frames.shape[2:]), frames.dtype)
        for source, target in zip(frames, changed, strict=True):
            start = int(rng.integers(0, steps - length + 1))
            down, right = (int(rng.integers(-self.shift_px, self.shift_px + 1)) for _ in "yx")
            target[..., _into(down), _into(right)] = source[
                start : start + length, :, _into(-down), _into(-right)
            ]
            if self.drop_probability:
                # Only where there are events: frames are mostly zeros.
                busy = np.nonzero(target)
                kept = 1 - self.drop_probability * rng.random()
                target[busy] = rng.binomial(target[busy], kept)
        return changed


def _into(shift: int) -> slice:
    """Where a shifted axis lands; of the negative shift, where it came from."""
    return slice(shift, None) if shift > 0 else slice(None, shift or None)


def batches(
    data: LabelledFrames, size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Iterator[tuple[Frames, NDArray[np.int64]]]:
    """Yield (frames, labels) of one epoch in random order.

    Recordings left over from whole batches are not used, except when there is no whole batch:
    a batch of one would give BatchNorm nothing to normalise by.
    """
    order = rng.permutation(len(data.labels))
    whole = len(order) // size * size or len(order)
    for start in range(0, whole, size):
        chosen = order[start : start + size]
        yield augmentation(data.frames[chosen], rng), data.labels[chosen]
