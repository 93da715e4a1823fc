"""LUNA16Cls: patches of CT scans around a nodule, as ``.npy`` files of 8 slices of 32 × 32.

``train`` and ``test`` with ``CLASS_SCAN_NUMBER.npy``, of which a training patch may have turned
copies, ``..._augK.npy``; the class is the name's first character. They are cut out of LUNA16 by
BIDL's ``datasets/prepare_Luna16.py``, in which -1200 to 600 HU are scaled to bytes.
"""

import re
from typing import Any, ClassVar

from pydantic import Field

from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.datasets.data_set import STEPS, DataSet, Item, Origin
from stages.datasets.tree import files_in, parted

__all__ = ["Luna16Cls", "Luna16ClsOptions"]

_NAME = re.compile(r"(\d)_?(.*?)(?:_\d+)?(?:_aug\d+)?\.npy")


class Luna16ClsOptions(StageConfig):
    """How values become bytes."""

    range: tuple[float, float] | None = Field(None)
    """Values that become 0 and 255, where the patches are not of bytes already."""


class Luna16Cls(DataSet):
    """LUNA16Cls; all patches of a scan are a group."""

    name = "luna16cls"
    Options: ClassVar[type[StageConfig]] = Luna16ClsOptions
    classes = ("malignant", "benign")
    """In the order of BIDL's list."""
    origin: ClassVar[Origin] = Origin(
        title="LUNA16, and cut the patches out with BIDL's datasets/prepare_Luna16.py",
        publisher="luna16.grand-challenge.org",
        licence="CC BY 4.0",
        layout="the folders train and test with the patches",
    )

    def items(self) -> list[Item]:
        """List the patches."""
        if not self.folder.is_dir():
            raise self.missing(self.folder)
        items = []
        for folder, part in parted(self.folder):
            for path in files_in(folder, (".npy",)):
                match = _NAME.fullmatch(path.name)
                if not match or int(match[1]) >= len(self.classes):
                    raise ConfigError(
                        f"data.set: {path} must begin with its class, 0 or 1, as in 1_SCAN_0.npy"
                    )
                source: dict[str, Any] = {"use": "slices", "path": str(path), "steps": STEPS}
                if self.options.range is not None:
                    source["range"] = list(self.options.range)
                items.append(
                    Item(
                        key=str(path.relative_to(self.folder)),
                        source=source,
                        label=int(match[1]),
                        group=match[2] or path.stem,
                        part=part,
                    )
                )
        return items
