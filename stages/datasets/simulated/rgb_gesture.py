"""Simulated RGB-gesture: the eleven gestures as colour videos, in class folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import NonNegativeInt, PositiveInt

from models.simulation import GESTURES
from pipeline.stage import StageConfig
from stages.datasets.data_set import DataSet
from stages.datasets.simulated.gestures import LIGHTS
from stages.datasets.simulated.pictures import write_video
from stages.datasets.simulated.simulated_set import Piece, SimulatedSet

__all__ = ["FIRST_PERSON", "RgbGestureOptions", "SimulatedRgbGesture"]

FIRST_PERSON = 5001
"""People of the videos, from here on: nobody is in the simulated recordings of events too."""


class RgbGestureOptions(StageConfig):
    """How many people perform, and how long."""

    people: PositiveInt = 60
    """Each performs every gesture once."""
    frames: PositiveInt = 61
    """Frames of a video, at 25 Hz: one more than differences of frames."""
    simulation_seed: NonNegativeInt = 1
    """Another seed is another set."""


class SimulatedRgbGesture(SimulatedSet):
    """Videos of rendered people, ``GESTURE/userNNNN_LIGHT.mp4``."""

    name = "simulated_rgb_gesture"
    about = "a rendered person performs the gestures of DVS128 Gesture before a rendered wall"
    Options: ClassVar[type[StageConfig]] = RgbGestureOptions

    @property
    def real(self) -> DataSet:
        """RGB-gesture."""
        from stages.datasets.rgb_gesture import RgbGesture

        return RgbGesture(self.folder)

    def pieces(self) -> Sequence[Piece]:
        """One video for each person and gesture."""
        seed, frames = self.options.simulation_seed, self.options.frames
        pieces = []
        for person in range(FIRST_PERSON, FIRST_PERSON + self.options.people):
            light = LIGHTS[person % len(LIGHTS)]
            for gesture, name in enumerate(GESTURES):
                path = f"{name}/user{person}_{light}.mp4"
                pieces.append(Piece(path, (person, seed, gesture, frames, light)))
        return pieces

    @staticmethod
    def write(path: Path, *arguments: Any) -> None:
        """Film one gesture."""
        from models.simulation.video import RATE_HZ, film_gesture

        write_video(path, film_gesture(*arguments), RATE_HZ)
