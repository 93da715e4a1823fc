"""N-MNIST: handwritten digits before a moving ATIS camera, as its publishers lay it out.

``Train/<digit>/NNNNN.bin`` and ``Test/<digit>/NNNNN.bin``, a recording of 0.3 s a digit. Source:
Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades",
Frontiers in Neuroscience 9, 2015. A tree without ``Test`` is taken as it is: then the recipe's
shares decide what is held out.
"""

from pathlib import Path
from typing import ClassVar

from stages.datasets.data_set import DataSet, Item, Origin
from stages.datasets.tree import files_in, folders_in

__all__ = ["NMnist"]

_PARTS = {"Train": None, "Test": "test"}


class NMnist(DataSet):
    """N-MNIST, or a part of it in the same layout."""

    name = "nmnist"
    origin: ClassVar[Origin] = Origin(
        title="N-MNIST (Train.zip and Test.zip)",
        publisher="Garrick Orchard's page of the data set",
        licence="CC BY-SA 4.0",
        layout="the folders Train and Test with a folder for each digit, 0 to 9",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """The digits."""
        return tuple("0123456789")

    def items(self) -> list[Item]:
        """List the recordings; each is a group of its own."""
        root = self._root()
        if not (root / "Train").is_dir():
            raise self.missing(root / "Train")
        return [
            Item(
                key=str(path.relative_to(root)),
                source={"use": "replay", "path": str(path)},
                label=int(digit.name),
                group=str(path.relative_to(root)),
                part=part,
            )
            for name, part in _PARTS.items()
            for digit in folders_in(root / name, self.classes)
            for path in files_in(digit, (".bin",))
        ]

    def _root(self) -> Path:
        """Return where the tree lies; tonic keeps it in a folder of its own."""
        inner = self.folder / "NMNIST"
        return inner if inner.is_dir() else self.folder
