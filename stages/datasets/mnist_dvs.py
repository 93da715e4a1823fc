"""MNIST-DVS: digits of MNIST that moved slowly on a monitor before a DVS128.

``grabbed_data<digit>/scale<4, 8, 16>/*.aedat``: AEDAT 2.0, a recording of 2 to 3 s for each digit
and scale. Source: Serrano-Gotarredona and Linares-Barranco, "Poker-DVS and MNIST-DVS. Their
History, How They Were Made, and Other Details", Frontiers in Neuroscience 9, 2015.
"""

import re
from pathlib import Path
from typing import ClassVar, Literal

from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet, Item, Origin
from stages.datasets.tree import files_in, folders_in

__all__ = ["MnistDvs", "MnistDvsOptions"]


class MnistDvsOptions(StageConfig):
    """Which of the recordings."""

    scales: tuple[Literal[4, 8, 16], ...] = (16,)
    """How much larger than in MNIST the digits are: 4, 8, 16 or several. BIDL takes 16."""


class MnistDvs(DataSet):
    """MNIST-DVS; a digit is a group, at whatever scales it was recorded."""

    name = "mnist_dvs"
    classes = tuple("0123456789")
    Options: ClassVar[type[StageConfig]] = MnistDvsOptions
    origin: ClassVar[Origin] = Origin(
        title="MNIST-DVS (grabbed_data0.zip to grabbed_data9.zip)",
        publisher="IMSE-CNM, Sevilla: www2.imse-cnm.csic.es/caviar/MNISTDVS.html",
        licence="none stated there; its authors ask to be cited",
        layout="the folders grabbed_data0 to grabbed_data9 with their folders scale4 to scale16",
    )

    def items(self) -> list[Item]:
        """List the recordings of the scales asked for."""
        items = []
        for digit, name in enumerate(self.classes):
            folder = self.folder / f"grabbed_data{name}"
            if not folder.is_dir():
                raise self.missing(folder)
            scales = dict(map(_scale, folders_in(folder)))
            for scale in self.options.scales:
                if scale not in scales:
                    raise ConfigError(f"data.scales: {folder} has no folder scale{scale}")
                items += [
                    Item(
                        key=str(path.relative_to(self.folder)),
                        source={"use": "replay", "path": str(path)},
                        label=digit,
                        group=f"{name}/{_number(path)}",
                    )
                    for path in files_in(scales[scale], (".aedat",))
                ]
        return items


def _scale(folder: Path) -> tuple[int | None, Path]:
    """Return which scale a folder has; ``scale4`` or ``scale04``."""
    match = re.fullmatch(r"scale0*(\d+)", folder.name)
    return (int(match[1]) if match else None), folder


def _number(path: Path) -> str:
    """Return the last number in a name: that of the digit, the same at every scale."""
    numbers: list[str] = re.findall(r"\d+", path.stem)
    return numbers[-1] if numbers else path.stem
