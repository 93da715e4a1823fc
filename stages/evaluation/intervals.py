"""How sure a share is, and the difference of two: intervals of 95 %.

Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927, for
a share; Newcombe, "Interval estimation for the difference between independent proportions",
Statistics in Medicine 17, 1998, method 10, for two of different recordings. Where the recordings
are the same they are paired: the interval is of a bootstrap over them, and McNemar's exact test
tells whether those that only one of the two had right lie on one side by more than chance.
"""

import math
from typing import NamedTuple

import numpy as np

__all__ = ["Interval", "difference", "mcnemar", "paired_difference", "wilson"]

_Z = 1.959963984540054
"""Of the normal distribution, 95 % lie within so many standard deviations."""
_RESAMPLES = 20_000


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
    share, other = right / total, other_right / other_total
    one, two = wilson(right, total), wilson(other_right, other_total)
    below = math.hypot(share - one.low, two.high - other)
    above = math.hypot(one.high - share, other - two.low)
    return Interval(share - other - below, share - other + above)


def paired_difference(only_first: int, only_other: int, total: int, seed: int = 0) -> Interval:
    """Return the interval of the first share less the other, of the same recordings.

    Args:
        only_first: recordings that only the first has right.
        only_other: those that only the other has right.
        total: all recordings, at least one.
        seed: of the bootstrap.
    """
    shares = np.array([only_first, only_other, total - only_first - only_other]) / total
    drawn = np.random.default_rng(seed).multinomial(total, shares, _RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / total, [0.025, 0.975])
    return Interval(float(low), float(high))


def mcnemar(only_first: int, only_other: int) -> float:
    """Return the probability that chance alone puts so many, or more, on one side; two-sided."""
    differing = only_first + only_other
    fewer = min(only_first, only_other)
    tail = sum(math.comb(differing, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << differing))
