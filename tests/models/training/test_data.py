"""Labelled frames: what is refused, and what augmentation may change."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import ModelError
from models.training.data import Augmentation, LabelledFrames, batches


def labelled(**changes: Any) -> LabelledFrames:
    facts: dict[str, Any] = {
        "frames": np.arange(5 * 4 * 2 * 3 * 6, dtype=np.uint16).reshape(5, 4, 2, 3, 6),
        "labels": np.array([0, 1, 1, 0, 1]),
        "groups": np.zeros(5, np.int64),
        "classes": ("a", "b"),
        "sensor_size": (3, 6),
        "window_us": 1000,
    }
    return LabelledFrames(**facts | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((5, 4, 2, 3, 6))}, "unsigned integer dtype, got .* of float64"),
        ({"frames": np.zeros((5, 3, 6), np.uint8)}, r"got \(5, 3, 6\) of uint8"),
        ({"labels": np.array([0, 1])}, r"got 5 recordings, \(2,\) labels"),
        ({"classes": ("a",)}, "labels must be 0 to 0, got 0 to 1"),
        ({"labels": np.array([0, 1, -1, 0, 1])}, "labels must be 0 to 1, got -1 to 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        labelled(**changes)


def test_no_augmentation_is_a_copy() -> None:
    frames = labelled().frames
    changed = Augmentation()(frames, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, frames)
    assert not np.shares_memory(changed, frames)


@given(st.integers(0, 1000), st.integers(0, 4))
def test_a_shift_moves_every_step_alike_and_brings_in_zeros(seed: int, shift_px: int) -> None:
    frames = labelled().frames[:1] + np.uint16(1)
    changed = Augmentation(shift_px=shift_px)(frames, np.random.default_rng(seed))
    padded = np.pad(frames, ((0, 0), (0, 0), (0, 0), (4, 4), (4, 4)))
    found = [
        (down, right)
        for down in range(-shift_px, shift_px + 1)
        for right in range(-shift_px, shift_px + 1)
        if np.array_equal(changed, padded[..., 4 - down : 7 - down, 4 - right : 10 - right])
    ]
    assert found


@given(st.integers(0, 1000), st.integers(1, 9))
def test_a_crop_is_a_stretch_of_time(seed: int, crop_steps: int) -> None:
    frames = labelled().frames
    changed = Augmentation(crop_steps=crop_steps)(frames, np.random.default_rng(seed))
    length = min(crop_steps, 4)
    for before, after in zip(frames, changed, strict=True):
        assert any(np.array_equal(after, before[k : k + length]) for k in range(5 - length))


def test_events_are_dropped_never_added() -> None:
    frames = np.full((20, 4, 2, 8, 8), 10, np.uint8)
    changed = Augmentation(drop_probability=0.5)(frames, np.random.default_rng(0))
    assert (changed <= frames).all()
    kept = changed.mean((1, 2, 3, 4)) / 10
    assert 0.48 < kept.min() < 0.65
    assert 0.85 < kept.max() <= 1


@pytest.mark.parametrize(("size", "used"), [(2, 4), (5, 5), (8, 5)])
def test_batches_leave_out_what_is_over(size: int, used: int) -> None:
    cut = batches(labelled(), size, Augmentation(), np.random.default_rng(1))
    assert sum(len(labels) for _, labels in cut) == used


def test_batches_keep_frames_and_labels_together() -> None:
    data = labelled()
    for frames, labels in batches(data, 1, Augmentation(), np.random.default_rng(2)):
        index = int(frames[0, 0, 0, 0, 0]) // frames[0].size
        assert labels[0] == data.labels[index]
