"""What class scores mean, in words and as a share that a bar can show.

The kinds are those of `pipeline.ports.PredictionsPort`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["MEANINGS", "Meaning", "share"]


class Meaning(NamedTuple):
    """What a kind of score is."""

    score: str
    bar: str
    """What its bar shows."""


_ITSELF = "the score"

MEANINGS: dict[str, Meaning] = {
    "rate": Meaning("the share of steps in which the class's neuron fired", _ITSELF),
    "activity": Meaning("the mean output of the class's neuron", "the class's share of all"),
    "logit": Meaning("a logit, of which only differences count", "the class's share by softmax"),
    "probability": Meaning("the probability of the class", _ITSELF),
    "vote": Meaning("the share of steps that the class won", _ITSELF),
}
"""Kind of score -> what it is; of others nothing is known."""


def share(kind: str, scores: Sequence[float], k: int) -> float:
    """Return how much of its bar class ``k`` fills, 0 to 1.

    Args:
        kind: of the scores.
        scores: of all classes.
        k: the class.
    """
    values = np.array(scores, np.float64)
    if kind == "logit":
        values = np.exp(values - values.max())
    if kind in ("logit", "activity"):
        total = values.sum()
        return float(values[k] / total) if total > 0 else 0.0
    return float(np.clip(values[k], 0, 1))
