"""The stand-in for a KA200: the same network in the chip's operators, in float16, by torch."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from models.ka200.compiled import WEIGHTS, Compiled
from pipeline.errors import ConfigError

__all__ = ["EmulatedChip"]


class EmulatedChip:
    """An emulated device with a network on it; see `stages.ka200.chip.Chip`.

    Args:
        folder: That `pipeline compile` made.
        compiled: What is in it.

    Raises:
        ConfigError: the weights cannot be used, or their network cannot run on the chip.
    """

    def __init__(self, folder: Path, compiled: Compiled) -> None:
        import torch

        from models.ka200.emulator import Emulator

        torch.set_num_threads(1)
        try:
            self._emulator = Emulator(
                models.load(folder / WEIGHTS), compiled.mean_steps, layout=compiled.layout
            )
        except models.ModelError as error:
            raise ConfigError(str(error)) from None

    def run(self, frames: NDArray[Any], reset: bool) -> NDArray[np.float32]:
        """Advance over frames."""
        if reset:
            self._emulator.reset()
        return np.stack([self._emulator.step(frame) for frame in frames])

    def memory(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that is kept."""
        return self._emulator.arrays()

    def restore(self, memory: dict[str, NDArray[Any]]) -> None:
        """Keep what `memory` gave."""
        self._emulator.restore(memory)

    def close(self) -> None:
        """Release nothing."""
