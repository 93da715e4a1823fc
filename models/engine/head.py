"""The head of a chain: linear maps with ReLU between them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import read_card
from models.engine.chain import CHAINS, Chain
from models.errors import ModelError

__all__ = ["Classifier", "read_maps"]

Maps = list[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weight (outputs, inputs) and bias (outputs,) of each linear map."""


def read_maps(chain: Chain, tensors: Mapping[str, NDArray[Any]]) -> Maps:
    """Return the linear maps of a chain's head.

    Raises:
        ModelError: A tensor is missing.
    """
    try:
        return [
            (
                tensors[f"{name}.weight"].astype(np.float32),
                tensors[f"{name}.bias"].astype(np.float32),
            )
            for name in chain.classifier
        ]
    except KeyError as error:
        raise ModelError(
            f"there must be a tensor {error.args[0]}, the file has none; it is damaged, or its "
            "card is not its own"
        ) from None


class Classifier:
    """Turns features into logits; without maps the features are the logits.

    Args:
        maps: See `read_maps`.
    """

    def __init__(self, maps: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> None:
        self._maps = [(np.ascontiguousarray(weight.T), bias) for weight, bias in maps]

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Read what comes behind the mean over the steps, and nothing else of a weights file.

        That is nothing with ``head = "per_step"``, where each step has gone through the head.

        Raises:
            ModelError: The file cannot be used.
        """
        from safetensors import safe_open

        card = read_card(path)
        if card.options["head"] == "per_step":
            return cls([])
        chain = CHAINS[card.network](card.options)
        with safe_open(path, framework="numpy") as file:
            parts = [f"{name}.{part}" for name in chain.classifier for part in ("weight", "bias")]
            known = set(file.keys())
            return cls(read_maps(chain, {n: file.get_tensor(n) for n in parts if n in known}))

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
