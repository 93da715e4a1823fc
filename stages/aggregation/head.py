"""The end of a network, behind what was taken of its outputs: its own class scores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from models.engine.chain import supports
from models.engine.head import Classifier
from pipeline.errors import ConfigError

__all__ = ["Head"]


class Head:
    """Makes class scores of outputs; without weights the outputs are the scores.

    Args:
        weights: a safetensors file with a model card, or None.

    Attributes:
        take: how the network's outputs are taken together unless one says otherwise.

    Raises:
        ConfigError: the weights cannot be used.
    """

    def __init__(self, weights: Path | None) -> None:
        self.take = "mean"
        self._readout: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
        if weights is None:
            return
        try:
            if supports(models.read_card(weights)):
                self._readout = Classifier.load(weights).logits
                return
            import torch

            torch.set_num_threads(1)  # one small product at a time
            network = models.load(weights)
        except models.ModelError as error:
            raise ConfigError(str(error)) from None
        self.take = network.take

        def readout(features: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                scores = network.readout(torch.from_numpy(features)[None])
                found: NDArray[np.float32] = scores[0].float().numpy()
            return found

        self._readout = readout

    def scores(self, taken: NDArray[Any]) -> NDArray[np.float32]:
        """Return the class scores (classes,) of one output or of a mean, (features,).

        One at a time, so that how many are made together changes no bit.
        """
        features = taken.astype(np.float32)
        return features if self._readout is None else self._readout(features)
