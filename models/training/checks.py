"""What is looked at before the first step: a mistake should cost seconds, not hours."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.errors import ModelError
from models.network import Network
from models.training.data import Examples
from models.training.recipe import Recipe

__all__ = ["check", "check_frames"]

_LOOKED_AT = 16
_SELDOM = 10


def check(
    recipe: Recipe, network: Network[Any], train: Examples, others: Sequence[Examples]
) -> list[str]:
    """Hold the parts against each other and against the network.

    Args:
        recipe: What is to be trained.
        network: As it was built.
        train: The examples to train on.
        others: Those to validate and to test on.

    Returns:
        What is worth knowing but is no mistake, such as classes that hardly occur.

    Raises:
        ModelError: They do not fit.
    """
    _check_parts(train, others)
    classes = network.options["classes"]
    if classes != len(train.classes):
        raise ModelError(
            f"network.options.classes: must be {len(train.classes)}, the data's, got {classes}"
        )
    steps, *shape = train.example(0).shape
    check_frames(network.name, network.input_shape, shape)
    counts = np.bincount(train.labels, minlength=classes)
    if len(counts) > classes or train.labels.min() < 0:
        raise ModelError(
            f"labels must be 0 to {classes - 1}, got {train.labels.min()} to {train.labels.max()}"
        )
    if recipe.augment.drop_probability and train.example(0).dtype.kind not in "ui":
        raise ModelError(
            "augment.drop_probability: thins whole counts of events, the frames are of "
            f"{train.example(0).dtype}; drop events with augment.events.drop_probability"
        )
    looked = np.linspace(0, len(train) - 1, min(_LOOKED_AT, len(train))).astype(int)
    examples = [train.example(int(index)) for index in looked]
    if not any(np.any(example) for example in examples):
        raise ModelError(
            f"input.stage: all of {len(examples)} training examples looked at are zero everywhere; "
            "check the stages and the data"
        )
    if not all(np.all(np.isfinite(example)) for example in examples):
        raise ModelError(
            "input.stage: training examples must be finite; check the stages and the data"
        )
    return _remarks(counts, train.classes, steps, network.options["steps"])


def check_frames(name: str, taken: Sequence[int], given: Sequence[int | None]) -> None:
    """Hold the frames that the input stages give against those that a network takes.

    Args:
        name: The network's.
        taken: Channels, height and width.
        given: Likewise; None where that is not known yet.

    Raises:
        ModelError: They differ.
    """
    differ = [g is not None and g != t for g, t in zip(given, taken, strict=True)]
    if any(differ):
        key = "input_channels" if differ[0] else "size"
        shape = ", ".join("?" if side is None else str(side) for side in given)
        raise ModelError(
            f"network.options.{key}: {name} takes frames of {tuple(taken)}, but input.stage gives "
            f"({shape}) (channels, height, width); change one of them"
        )


def _check_parts(train: Examples, others: Sequence[Examples]) -> None:
    for part in (train, *others):
        if not len(part):
            raise ModelError("no part may be empty; change data.validation or data.test")
    for other in others:
        for fact in ("classes", "sensor_size", "window_us", "frame"):
            if getattr(train, fact) != getattr(other, fact):
                raise ModelError(
                    f"{fact} must be the same for all parts, got "
                    f"{getattr(train, fact)} and {getattr(other, fact)}"
                )
    for number, part in enumerate((train, *others)):
        for other in others[number:]:
            shared = np.intersect1d(part.groups, other.groups)
            if len(shared):
                raise ModelError(
                    "no group (person, recording) may be in two parts, got groups "
                    f"{shared[:5].tolist()} in both; split by group"
                )


def _remarks(
    counts: np.ndarray[Any, Any], classes: Sequence[str], steps: int, trained: int
) -> list[str]:
    said = []
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent:
        said.append(f"no training example of {_some(absent)}")
    seldom = [n for n, c in zip(classes, counts, strict=True) if 0 < c * _SELDOM < counts.max()]
    if seldom:
        said.append(
            f"{_some(seldom)} at least {_SELDOM} times rarer than {classes[int(counts.argmax())]}"
        )
    if steps != trained:
        said.append(f"examples have {steps} steps, network.options.steps is {trained}")
    return said


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
