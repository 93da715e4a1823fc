"""Two evaluations side by side: which is better, and by how much beyond chance."""

from collections.abc import Sequence

import msgspec

from stages.evaluation.intervals import (
    Interval,
    difference,
    mcnemar,
    paired_difference,
    wilson,
)
from stages.evaluation.measures import is_right
from stages.evaluation.results import Request, Result

__all__ = ["Comparison", "compare"]


class Comparison(msgspec.Struct, frozen=True):
    """How an evaluation differs from another one."""

    other: str
    """Folder of the other."""
    other_pipeline: str
    other_recordings: int
    other_top1: float
    other_top1_interval: Interval
    paired: bool
    """Whether both were of the same recordings."""
    difference: float
    """Top-1 of this one, less that of the other."""
    difference_interval: Interval
    """Of 95 %."""
    only_this: int | None
    """Recordings that only this one had right; None where they are not the same."""
    only_other: int | None
    chance: float | None
    """How probable it is that chance alone makes them differ so (McNemar's exact test)."""


def compare(
    results: Sequence[Result],
    classes: Sequence[str],
    other: Sequence[Result],
    request: Request,
    folder: str,
) -> Comparison:
    """Compare an evaluation with another one.

    Args:
        results: of this one.
        classes: of this one's model.
        other: of the other.
        request: what was asked of the other.
        folder: of the other.
    """
    these = {result.key: is_right(result) for result in results}
    those = {result.key: is_right(result) for result in other}
    right, other_right = sum(these.values()), sum(those.values())
    truth = {result.key: classes[result.label] for result in results}
    paired = truth == {result.key: request.classes[result.label] for result in other}
    only_this = sum(these[key] and not those[key] for key in these) if paired else None
    only_other = sum(those[key] and not these[key] for key in these) if paired else None
    if only_this is not None and only_other is not None:
        both = right - only_this
        neither = len(these) - right - only_other
        interval = paired_difference(both, only_this, only_other, neither)
        chance = mcnemar(only_this, only_other)
    else:
        interval, chance = difference(right, len(these), other_right, len(those)), None
    return Comparison(
        other=folder,
        other_pipeline=request.pipeline,
        other_recordings=len(those),
        other_top1=other_right / len(those),
        other_top1_interval=wilson(other_right, len(those)),
        paired=paired,
        difference=right / len(these) - other_right / len(those),
        difference_interval=interval,
        only_this=only_this,
        only_other=only_other,
        chance=chance,
    )
