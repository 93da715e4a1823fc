"""How sure a share is, and the difference of two: intervals of 95 %.

Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927, for
a share; Newcombe, "Interval estimation for the difference between independent proportions" and
"Improved confidence intervals for the difference between binomial proportions based on paired
data", Statistics in Medicine 17, 1998, method 10 of either, for two shares of different recordings
and of the same. Of the same ones McNemar's exact test tells whether those that only one of the two
has right lie on one side by more than chance.
"""

import math
from typing import NamedTuple

__all__ = ["Interval", "difference", "mcnemar", "paired_difference", "wilson"]

_Z = 1.959963984540054
"""Of the normal distribution, 95 % lie within so many standard deviations."""


class Interval(NamedTuple):
    """Where a value lies, with 95 % confidence."""

    low: float
    high: float


def wilson(right: int, total: int) -> Interval:
    """Return the interval of the share ``right / total``, both 0 to 1; (0, 1) of nothing."""
    if not total:
        return Interval(0.0, 1.0)
    share, z2 = right / total, _Z * _Z
    middle = share + z2 / (2 * total)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    scale = 1 + z2 / total
    # At the ends it is exact, whatever rounding makes of it.
    low = (middle - half) / scale if right else 0.0
    high = (middle + half) / scale if right < total else 1.0
    return Interval(low, high)


def difference(right: int, total: int, other_right: int, other_total: int) -> Interval:
    """Return the interval of the first share less the other, of different recordings."""
    return _difference(right, total, other_right, other_total, 0.0)


def paired_difference(both: int, only_first: int, only_other: int, neither: int) -> Interval:
    """Return the interval of the first share less the other, of the same recordings.

    Args:
        both: recordings that both have right; one at least must be of any kind.
        only_first: those that only the first has right.
        only_other: those that only the other has right.
        neither: those that none has right.
    """
    right, other_right = both + only_first, both + only_other
    total = right + only_other + neither
    margins = right * (total - right) * other_right * (total - other_right)
    agreement: float = both * neither - only_first * only_other
    if agreement > 0:
        agreement = max(agreement - total / 2, 0)
    correlation = agreement / math.sqrt(margins) if margins else 0.0
    return _difference(right, total, other_right, total, correlation)


def _difference(
    right: int, total: int, other_right: int, other_total: int, correlation: float
) -> Interval:
    share, other = right / total, other_right / other_total
    one, two = wilson(right, total), wilson(other_right, other_total)

    def joined(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b))

    low = share - other - joined(share - one.low, two.high - other)
    return Interval(low, share - other + joined(one.high - share, other - two.low))


def mcnemar(only_first: int, only_other: int) -> float:
    """Return the probability that chance alone puts so many, or more, on one side; two-sided."""
    differing = only_first + only_other
    fewer = min(only_first, only_other)
    tail = sum(math.comb(differing, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << differing))
