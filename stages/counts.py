"""Counts of things by name, in the form in which a stage's state holds them."""

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["Counts", "add_counts"]

Counts: TypeAlias = tuple[tuple[str, int], ...]
"""Pairs of name and number, by name: hashable and never changed, as a state must be."""


def add_counts(before: Counts, *more: Mapping[str, int]) -> Counts:
    """Return the sum of counts; what is zero is left out."""
    if not any(more):
        return before
    total = Counter(dict(before))
    for counts in more:
        total.update(counts)
    return tuple(sorted((name, count) for name, count in total.items() if count))
