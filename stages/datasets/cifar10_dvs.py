"""CIFAR10-DVS: pictures of CIFAR-10 that moved on a monitor before a DVS128.

A folder a class with 1000 recordings: AEDAT 2.0 as published, or AEDAT4 as tonic gets them.
Source: Li et al., "CIFAR10-DVS: An Event-Stream Dataset for Object Classification", Frontiers
in Neuroscience 11, 2017.
"""

from pathlib import Path
from typing import Any, ClassVar

from stages.datasets.class_folders import ClassFolders
from stages.datasets.data_set import Origin

__all__ = ["Cifar10Dvs"]


class Cifar10Dvs(ClassFolders):
    """CIFAR10-DVS; each recording is a group."""

    name = "cifar10_dvs"
    endings = (".aedat", ".aedat4")
    first = "airplane"
    inner = "CIFAR10DVS"
    classes = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    origin: ClassVar[Origin] = Origin(
        title="CIFAR10-DVS (ten archives, one a class)",
        publisher="its authors' page on figshare, linked from their article",
        licence="the one stated on that page",
        layout="a folder for each class, airplane to truck, with its recordings",
    )

    def source(self, path: Path) -> dict[str, Any]:
        """Replay the recording."""
        return {"use": "replay", "path": str(path)}
