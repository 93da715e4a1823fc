"""The head of a chain: linear maps with ReLU between them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import read_card
from models.engine.chain import CHAINS, Chain
from models.engine.tensors import read_tensors, tensor_of

__all__ = ["Classifier", "read_maps"]

Maps = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weight (outputs, inputs) and bias (outputs,) of each linear map."""


def read_maps(
    chain: Chain,
    tensors: Mapping[str, NDArray[Any]],
    network: str,
    classes: int,
    features: int | None = None,
) -> Maps:
    """Return the linear maps of a chain's head.

    Args:
        chain: The network's.
        tensors: The weights by their names.
        network: Its name, for the message.
        classes: Outputs of the last map.
        features: Inputs of the first one; None takes any number.

    Raises:
        ModelError: A tensor is missing, or has another shape.
    """
    maps: Maps = []
    inputs = features
    for name in chain.classifier:
        outputs = classes if name == chain.classifier[-1] else None
        weight = tensor_of(tensors, f"{name}.weight", (outputs, inputs), network)
        bias = tensor_of(tensors, f"{name}.bias", weight.shape[:1], network)
        maps.append((weight, bias))
        inputs = len(weight)
    return maps


class Classifier:
    """Turns features into logits; without maps the features are the logits.

    Args:
        maps: See `read_maps`.

    Attributes:
        operations: Multiplications for one row of features.
    """

    def __init__(self, maps: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
        self._maps = [(np.ascontiguousarray(weight.T), bias) for weight, bias in maps]
        self.operations = sum(weight.size for weight, _ in maps)

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Read what comes behind the mean over the steps, and nothing else of a weights file.

        That is nothing with ``head = "per_step"``, where each step has gone through the head.

        Raises:
            ModelError: The file cannot be used.
        """
        card = read_card(path)
        chain, classes = CHAINS[card.network](card.options), len(card.classes)
        if card.options["head"] == "per_step" or not chain.classifier:
            return cls([])
        parts = [f"{name}.{part}" for name in chain.classifier for part in ("weight", "bias")]
        return cls(read_maps(chain, read_tensors(path, parts), card.network, classes))

    def logits(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Map features (..., features) to logits (..., classes).

        One after the other, so that how many are mapped together changes no bit.
        """
        rows = features.reshape(-1, features.shape[-1]).astype(np.float32)
        if not self._maps:
            return rows.reshape(features.shape)
        logits = np.stack([self._one(row) for row in rows])
        return logits.reshape(*features.shape[:-1], -1)

    def _one(self, y: NDArray[np.float32]) -> NDArray[np.float32]:
        for number, (weight, bias) in enumerate(self._maps):
            y = (np.maximum(y, 0) if number else y) @ weight + bias
        return y
