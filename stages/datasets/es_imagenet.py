"""ES-ImageNet: events made from the pictures of ILSVRC 2012 by moving them in eight steps.

``train/classN/classN_M.npz`` and ``val/...`` with the arrays ``pos`` and ``neg`` of (row, column,
step), steps from 1 to 8; the lists ``trainlabel.txt`` and ``vallabel.txt`` say ``FILE CLASS ROWS
COLUMNS`` (or ``.csv``, ``FILE,CLASS``). Source: Lin et al., "ES-ImageNet: A Million Event-Stream
Classification Dataset for Spiking Neural Networks", Frontiers in Neuroscience 15, 2021, and its
repository lyh983012/ES-imagenet-master.
"""

from collections.abc import Iterator
from typing import ClassVar

from pydantic import PositiveInt

from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet, Item, Origin, Part
from stages.sources.text_file import read_rows

__all__ = ["EsImageNet", "EsImageNetOptions"]

_PARTS: dict[str, Part] = {"train": "train", "val": "test"}
"""The published lists have no third part: what is called val is what figures are given for."""


class EsImageNetOptions(StageConfig):
    """How many classes there are."""

    class_count: PositiveInt = 1000
    """The set has 1000; a part of it may have fewer."""


class EsImageNet(DataSet):
    """ES-ImageNet; each picture is a group."""

    name = "es_imagenet"
    Options: ClassVar[type[StageConfig]] = EsImageNetOptions
    origin: ClassVar[Origin] = Origin(
        title="ES-ImageNet (event lists, 100 GB)",
        publisher="its authors' repository lyh983012/ES-imagenet-master on GitHub, which links it",
        licence="none stated; ImageNet's terms hold: non-commercial research and education",
        layout="the folders train and val, and the lists trainlabel.txt and vallabel.txt",
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """``class0`` and on, as the set's folders are called."""
        return tuple(f"class{number}" for number in range(self.options.class_count))

    def items(self) -> list[Item]:
        """List the pictures."""
        return [item for name, part in _PARTS.items() for item in self._listed(name, part)]

    def _listed(self, name: str, part: Part) -> Iterator[Item]:
        path = self.folder / f"{name}label.csv"
        if not path.is_file():
            path = self.folder / f"{name}label.txt"
        if not path.is_file():
            raise self.missing(path)
        for number, (row,) in read_rows(path, "lines"):
            fields = row.replace(",", " ").split()
            if not fields:
                continue
            if len(fields) < 2 or not fields[1].isdecimal():
                raise ConfigError(
                    f"data.set: {path}: line {number} must be FILE CLASS, got {row[:60]!r}"
                )
            if int(fields[1]) >= self.options.class_count:
                raise ConfigError(
                    f"data.set: {path}: line {number}: class must be 0 to"
                    f" {self.options.class_count - 1}, got {fields[1]}; see data.class_count"
                )
            recording = (self.folder / name / fields[0]).with_suffix(".npz")
            if not recording.is_file():
                raise ConfigError(
                    f"data.set: {recording} is not there, and {path} lists it; were all archives"
                    " unpacked?"
                )
            yield Item(
                key=f"{name}/{fields[0]}",
                source={"use": "replay", "path": str(recording)},
                label=int(fields[1]),
                group=f"{name}/{fields[0]}",
                part=part,
            )
