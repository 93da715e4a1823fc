"""Pictures in class folders, as ImageNet's are for the transformer; classes by name."""

from pathlib import Path
from typing import Any, ClassVar

from stages.datasets.class_folders import ClassFolders
from stages.datasets.data_set import STEPS, Origin
from stages.datasets.tree import folders_in, parted
from stages.sources.picture import PICTURES

__all__ = ["ImageFolder"]


class ImageFolder(ClassFolders):
    """Pictures; each is a group."""

    name = "image_folder"
    endings = PICTURES
    first = "*"
    origin: ClassVar[Origin] = Origin(
        title="ImageNet-1K (ILSVRC 2012), or pictures of your own",
        publisher="image-net.org, where one has to register",
        licence="non-commercial research and education only",
        layout="a folder for each class (n01440764, ...) with its pictures",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """The folders, by name: the order in which ImageNet's classes are numbered."""
        names = {one.name for place, _ in parted(self.root) for one in folders_in(place)}
        return tuple(sorted(names))

    def source(self, path: Path) -> dict[str, Any]:
        """Show the picture for as many steps as the network takes."""
        return {
            "use": "images",
            "path": str(path),
            "steps": STEPS,
            "resize_px": 256,
            "size": [224, 224],
        }
