"""Pictures seen in a view: where they are, how large, which way up."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from models.simulation.dvs_pixel import PixelConfig, make_sensor
from models.simulation.sampling import View, concatenate, resample, watch

QUIET = PixelConfig(
    threshold_sigma=0.0, leak_rate_hz=0.0, shot_noise_rate_hz=0.0, hot_pixel_fraction=0.0
)


def spot(row: int, column: int) -> NDArray[np.float32]:
    """A dark picture of 9×9 pixels, one of which is bright."""
    picture = np.zeros((9, 9), np.float32)
    picture[row, column] = 1.0
    return picture


def brightest(image: NDArray[np.float32]) -> tuple[int, int]:
    """(row, column) of the brightest pixel."""
    row, column = np.unravel_index(int(image.argmax()), image.shape)
    return int(row), int(column)


def test_the_middle_of_the_picture_is_where_the_view_says() -> None:
    image = resample(spot(4, 4), View(x_px=12.0, y_px=7.0, scale=1.0), 20, 30)
    assert brightest(image) == (7, 12)


def test_scale_is_pixels_of_the_image_for_one_of_the_picture() -> None:
    image = resample(spot(4, 6), View(10.0, 10.0, scale=3.0), 21, 21)
    assert brightest(image) == (10, 10 + 2 * 3)


def test_a_quarter_turn_clockwise_brings_the_right_to_the_bottom() -> None:
    image = resample(spot(4, 7), View(10.0, 10.0, 1.0, angle_rad=0.5 * math.pi), 21, 21)
    assert brightest(image) == (13, 10)


def test_light_is_neither_lost_nor_made_and_never_overshoots() -> None:
    image = resample(spot(4, 4), View(10.3, 9.6, 2.0, 0.4), 21, 21)
    assert image.sum() == pytest.approx(2.0**2, rel=1e-3)
    assert image.min() >= 0.0
    assert image.max() <= 1.0


def test_the_border_of_the_picture_goes_on() -> None:
    image = resample(np.full((3, 3), 0.7, np.float32), View(100.0, 0.0, 1.0), 4, 5)
    np.testing.assert_allclose(image, 0.7, rtol=1e-6)


def test_a_sensor_that_watches_sees_what_changes() -> None:
    dark, bright = np.full((2, 3), 0.1, np.float32), np.full((2, 3), 0.9, np.float32)
    sensor = make_sensor(3, 2, seed=1, config=QUIET)
    assert len(watch(sensor, [(0, dark), (1000, dark)]).t) == 0
    seen = watch(sensor, [(0, dark), (1000, bright), (2000, bright)])
    assert len(seen.t) >= 6
    assert (seen.p == 1).all()
    assert seen.t.min() > 0
    assert seen.t.max() <= 2000


def test_nothing_joined_is_empty_columns() -> None:
    assert [column.dtype.str for column in concatenate([])] == ["<i8", "<i2", "<i2", "|i1"]
