"""What the class scores of a network are, told by its card, without loading the network."""

from typing import Literal, TypeAlias

from models import SCORES_ALREADY
from models.card import ModelCard

__all__ = ["Scores", "scores_of"]

Scores: TypeAlias = Literal["rate", "activity", "logit", "probability"]


def scores_of(card: ModelCard) -> Scores:
    """Return what `Network.readout` gives for each class.

    Returns:
        ``rate``: in what share of the steps the neuron of the class fired, 0 to 1; ``activity``:
        the mean of what it put out, 0 or more; ``probability``: 0 to 1, in all 1; ``logit``: any
        number, of which only the differences between classes count.
    """
    if card.network == "nir":  # which ends in whatever its maker chose
        fires = card.options.get("mode", "spike") == "spike"
        many = card.options.get("fires") == "many"
        return ("activity" if many else "rate") if fires else "logit"
    if card.network in SCORES_ALREADY:  # the last layer has a neuron a class
        return "rate" if card.options.get("mode", "spike") == "spike" else "activity"
    return "probability" if card.network == "imdb" else "logit"
