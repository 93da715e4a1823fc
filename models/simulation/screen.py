"""A picture that moves along a closed loop on a screen before a DVS128, as for CIFAR10-DVS.

The loop is a square on its corner, walked side by side without a stop: H. Li, H. Liu, X. Ji, G. Li,
L. Shi. CIFAR10-DVS: an event-stream dataset for object classification. Frontiers in Neuroscience
11, 2017.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.simulation.dvs_pixel import Events, PixelConfig, make_sensor
from models.simulation.sampling import View, resample, watch

__all__ = ["SIDE_PX", "watch_loop"]

SIDE_PX = 128
"""Edge of the sensor in pixels."""

_FRAME_US = 1000
_CORNERS = np.array([[0, 1], [1, 0], [0, -1], [-1, 0], [0, 1]], float)
_SENSOR = PixelConfig(threshold_on=0.3, threshold_off=0.3, threshold_sigma=0.04, cutoff_hz=400.0)


def watch_loop(picture: NDArray[np.float32], seconds: float, seed: int) -> Events:
    """Look at a picture that goes round once.

    Args:
        picture: (rows, columns) float32 luminance, as large as the screen is seen.
        seconds: For one round, which is the recording.
        seed: Of size and start of the loop, of the sensor and of its noise.

    Returns:
        Events on 128×128 px, times from 0.
    """
    rng = np.random.default_rng([seed, 0xC10])
    reach_px = rng.uniform(3.0, 5.0)
    start, sense = rng.uniform(0, 4), rng.choice([-1.0, 1.0])
    duration_us = round(1e6 * seconds)

    def frames() -> Iterator[tuple[int, NDArray[np.float32]]]:
        for time_us in range(0, duration_us + 1, _FRAME_US):
            corner, part = divmod((start + sense * 4 * time_us / duration_us) % 4, 1)
            here, there = _CORNERS[int(corner)], _CORNERS[int(corner) + 1]
            x, y = 0.5 * (SIDE_PX - 1) + reach_px * (here + part * (there - here))
            yield time_us, resample(picture, View(x, y, 1.0), SIDE_PX, SIDE_PX)

    return watch(make_sensor(SIDE_PX, SIDE_PX, seed, _SENSOR), frames())
