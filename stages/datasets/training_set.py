"""The training set that a recipe's ``[data]`` table asks for: made if need be, binned, cached."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from models.simulation import GESTURES
from models.training import LabelledFrames, Recipe
from pipeline.errors import ConfigError
from stages.datasets.frames import input_ports, labelled_frames
from stages.datasets.labels import labels_path, read_labels
from stages.datasets.simulated import LIGHTS, SessionRequest, simulate_folder

__all__ = ["TrainingSet", "prepare"]

Progress = Callable[[str, int, int], None]


class TrainingSet(NamedTuple):
    """Three parts that share no person."""

    train: LabelledFrames
    validation: LabelledFrames
    test: LabelledFrames


def prepare(recipe: Recipe, folder: Path, processes: int, progress: Progress) -> TrainingSet:
    """Return the recipe's data as frames.

    Args:
        recipe: its ``[data]``, ``[input]`` and ``[network]`` tables are used.
        folder: recordings and frames are kept here, in folders named after what made them.
        processes: how many recordings to simulate side by side.
        progress: called with what is being done, how many are done, and of how many.

    Raises:
        ConfigError: the set is unknown, or the input stages do not fit.
        RecordingError: a recording cannot be written or read.
    """
    if recipe.data.set != "simulated_gestures":
        raise ConfigError(
            f"data.set: no data set is called '{recipe.data.set}'; known is simulated_gestures"
        )
    parts = _parts(recipe)
    recordings = folder / f"gestures-simulated-{_hash(recipe.data.model_dump())}"
    requests = [request for part in parts.values() for request in part]
    for done, _ in enumerate(simulate_folder(requests, recordings, processes), start=1):
        progress("simulating", done, len(requests))
    return TrainingSet(
        **{name: _frames(recipe, recordings, name, part, progress) for name, part in parts.items()}
    )


def _parts(recipe: Recipe) -> dict[str, list[SessionRequest]]:
    """Deal out people: everybody is in one part only."""
    data = recipe.data
    parts: dict[str, list[SessionRequest]] = {}
    first = 1
    for name, people in (
        ("train", data.people),
        ("validation", data.validation_people),
        ("test", data.test_people),
    ):
        parts[name] = [
            SessionRequest(
                person, data.seed, LIGHTS[person % len(LIGHTS)], data.seconds_per_gesture
            )
            for person in range(first, first + people)
        ]
        first += people
    return parts


def _frames(
    recipe: Recipe,
    recordings: Path,
    name: str,
    requests: Sequence[SessionRequest],
    progress: Progress,
) -> LabelledFrames:
    steps = int(recipe.network.options.get("steps", 60))
    cache = recordings / f"{name}-{_hash([recipe.input.model_dump(), steps])}.npz"
    if not cache.exists():
        frames, labels, groups = [], [], []
        for done, request in enumerate(requests, start=1):
            path = recordings / request.file_name
            stretches = read_labels(labels_path(path))
            array = labelled_frames(path, stretches, recipe.input.stage, steps)
            frames.append(array)
            labels += [one.class_index for one in stretches]
            groups += [request.person] * len(stretches)
            progress(f"binning for {name}", done, len(requests))
        np.savez(cache, frames=np.concatenate(frames), labels=labels, groups=groups)
    source, port = input_ports(recordings / requests[0].file_name, recipe.input.stage)
    if port.window_us is None:
        raise ConfigError("input.stage: must bin by time, a network's step has a length")
    if port.step_us != port.window_us:
        raise ConfigError("input.stage: windows must follow each other, leave step_us out")
    with np.load(cache) as kept:
        return LabelledFrames(
            frames=kept["frames"],
            labels=kept["labels"].astype(np.int64),
            groups=kept["groups"].astype(np.int64),
            classes=GESTURES,
            sensor_size=(source.height or 0, source.width or 0),
            window_us=port.window_us,
            frame=port.frame,
        )


def _hash(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:12]
