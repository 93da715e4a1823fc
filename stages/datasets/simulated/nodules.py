"""Simulated LUNA16Cls: patches of simulated CT with and without a nodule, as ``.npy`` files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet
from stages.datasets.simulated.simulated_set import Piece, SimulatedSet

__all__ = ["NoduleOptions", "SimulatedNodules"]


class NoduleOptions(StageConfig):
    """How many patches."""

    per_class: PositiveInt = 400
    """With and without a nodule, for training."""
    test_per_class: PositiveInt = 100
    """Likewise, for the test."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another set."""


class SimulatedNodules(SimulatedSet):
    """``train`` and ``test`` with ``CLASS_SCAN_NUMBER.npy``; class 1 has a nodule."""

    name = "simulated_nodules"
    about = "noise, tubes and balls in the units of a CT scanner; no patient was scanned"
    Options: ClassVar[type[StageConfig]] = NoduleOptions

    @property
    def real(self) -> DataSet:
        """LUNA16Cls."""
        from stages.datasets.luna16cls import Luna16Cls

        return Luna16Cls(self.folder)

    def pieces(self) -> Sequence[Piece]:
        """One file for each patch; each is of a scan of its own."""
        options = self.options
        pieces = []
        for part, first, count in (
            ("train", 0, options.per_class),
            ("test", options.per_class, options.test_per_class),
        ):
            # The reference code writes four turned copies of each for training; we write the first.
            ending = "0_aug0" if part == "train" else "0"
            for index in range(2 * first, 2 * (first + count)):
                label = index % 2
                path = f"{part}/{label}_simulated{index:05d}_{ending}.npy"
                pieces.append(Piece(path, (label, index, options.simulation_seed)))
        return pieces

    @staticmethod
    def write(path: Path, *arguments: Any) -> None:
        """Write one patch, (8, 32, 32) uint8."""
        from models.simulation.nodules import draw_patch, window

        label, index, seed = arguments
        patch = window(draw_patch(bool(label), np.random.default_rng([seed, index, 0x4CD])))
        np.save(path, patch)
