"""Simulated CIFAR10-DVS: pictures of simple objects that go round on a simulated screen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from models.simulation.objects import OUTLINES, draw_object
from pipeline.stage import StageConfig
from stages.datasets.cifar10_dvs import Cifar10Dvs
from stages.datasets.data_set import DataSet
from stages.datasets.simulated.recordings import write_aedat2
from stages.datasets.simulated.simulated_set import Piece, SimulatedSet

__all__ = ["Cifar10DvsOptions", "SimulatedCifar10Dvs"]

_PICTURE_PX = 144


class Cifar10DvsOptions(StageConfig):
    """How many recordings, and how long."""

    per_class: PositiveInt = 60
    """Recordings of each class."""
    seconds: PositiveFloat = 0.1
    """For one round, which is the recording."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another set."""


class SimulatedCifar10Dvs(SimulatedSet):
    """``<class>/cifar10_<class>_<number>.aedat``.

    The classes have the real set's names, as its folders have; what they show is one outline each.
    """

    name = "simulated_cifar10_dvs"
    about = (
        "simulated events of drawn pictures that move on a screen; the folders have the real set's"
        " names, but show a " + ", ".join(OUTLINES) + ", in this order"
    )
    Options: ClassVar[type[StageConfig]] = Cifar10DvsOptions

    @property
    def real(self) -> DataSet:
        """CIFAR10-DVS."""
        return Cifar10Dvs(self.folder)

    def pieces(self) -> Sequence[Piece]:
        """One recording for each picture."""
        options = self.options
        return [
            Piece(
                f"{name}/cifar10_{name}_{number}.aedat",
                (label, number, options.seconds, options.simulation_seed),
            )
            for label, name in enumerate(Cifar10Dvs.classes)
            for number in range(options.per_class)
        ]

    @staticmethod
    def write(path: Path, *arguments: Any) -> None:
        """Write one recording."""
        from models.simulation.screen import watch_loop

        label, number, seconds, seed = arguments
        rng = np.random.default_rng([seed, label, number, 0xC1FA])
        outline, hollow = list(OUTLINES)[label], bool(rng.random() < 0.5)
        picture = draw_object(outline, hollow, _PICTURE_PX, _PICTURE_PX, rng)
        events = watch_loop(picture.mean(axis=2), seconds, int(rng.integers(2**31)))
        write_aedat2(path, events)
