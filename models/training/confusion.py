"""Right and wrong answers counted: the one place where an accuracy comes from.

Training and `pipeline evaluate` both count here, so that their numbers cannot differ by how they
are taken. It needs no torch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["accuracy", "confusion_matrix", "recall"]


def confusion_matrix(scores: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count answers: (classes, classes), int64, row = true class, column = predicted.

    Args:
        scores: (n, classes); the answer is the highest, of equal ones the first.
        labels: (n,), int64.
    """
    confusion = np.zeros((scores.shape[1],) * 2, np.int64)
    np.add.at(confusion, (labels, scores.argmax(1)), 1)
    return confusion


def accuracy(confusion: NDArray[np.int64], unanswered: int = 0) -> float:
    """Return the share on the diagonal, 0 to 1; examples without an answer count as wrong."""
    return float(np.trace(confusion) / (confusion.sum() + unanswered))


def recall(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each class the share found, (classes,), float64; NaN where there was none."""
    found: NDArray[np.float64] = np.full(len(confusion), np.nan)
    total = confusion.sum(1)
    np.divide(np.diag(confusion), total, out=found, where=total > 0)
    return found
