"""Augmentation: what it may change, and what not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.training.augment import Augmentation

FRAMES = np.arange(1, 4 * 2 * 3 * 6 + 1, dtype=np.uint16).reshape(4, 2, 3, 6)
SEEDS = st.integers(0, 1000)


def test_no_augmentation_is_a_copy() -> None:
    changed = Augmentation()(FRAMES, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, FRAMES)
    assert not np.shares_memory(changed, FRAMES)


@given(SEEDS, st.integers(0, 4))
def test_a_shift_moves_every_step_alike_and_brings_in_zeros(seed: int, shift_px: int) -> None:
    changed = Augmentation(shift_px=shift_px)(FRAMES, np.random.default_rng(seed))
    padded = np.pad(FRAMES, ((0, 0), (0, 0), (4, 4), (4, 4)))
    assert any(
        np.array_equal(changed, padded[..., 4 - down : 7 - down, 4 - right : 10 - right])
        for down in range(-shift_px, shift_px + 1)
        for right in range(-shift_px, shift_px + 1)
    )


@given(SEEDS, st.integers(1, 9))
def test_a_crop_is_a_stretch_of_time(seed: int, crop_steps: int) -> None:
    changed = Augmentation(crop_steps=crop_steps)(FRAMES, np.random.default_rng(seed))
    length = min(crop_steps, 4)
    assert any(np.array_equal(changed, FRAMES[k : k + length]) for k in range(5 - length))


def test_a_flip_mirrors_every_other_example() -> None:
    rng = np.random.default_rng(3)
    mirrored = [
        np.array_equal(Augmentation(flip=True)(FRAMES, rng), FRAMES[..., ::-1]) for _ in range(200)
    ]
    assert 70 < sum(mirrored) < 130


def test_events_are_dropped_never_added() -> None:
    frames = np.full((4, 2, 30, 30), 7, np.uint8)
    rng = np.random.default_rng(1)
    kept = [Augmentation(drop_probability=0.5)(frames, rng) for _ in range(40)]
    assert all((each <= frames).all() for each in kept)
    shares = [each.mean() / 7 for each in kept]
    assert 0.48 < min(shares) < 0.6
    assert 0.9 < max(shares) <= 1


def test_pictures_of_floats_are_shifted_too() -> None:
    changed = Augmentation(shift_px=2)(FRAMES.astype(np.float32), np.random.default_rng(5))
    assert changed.dtype == np.float32
