"""Handwritten digits before a simulated sensor."""

import numpy as np
import pytest

from models.simulation import digits
from models.simulation.dvs_pixel import Events

pytest.importorskip("sklearn", reason="the digits are part of scikit-learn")


def same(one: Events, other: Events) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def seen() -> Events:
    return digits.saccades(digits.load().pictures[3], seed=5)


def test_all_digits_are_there() -> None:
    loaded = digits.load()
    assert loaded.pictures.shape == (1797, 8, 8)
    assert loaded.pictures.min() == 0.0
    assert loaded.pictures.max() == 1.0
    assert np.bincount(loaded.labels).min() > 170


def test_saccades_are_of_n_mnist_size_and_length(seen: Events) -> None:
    assert 1000 < len(seen.t) < 10_000
    assert (np.diff(seen.t) >= 0).all()
    assert seen.t.min() >= 0
    assert 250_000 < seen.t.max() <= 300_000
    assert max(seen.x.max(), seen.y.max()) < digits.SACCADE_SIDE_PX
    # Most are within each saccade, as the digit rests between them.
    phase = seen.t % digits.SACCADE_US
    assert np.mean((phase > 20_000) & (phase < 80_000)) > 0.75


def test_the_seed_decides_everything(seen: Events) -> None:
    picture = digits.load().pictures[3]
    assert same(seen, digits.saccades(picture, seed=5))
    assert not same(seen, digits.saccades(picture, seed=6))


def test_a_larger_scale_makes_a_larger_digit() -> None:
    picture = digits.load().pictures[0]

    def height(scale: int) -> float:
        events = digits.drift(picture, scale, seconds=0.12, seed=2)
        low, high = np.percentile(events.y, [5, 95])
        return float(high - low)

    heights = [height(scale) for scale in digits.SCALES]
    assert heights[0] < 0.7 * heights[1] < 0.5 * heights[2]
