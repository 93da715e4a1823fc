"""How the outputs of many steps count in one: votes, and weights that fade with age."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["faded_mean", "fading", "votes"]


def votes(scores: NDArray[Any]) -> NDArray[np.float32]:
    """Return a step's one vote, (classes,): the highest score's; equal ones share it.

    Neurons that spike score alike more often than not, so that the first of them must not win.
    """
    best = (scores == scores.max()).astype(np.float32)
    shared: NDArray[np.float32] = best / best.sum()
    return shared


def fading(decay: float | None, time_constant_us: int | None, windows: int, age_us: int) -> float:
    """Return the weight of an output: ``decay ** windows``, or ``exp(-age / time constant)``.

    Args:
        decay: what is left of a weight at the next window; None where a time constant says it.
        time_constant_us: time in which a weight fades to 1/e.
        windows: windows from the output's to the latest.
        age_us: time from the start of the output's window to that of the latest.
    """
    if decay is not None:
        return float(decay**windows)
    return math.exp(-max(age_us, 0) / (time_constant_us or 1))


def faded_mean(outputs: NDArray[Any], weights: Sequence[float]) -> NDArray[np.float64]:
    """Return the mean of outputs (steps, features) by weights (steps,), in float64."""
    weighed = outputs * np.asarray(weights)[:, None]
    mean: NDArray[np.float64] = weighed.sum(axis=0) / sum(weights)
    return mean
