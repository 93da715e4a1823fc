"""Simulated Jester: 27 gestures of a hand as folders of JPEG frames, with ``id;label`` lists."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from models.simulation.hand import Backdrop
from models.simulation.hand_gestures import HAND_GESTURES
from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet, Item
from stages.datasets.simulated.pictures import write_picture
from stages.datasets.simulated.simulated_set import Piece, SimulatedSet

__all__ = ["JesterOptions", "SimulatedJester"]

_IDS_PER_OWNER = 100
_PARTS = ("train", "validation", "test")


class JesterOptions(StageConfig):
    """How many people, and how many of their videos."""

    people: PositiveInt = 40
    """In the list for training; each makes every gesture ``repeats`` times."""
    validation_people: PositiveInt = 10
    """In the list for validation: other people."""
    test_people: PositiveInt = 10
    """In the list for the test, which has labels here: others again."""
    repeats: Annotated[int, Field(gt=0, le=3)] = 1
    """Videos of each gesture by each person."""
    frames: PositiveInt = 32
    """Most frames of a video, at 12 Hz; the shortest have three quarters of it."""
    backdrop: Backdrop = "room"
    """The people sit in a ``room``, or reach their hand through a dark ``curtain``: one thing to
    see, and much easier."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another set."""


class SimulatedJester(SimulatedSet):
    """Videos of a rendered hand, ``frames/ID/00001.jpg`` on, and ``labels/jester-v1-*.csv``."""

    name = "simulated_jester"
    about = "a rendered hand makes the 27 gestures of 20BN Jester before a rendered person"
    Options: ClassVar[type[StageConfig]] = JesterOptions

    @property
    def real(self) -> DataSet:
        """Jester."""
        from stages.datasets.jester import Jester

        return Jester(self.folder)

    def items(self) -> list[Item]:
        """List the videos; unlike the real set's, ours say by whom they are."""
        return [
            item._replace(group=f"person {int(Path(item.key).name) // _IDS_PER_OWNER}")
            for item in super().items()
        ]

    def pieces(self) -> Sequence[Piece]:
        """One folder of frames for each video."""
        options = self.options
        told = (options.simulation_seed, options.frames, options.backdrop)
        return [
            Piece(f"frames/{number}", (number // _IDS_PER_OWNER, gesture, number, *told))
            for part in _PARTS
            for number, gesture in self._videos(part)
        ]

    @staticmethod
    def write(path: Path, *arguments: Any) -> None:
        """Film one gesture."""
        from models.simulation.hand_video import film_hand

        owner, gesture, number, seed, most, backdrop = arguments
        rng = np.random.default_rng([seed, number])
        frames = int(rng.integers(most - most // 4, most, endpoint=True))
        path.mkdir(parents=True)
        # Each video has its own seed, as a person makes a gesture several times.
        video = film_hand(owner, 100_000 * seed + number, gesture, frames, backdrop)
        for index, frame in enumerate(video, start=1):
            write_picture(path / f"{index:05d}.jpg", frame, quality=80)

    def finish(self) -> None:
        """Write the list of classes, and of each part."""
        labels = self.folder / "labels"
        labels.mkdir(exist_ok=True)
        names = "".join(f"{name}\n" for name in HAND_GESTURES)
        (labels / "jester-v1-labels.csv").write_text(names, "utf-8")
        for part in _PARTS:
            lines = [
                f"{number};{HAND_GESTURES[gesture]}\n" for number, gesture in self._videos(part)
            ]
            (labels / f"jester-v1-{part}.csv").write_text("".join(lines), "utf-8")

    def _videos(self, part: str) -> Iterator[tuple[int, int]]:
        """Yield (id, gesture) of a part's videos; the id tells who it is."""
        options = self.options
        counts = {
            "train": options.people,
            "validation": options.validation_people,
            "test": options.test_people,
        }
        first = 1 + sum(counts[one] for one in _PARTS[: _PARTS.index(part)])
        for owner in range(first, first + counts[part]):
            for index in range(len(HAND_GESTURES) * self.options.repeats):
                yield owner * _IDS_PER_OWNER + index, index % len(HAND_GESTURES)
