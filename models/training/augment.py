"""Random changes of an example's frames that leave its class as it is."""

from dataclasses import dataclass

import numpy as np

from models.training.data import Frames

__all__ = ["Augmentation"]


@dataclass(frozen=True)
class Augmentation:
    """What a training example meets each time it is shown.

    Attributes:
        crop_steps: Length of a random stretch of time; None takes all steps.
        shift_px: Largest shift, up, down, left and right, the same for all steps of an example;
            zeros come in. It is the random crop of an example padded with that many zeros.
        flip: Whether every other example is mirrored left to right; not where that changes the
            class (left is not right).
        drop_probability: Each example of event counts loses events with a probability drawn from
            0 to this.
    """

    crop_steps: int | None = None
    shift_px: int = 0
    flip: bool = False
    drop_probability: float = 0.0

    def __call__(self, frames: Frames, rng: np.random.Generator) -> Frames:
        """Return a changed copy of frames (steps, channels, height, width)."""
        steps = len(frames)
        length = min(self.crop_steps or steps, steps)
        start = int(rng.integers(0, steps - length + 1))
        changed = frames[start : start + length].copy()
        if self.shift_px:
            down, right = (int(rng.integers(-self.shift_px, self.shift_px + 1)) for _ in "yx")
            moved = np.zeros_like(changed)
            moved[..., _into(down), _into(right)] = changed[..., _into(-down), _into(-right)]
            changed = moved
        if self.flip and rng.random() < 0.5:
            changed = np.ascontiguousarray(changed[..., ::-1])
        if self.drop_probability:
            # Only where there are events: frames are mostly zeros.
            busy = np.nonzero(changed)
            kept = 1 - self.drop_probability * rng.random()
            changed[busy] = rng.binomial(changed[busy], kept)
        return changed


def _into(shift: int) -> slice:
    """Where a shifted axis lands; of the negative shift, where it came from."""
    return slice(shift, None) if shift > 0 else slice(None, shift or None)
