"""Simulated N-MNIST: real handwritten digits, in three simulated saccades."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, NonNegativeInt

from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet
from stages.datasets.nmnist import NMnist
from stages.datasets.simulated.simulated_set import Piece, SimulatedSet

__all__ = ["DigitOptions", "SimulatedDigits", "digit_pieces"]


class DigitOptions(StageConfig):
    """Which digits, of the 1797 that there are, and the seed."""

    digits: Annotated[int, Field(ge=10, le=1797)] = 1797
    """How many of the digits."""
    test: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of them that is the test part: the last ones, by other writers for the most part."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another set."""


class SimulatedDigits(SimulatedSet):
    """N-MNIST's tree of scikit-learn's digits; each digit is in one recording."""

    name = "simulated_digits"
    about = (
        "simulated events of an eye in three saccades (no camera was there); the 1797 digits are"
        " real handwriting, from scikit-learn's copy of the UCI set Optical Recognition of"
        " Handwritten Digits (CC BY 4.0)"
    )
    Options: ClassVar[type[StageConfig]] = DigitOptions

    @property
    def real(self) -> DataSet:
        """N-MNIST."""
        return NMnist(self.folder)

    def pieces(self) -> Sequence[Piece]:
        """One recording for each digit."""
        return [
            Piece(f"{part}/{label}/{index + 1:05d}.bin", (index, seed))
            for part, label, index, seed in digit_pieces(self.options)
        ]

    @staticmethod
    def write(path: Path, *arguments: Any) -> None:
        """Write one recording of 5 bytes an event."""
        from models.simulation import digits

        index, seed = arguments
        events = digits.saccades(digits.load().pictures[index], seed)
        words = np.empty((len(events.t), 5), np.uint8)
        words[:, 0], words[:, 1] = events.x, events.y
        stamps = events.t | events.p.astype(np.int64) << 23
        for place, shift in ((2, 16), (3, 8), (4, 0)):
            words[:, place] = stamps >> shift & 0xFF
        path.write_bytes(words.tobytes())


def digit_pieces(options: DigitOptions) -> list[tuple[str, int, int, int]]:
    """List (part, label, index, seed) of the digits; seeds differ from digit to digit."""
    from models.simulation import digits

    labels = digits.load().labels[: options.digits].tolist()
    train = round(len(labels) * (1 - options.test))
    return [
        (
            "Train" if index < train else "Test",
            label,
            index,
            10_000 * options.simulation_seed + index,
        )
        for index, label in enumerate(labels)
    ]
