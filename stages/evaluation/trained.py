"""What the weights were trained on: their cards say it in words, and some know which recordings.

Training leaves a list of its parts beside the weights, see `stages.datasets.training_set`; a recipe
deals the recordings out as training did. Where neither is at hand nothing is claimed.
"""

import json
from contextlib import suppress
from pathlib import Path

import msgspec

import models
from models.errors import ModelError
from stages.evaluation.plan import Plan
from stages.evaluation.selection import Selection

__all__ = ["Trained", "told_of", "trained_on"]


class Trained(msgspec.Struct, frozen=True):
    """What one file of weights was trained on."""

    weights: str
    data: str
    """In the words of its card; ``accuracy`` likewise."""
    accuracy: str
    recordings: int | None
    """How many of those that are evaluated; None where nobody knows."""
    by_recipe: bool = False
    """Whether the recipe says that, and not what training left beside the weights."""


def trained_on(plan: Plan, chosen: Selection) -> list[Trained]:
    """Return what is known of each file of weights that the stages load."""
    found = []
    for stage in plan.stages:
        path = stage.options.get("weights")
        if not isinstance(path, str):
            continue
        with suppress(ModelError):  # a file of another kind, which the stage itself reads
            card = models.read_card(path)
            keys, by_recipe = _learnt_from(Path(path), chosen.folder), False
            if keys is None:
                keys, by_recipe = chosen.trains, True
            count = None if keys is None else sum(item.key in keys for item in chosen.items)
            found.append(Trained(path, card.data, card.accuracy, count, by_recipe))
    return found


def told_of(found: Trained, recordings: int) -> str:
    """Return a sentence that warns of recordings that were trained on, "" where there is no need.

    Args:
        found: what is known.
        recordings: how many are evaluated.
    """
    if not found.recordings:
        return ""
    whose = "are of the part that the recipe trains on" if found.by_recipe else "were trained on"
    return (
        f"{found.recordings:,} of these {recordings:,} recordings {whose}"
        f" ({Path(found.weights).name}): how well it does on others is not measured by them"
    )


def _learnt_from(weights: Path, folder: Path) -> frozenset[str] | None:
    """Return the recordings of a folder that were trained on, None where that is not known."""
    try:
        told = json.loads((weights.with_suffix("") / "report" / "parts.json").read_bytes())
        is_there = Path(told["folder"]) == folder
        return frozenset(map(str, told["parts"]["train"])) if is_there else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
