"""Dealing out a set's items: to train on, to choose by, to test on. No group is in two parts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from stages.datasets.data_set import Item

__all__ = ["PARTS", "split"]

PARTS = ("train", "validation", "test")


def split(
    items: Sequence[Item], validation: float | None, test: float | None, seed: int
) -> dict[str, list[int]]:
    """Deal out items.

    Where the set itself says which part an item is of, that holds. A share is taken from what the
    set leaves to training: groups in random order, each where it brings every class nearer to its
    share.

    Args:
        items: all of the set.
        validation: share of the items, class by class, to choose the epoch by; None: the set's own
            part.
        test: share never seen in training; None: the set's own part, if it has one.
        seed: of the order in which groups are drawn.

    Returns:
        For each part the indices of its items, in order.

    Raises:
        ConfigError: a share is asked for that the set names itself or that leaves a part empty, a
            part is missing, or the set has a group in two parts.
    """
    parts = np.array([item.part or "train" for item in items], dtype=object)
    labels = np.array([item.label for item in items])
    groups = [item.group for item in items]
    rng = np.random.default_rng(seed)
    counts = np.bincount(labels[parts == "train"], minlength=labels.max() + 1)
    for part, share in (("test", test), ("validation", validation)):
        named = bool((parts == part).any())
        if part == "validation" and not (named or share):
            raise ConfigError(
                "data.validation: must be given, the set names no part for validation; 0.1 holds"
                " out a tenth"
            )
        if share and named:
            raise ConfigError(
                f"data.{part}: the set names its {part} items itself, got {share}; leave it out"
            )
        elif share:
            free = np.flatnonzero(parts == "train").tolist()
            drawn = _draw(groups, labels, free, share * counts, rng)
            if not drawn or len(drawn) == len(free):
                raise ConfigError(
                    f"data.{part}: a share of {share} of {counts.sum()} items of"
                    f" {len({groups[index] for index in free})} groups leaves a part empty; groups"
                    " are never split: ask for another share, or get more groups"
                )
            parts[drawn] = part
    _check(items, parts)
    return {part: np.flatnonzero(parts == part).tolist() for part in PARTS}


def _draw(
    groups: Sequence[str],
    labels: NDArray[np.int64],
    free: Sequence[int],
    wanted: NDArray[np.floating[Any]],
    rng: np.random.Generator,
) -> list[int]:
    """Return those of the free items whose groups make up the wanted number of each class."""
    members: dict[str, list[int]] = {}
    for index in free:
        members.setdefault(groups[index], []).append(index)
    names = list(members)
    drawn: list[int] = []
    for number in rng.permutation(len(members)):
        group = members[names[number]]
        left = wanted - np.bincount(labels[group], minlength=len(wanted))
        if np.abs(left).sum() < np.abs(wanted).sum():
            wanted = left
            drawn += group
    return drawn


def _check(items: Sequence[Item], parts: NDArray[np.object_]) -> None:
    """Refuse groups in two parts, and a set of which nothing is left to train on."""
    seen: dict[str, str] = {}
    for item, part in zip(items, parts.tolist(), strict=True):
        if seen.setdefault(item.group, part) != part:
            raise ConfigError(
                f"data.set: group '{item.group}' is in {seen[item.group]} and in {part}; nobody"
                " may be in two parts"
            )
    if "train" not in seen.values():
        raise ConfigError("data.set: no item is left to train on; are the training files there?")
