"""Real handwritten digits before a simulated DVS: in three saccades, or drifting slowly.

The digits are scikit-learn's copy of the test half of "Optical recognition of handwritten digits"
(E. Alpaydin, C. Kaynak; UCI machine learning repository, 1998; CC BY 4.0): 1797 pictures of 8×8
pixels by 13 writers. They are real; all movement and every event is simulated.

The saccades are those of N-MNIST (G. Orchard, A. Jayawant, G. Cohen, N. Thakor. Converting static
image datasets to spiking neuromorphic datasets using saccades. Frontiers in Neuroscience 9, 2015):
a 34×34 px sensor moves along the three sides of a triangle, 100 ms each. The drift is MNIST-DVS's
(T. Serrano-Gotarredona, B. Linares-Barranco. A 128×128 1.5 % contrast sensitivity DVS. IEEE JSSC
48(3), 2013): a digit moves slowly on a screen before a DVS128.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation.dvs_pixel import Events, PixelConfig, make_sensor
from models.simulation.sampling import View, resample, watch

__all__ = [
    "SACCADE_SIDE_PX",
    "SACCADE_US",
    "SCALES",
    "SCREEN_SIDE_PX",
    "Digits",
    "drift",
    "load",
    "saccades",
]

SACCADE_SIDE_PX = 34
"""Edge of the saccades' sensor in pixels."""
SACCADE_US = 100_000
"""Length of one of the three saccades."""
SCREEN_SIDE_PX = 128
"""Edge of the sensor before the screen, a DVS128."""
SCALES = (4, 8, 16)
"""MNIST-DVS's three sizes of a digit; at 4 one is about 26 px high, at 16 four times that."""

_FRAME_US = 1000
_SLOW_FRAME_US = 4000
_DIGIT_SIDE = 8
_DARK, _BRIGHT = 0.04, 0.9
_TRIANGLE = ((0.0, 0.0), (0.5, 1.0), (1.0, 0.0))
_SENSOR = PixelConfig(threshold_on=0.25, threshold_off=0.25, threshold_sigma=0.04, cutoff_hz=300.0)
_ROTATION_RAD = 0.10


class Digits(NamedTuple):
    """All digits, in the order of the file: that of the writers, roughly."""

    pictures: NDArray[np.float32]
    """(1797, 8, 8) float32 ink, 0 to 1."""
    labels: NDArray[np.int64]
    """(1797,) 0 to 9."""


@cache
def load() -> Digits:
    """Load the digits that are part of scikit-learn.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    from sklearn.datasets import load_digits

    loaded = load_digits()
    return Digits((loaded.images / 16).astype(np.float32), loaded.target.astype(np.int64))


def saccades(picture: NDArray[np.float32], seed: int) -> Events:
    """Look at a digit in three saccades over 300 ms, as N-MNIST does.

    Args:
        picture: (8, 8) ink, 0 to 1.
        seed: Of size, place and tilt of the digit, of the sensor and of its noise.

    Returns:
        Events on 34×34 px, times from 0 to 300 000 µs.
    """
    rng = np.random.default_rng([seed, 0xD16])
    scale = rng.uniform(2.2, 2.7)
    tilt_rad = rng.uniform(-_ROTATION_RAD, _ROTATION_RAD)
    middle = 0.5 * (SACCADE_SIDE_PX - 1) + rng.uniform(-1.5, 1.5, 2)
    reach_px = rng.uniform(3.0, 4.0)
    corners = (np.array([*_TRIANGLE, _TRIANGLE[0]]) - (0.5, 0.5)) * reach_px

    def frames() -> Iterator[tuple[int, NDArray[np.float32]]]:
        for time_us in range(0, 3 * SACCADE_US + 1, _FRAME_US):
            side, part_us = divmod(min(time_us, 3 * SACCADE_US - 1), SACCADE_US)
            part = _glide(part_us / SACCADE_US)
            x, y = middle + corners[side] + part * (corners[side + 1] - corners[side])
            yield time_us, _screen(picture, View(x, y, scale, tilt_rad), SACCADE_SIDE_PX)

    sensor = make_sensor(SACCADE_SIDE_PX, SACCADE_SIDE_PX, seed, _SENSOR)
    return watch(sensor, frames())


def drift(picture: NDArray[np.float32], scale: int, seconds: float, seed: int) -> Events:
    """Look at a digit that drifts slowly along a closed curve on a screen, as MNIST-DVS does.

    Args:
        picture: (8, 8) ink, 0 to 1.
        scale: One of `SCALES`: how large the digit is.
        seconds: Length of the recording.
        seed: Of the path, of tilt and place, of the sensor and of its noise.

    Returns:
        Events on 128×128 px, times from 0.
    """
    rng = np.random.default_rng([seed, 0xD17])
    digit_px = 6.5 * scale * rng.uniform(0.92, 1.08)
    tilt_rad = rng.uniform(-_ROTATION_RAD, _ROTATION_RAD)
    room_px = min(0.5 * (SCREEN_SIDE_PX - digit_px), 24.0)
    middle = 0.5 * (SCREEN_SIDE_PX - 1) + rng.uniform(-0.4, 0.4, 2) * room_px
    # The larger the digit, the slower: a screen moves both the same share of the digit.
    radius_px = (0.25 * room_px + 2.0) * rng.uniform(0.8, 1.2, 2)
    rate_hz = rng.uniform(0.6, 1.0, 2)
    phase_rad = rng.uniform(0, 2 * math.pi, 2)

    def frames() -> Iterator[tuple[int, NDArray[np.float32]]]:
        for time_us in range(0, round(1e6 * seconds) + 1, _SLOW_FRAME_US):
            turn = 2 * math.pi * rate_hz * time_us * 1e-6 + phase_rad
            x, y = middle + radius_px * np.sin(turn)
            view = View(x, y, digit_px / _DIGIT_SIDE, tilt_rad)
            yield time_us, _screen(picture, view, SCREEN_SIDE_PX)

    return watch(make_sensor(SCREEN_SIDE_PX, SCREEN_SIDE_PX, seed, _SENSOR), frames())


def _screen(picture: NDArray[np.float32], view: View, side_px: int) -> NDArray[np.float32]:
    """Return the luminance of a screen on which the digit is bright, (side, side)."""
    ink = resample(np.pad(picture, 1), view, side_px, side_px)
    # The spline blurs; steeper slopes make strokes as sharp as a pen's.
    stroke = np.clip((ink - 0.25) / 0.3, 0.0, 1.0)
    stroke = stroke * stroke * (3 - 2 * stroke)
    return np.asarray(_DARK + (_BRIGHT - _DARK) * stroke, np.float32)


def _glide(part: float) -> float:
    """Go from 0 to 1, at rest at both ends: least jerk, as an eye or a motor moves."""
    return part**3 * (10 - 15 * part + 6 * part**2)
