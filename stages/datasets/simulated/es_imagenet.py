"""Simulated ES-ImageNet: pictures of simple objects, made into events as the real set's are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from models.simulation.objects import OUTLINES, draw_object
from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet
from stages.datasets.simulated.simulated_set import Piece, SimulatedSet

__all__ = ["CLASSES", "EsImagenetOptions", "SimulatedEsImagenet", "draw_picture"]

CLASSES = tuple(OUTLINES)
"""What the ten classes show, from 0; full or hollow."""

_LONGER_PX = 254
_FEWEST_EVENTS = 1000
"""The real set leaves pictures with fewer out."""


class EsImagenetOptions(StageConfig):
    """How many pictures."""

    per_class: PositiveInt = 120
    """Of each class in ``train``."""
    val_per_class: PositiveInt = 30
    """Of each class in ``val``."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another set."""


class SimulatedEsImagenet(SimulatedSet):
    """``train/class<C>/class<C>_<n>.npz``, ``val/simulated_val_<n>.npz``, and their lists."""

    name = "simulated_es_imagenet"
    about = (
        "drawn pictures, of which events were made by the real set's method; the classes are a "
        + ", ".join(CLASSES)
    )
    Options: ClassVar[type[StageConfig]] = EsImagenetOptions

    @property
    def real(self) -> DataSet:
        """ES-ImageNet."""
        from stages.datasets.es_imagenet import EsImageNet, EsImageNetOptions

        return EsImageNet(self.folder, EsImageNetOptions(class_count=len(CLASSES)))

    @property
    def classes(self) -> tuple[str, ...]:
        """Ten, not the real set's thousand."""
        return CLASSES

    def pieces(self) -> Sequence[Piece]:
        """One file for each picture."""
        seed = self.options.simulation_seed
        return [
            Piece(f"{part}/{name}", (label, number, seed))
            for part in ("train", "val")
            for name, label, number in self._pictures(part)
        ]

    @staticmethod
    def write(path: Path, *arguments: Any) -> None:
        """Make one picture into events."""
        from models.simulation.gradient import gradient_events

        label, number, seed = arguments
        rng = np.random.default_rng([seed, label, number, 0xE51])
        height, width = _size(label, number, seed)
        while True:
            events = gradient_events(draw_picture(label, height, width, rng))
            if len(events.positive) + len(events.negative) >= _FEWEST_EVENTS:
                break
        np.savez_compressed(path, pos=events.positive, neg=events.negative)

    def finish(self) -> None:
        """Write the lists: file, class, rows and columns of the picture."""
        seed = self.options.simulation_seed
        for part in ("train", "val"):
            lines = []
            for name, label, number in self._pictures(part):
                rows, columns = _size(label, number, seed)
                lines.append(f"{name} {label} {rows} {columns}\n")
            (self.folder / f"{part}label.txt").write_text("".join(lines), "utf-8")

    def _pictures(self, part: str) -> Iterator[tuple[str, int, int]]:
        """Yield (name, class, number within its class) of a part's pictures."""
        train, val = self.options.per_class, self.options.val_per_class
        numbers = range(train) if part == "train" else range(train, train + val)
        for label in range(len(CLASSES)):
            for number in numbers:
                name = f"class{label}/class{label}_{number + 1}.npz"
                if part == "val":
                    name = f"simulated_val_{len(CLASSES) * number + label:08d}.npz"
                yield name, label, number


def draw_picture(
    label: int, height: int, width: int, rng: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Draw a picture of a class; (height, width, 3) float32, 0 to 1."""
    hollow = bool(rng.random() < 0.5)
    return draw_object(CLASSES[label], hollow, height, width, rng)


def _size(label: int, number: int, seed: int) -> tuple[int, int]:
    """Draw rows and columns; the longer is 254, as in the real set."""
    rng = np.random.default_rng([seed, label, number, 0x512E])
    shorter = int(rng.choice([169, 190, 203, _LONGER_PX]))
    return (shorter, _LONGER_PX) if rng.random() < 0.7 else (_LONGER_PX, shorter)
