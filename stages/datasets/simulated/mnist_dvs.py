"""Simulated MNIST-DVS: real handwritten digits that drift on a simulated screen, at three sizes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveFloat

from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet
from stages.datasets.mnist_dvs import MnistDvs, MnistDvsOptions
from stages.datasets.simulated.recordings import write_aedat2
from stages.datasets.simulated.simulated_set import Piece, SimulatedSet

__all__ = ["SimulatedMnistDvs", "SimulatedMnistDvsOptions"]


class SimulatedMnistDvsOptions(MnistDvsOptions):
    """Which sizes, how many digits, for how long."""

    digits: Annotated[int, Field(ge=10, le=1797)] = 600
    """How many of the 1797 digits; each at every size."""
    seconds: PositiveFloat = 1.0
    """Length of a recording."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another set."""


class SimulatedMnistDvs(SimulatedSet):
    """``grabbed_data<digit>/scale<4, 8, 16>/mnist_<digit>_scale<04, 08, 16>_<number>.aedat``."""

    name = "simulated_mnist_dvs"
    about = (
        "simulated events of digits that drift on a screen (no camera was there); the digits are"
        " real handwriting, from scikit-learn's copy of the UCI set Optical Recognition of"
        " Handwritten Digits (CC BY 4.0)"
    )
    Options: ClassVar[type[StageConfig]] = SimulatedMnistDvsOptions

    @property
    def real(self) -> DataSet:
        """MNIST-DVS."""
        return MnistDvs(self.folder, MnistDvsOptions(scales=self.options.scales))

    def pieces(self) -> Sequence[Piece]:
        """One recording for each digit and size."""
        from models.simulation import digits

        options = self.options
        numbers: Counter[int] = Counter()
        pieces = []
        for index, digit in enumerate(digits.load().labels[: options.digits].tolist()):
            numbers[digit] += 1
            seed = 10_000 * options.simulation_seed + index
            for scale in options.scales:
                name = f"mnist_{digit}_scale{scale:02d}_{numbers[digit]:04d}.aedat"
                path = f"grabbed_data{digit}/scale{scale}/{name}"
                pieces.append(Piece(path, (index, scale, options.seconds, seed)))
        return pieces

    @staticmethod
    def write(path: Path, *arguments: Any) -> None:
        """Write one recording."""
        from models.simulation import digits

        index, scale, seconds, seed = arguments
        write_aedat2(path, digits.drift(digits.load().pictures[index], scale, seconds, seed))
