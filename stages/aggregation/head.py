"""The end of a network, behind what was taken of its outputs: its own class scores."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
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
        self._network: Any = None
        self.take = "mean"
        if weights is None:
            return
        import torch

        torch.set_num_threads(1)  # one small product at a time
        self._torch = torch
        try:
            self._network = models.load(weights)
        except models.ModelError as error:
            raise ConfigError(str(error)) from None
        self.take = self._network.take

    def scores(self, taken: NDArray[Any]) -> NDArray[np.float32]:
        """Return the class scores (classes,) of one output or of a mean, (features,).

        One at a time, so that how many are made together changes no bit.
        """
        features = taken.astype(np.float32)
        if self._network is None:
            return features
        with self._torch.inference_mode():
            scores = self._network.readout(self._torch.from_numpy(features)[None])
            found: NDArray[np.float32] = scores[0].float().numpy()
        return found
