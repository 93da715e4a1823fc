"""The frames that a network was trained for, made of a recording by the stages of a stream."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from pipeline.errors import ConfigError, RecordingError
from stages.datasets.data_set import Item
from stages.datasets.frames import Input, recorded

__all__ = ["frames_of"]


def frames_of(card: models.ModelCard, recording: Path) -> NDArray[Any]:
    """Return the frames of a recording, (steps, channels, height, width).

    Events are binned as the card says. Of what is no events the frames themselves can be given, as
    an array of numpy, ``.npy``.

    Args:
        card: Of the weights.
        recording: A recording of events, or a file ``.npy`` of frames.

    Raises:
        ConfigError: The network takes no counts of events, or nobody knows its time step.
        RecordingError: The recording cannot be read, or has no events.
    """
    if recording.suffix == ".npy":
        return _array(recording)
    if card.frame != "counts" or card.window_us is None:
        takes = f"frames of {card.frame}" if card.frame != "counts" else "steps of unknown length"
        raise ConfigError(
            f"--verify: {card.network} takes {takes}, which {recording} alone does not give; give"
            " the frames themselves, a .npy of (steps, channels, height, width)"
        )
    source = {"use": "replay", "path": str(recording), "speed": 0}
    item = Item(str(recording), source, label=0, group="")
    table = {"use": "time_bin", "window_us": card.window_us, "size": [*card.input_size]}
    stages = Input(item, [table])
    frames = [stages.bin(one.messages).frames for one in recorded([item])]
    joined: NDArray[Any] = np.concatenate(frames)
    if not len(joined):
        raise RecordingError(f"{recording}: has no events to make frames of; take another")
    return joined


def _array(path: Path) -> NDArray[Any]:
    try:
        frames = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RecordingError(f"{path}: no frames can be read ({error}); check it") from None
    if not isinstance(frames, np.ndarray) or frames.ndim != 4 or frames.dtype.kind not in "biuf":
        raise RecordingError(
            f"{path}: must be numbers of (steps, channels, height, width), got"
            f" {getattr(frames, 'dtype', type(frames).__name__)} of {getattr(frames, 'shape', '')}"
        )
    return frames
