"""Jester: people make 27 gestures before their web cameras, as folders of JPEG frames.

``20bn-jester-v1/ID/00001.jpg`` and on (or ``frames/ID``), at 12 Hz, and lists ``ID;label``:
``jester-v1-train.csv``, ``jester-v1-validation.csv`` and ``jester-v1-test.csv``, beside the folder
or in ``labels``; the published list for the test has no labels. Source: Materzynska et al., "The
Jester Dataset: A Large-Scale Video Dataset of Human Gestures", ICCV Workshops 2019.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import PositiveFloat

from models.simulation.hand_gestures import HAND_GESTURES
from pipeline.errors import ConfigError
from pipeline.stage import StageConfig
from stages.datasets.data_set import STEPS, DataSet, Item, Origin, Part
from stages.sources.text_file import read_rows

__all__ = ["Jester", "JesterOptions"]

_FRAMES = ("20bn-jester-v1", "frames", ".")
_PARTS: tuple[Part, ...] = ("train", "validation", "test")


class JesterOptions(StageConfig):
    """How frames are taken."""

    rate_hz: PositiveFloat = 12.0
    """Frames a second; the set says 12."""


class Jester(DataSet):
    """Jester. Who made a gesture is not published, so each video is a group."""

    name = "jester"
    Options: ClassVar[type[StageConfig]] = JesterOptions
    classes = HAND_GESTURES
    origin: ClassVar[Origin] = Origin(
        title="20BN-Jester V1",
        publisher="Qualcomm's developer page of the data set, where one has to register",
        licence="the research licence accepted there",
        layout="the folder 20bn-jester-v1 with a folder of frames for each video, and beside it"
        " the lists jester-v1-train.csv and jester-v1-validation.csv",
    )

    def items(self) -> list[Item]:
        """List the labelled videos."""
        frames = next(
            (place for name in _FRAMES if (place := self.folder / name).is_dir()), self.folder
        )
        items = []
        for part in _PARTS:
            path = self._list(part)
            if path.is_file():
                items += list(self._listed(path, frames, part))
            elif part != "test":
                raise self.missing(path)
        return items

    def _list(self, part: Part) -> Path:
        name = f"jester-v1-{part}.csv"
        inner = self.folder / "labels" / name
        return inner if inner.is_file() else self.folder / name

    def _listed(self, path: Path, frames: Path, part: Part) -> Iterator[Item]:
        labels = {name: label for label, name in enumerate(self.classes)}
        for number, (row,) in read_rows(path, "lines"):
            video, _, name = row.partition(";")
            if not name and part == "test":
                continue
            if name not in labels:
                raise ConfigError(
                    f"data.set: {path}: line {number} must be ID;label with a label of Jester's,"
                    f" got {row[:60]!r}"
                )
            clip = frames / video
            if not clip.is_dir():
                raise ConfigError(
                    f"data.set: {clip} is not there, and {path} lists it; were all archives"
                    " unpacked?"
                )
            yield Item(
                key=video,
                source={
                    "use": "video",
                    "path": str(clip),
                    "colour": "bgr",
                    "rate_hz": self.options.rate_hz,
                    "steps": STEPS,
                },
                label=labels[name],
                group=video,
                part=part,
            )
