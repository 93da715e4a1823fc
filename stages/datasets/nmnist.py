"""N-MNIST: handwritten digits before an ATIS that moves in three saccades of 100 ms.

``Train/<digit>/NNNNN.bin`` and ``Test/<digit>/NNNNN.bin``; a tree without ``Test`` is taken as
it is. Source: Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic
Datasets Using Saccades", Frontiers in Neuroscience 9, 2015.
"""

from pathlib import Path
from typing import Any, ClassVar

from stages.datasets.class_folders import ClassFolders
from stages.datasets.data_set import Origin

__all__ = ["NMnist"]


class NMnist(ClassFolders):
    """N-MNIST, or a part of it in the same layout."""

    name = "nmnist"
    endings = (".bin",)
    first = "Train"
    inner = "NMNIST"
    classes = tuple("0123456789")
    origin: ClassVar[Origin] = Origin(
        title="N-MNIST (Train.zip and Test.zip)",
        publisher="Garrick Orchard's page of the data set, garrickorchard.com",
        licence="CC BY-SA 4.0",
        layout="the folders Train and Test with a folder for each digit, 0 to 9",
    )

    def source(self, path: Path) -> dict[str, Any]:
        """Replay the recording."""
        return {"use": "replay", "path": str(path)}
