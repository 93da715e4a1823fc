"""Frames for a network, made of a recording as a stream makes them."""

from pathlib import Path

import numpy as np
import pytest
from weights import random_weights

import models
from pipeline.errors import ConfigError, RecordingError
from stages.inference.binned import frames_of

RECORDING = Path(__file__).parents[2] / "recordings" / "gestures_simulated.aedat4"


def card(path: Path, window_us: int | None = 25_000, frame: str = "counts") -> models.ModelCard:
    weights = random_weights(path / "net.safetensors", window_us=window_us, frame=frame)
    return models.read_card(weights)


def test_events_are_binned_as_the_network_was_trained(tmp_path: Path) -> None:
    frames = frames_of(card(tmp_path, window_us=1_000_000), RECORDING)
    fine = frames_of(card(tmp_path, window_us=250_000), RECORDING)
    assert frames.shape[1:] == fine.shape[1:] == (2, 40, 40)
    assert len(fine) == pytest.approx(4 * len(frames), abs=4)
    assert frames[0].sum() == fine[:4].sum() > 0


def test_frames_can_be_given_themselves(tmp_path: Path) -> None:
    frames = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    np.save(tmp_path / "frames.npy", frames)
    assert (frames_of(card(tmp_path), tmp_path / "frames.npy") == frames).all()


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 3)), r"must be numbers of \(steps, .* got float64 of \(2, 3\)"),
        (np.zeros((2, 3, 4, 5), object), "no frames can be read .*Object arrays"),
    ],
)
def test_what_are_no_frames_is_refused(tmp_path: Path, frames: np.ndarray, message: str) -> None:
    np.save(tmp_path / "frames.npy", frames, allow_pickle=True)
    with pytest.raises(RecordingError, match=message):
        frames_of(card(tmp_path), tmp_path / "frames.npy")


@pytest.mark.parametrize(
    ("window_us", "frame", "takes"),
    [(None, "counts", "steps of unknown length"), (25_000, "bgr", "frames of bgr")],
)
def test_events_alone_do_not_make_every_frame(
    tmp_path: Path, window_us: int | None, frame: str, takes: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^--verify: dvs_gesture takes {takes}, which .*\.npy"):
        frames_of(card(tmp_path, window_us, frame), RECORDING)


def test_a_recording_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, RecordingError), match=r"nothing\.aedat4"):
        frames_of(card(tmp_path), tmp_path / "nothing.aedat4")
