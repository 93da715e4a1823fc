"""The eleven gestures as a video: what a 25 Hz colour camera would have seen of a session."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.simulation.colour import develop, draw_palette, render_colour
from models.simulation.render import LIGHTING
from models.simulation.session import plan_session, shapes

__all__ = ["RATE_HZ", "film_gesture"]

RATE_HZ = 25.0
"""Frames a second."""


def film_gesture(
    person: int, seed: int, gesture: int, frames: int, lighting: str = "lab", side_px: int = 128
) -> Iterator[NDArray[np.uint8]]:
    """Film a person who performs one gesture from the first frame to the last.

    Args:
        person: Who; the same number is the same person as in recordings of events.
        seed: What differs between two sessions of that person.
        gesture: Class index, 0 to 10.
        frames: How many.
        lighting: One of `models.simulation.render.LIGHTING`.
        side_px: Edge of the square picture.

    Yields:
        (side, side, 3) uint8 red, green, blue.
    """
    seconds = frames / RATE_HZ
    plan = plan_session(
        person,
        seed,
        [gesture],
        seconds_per_gesture=seconds,
        lighting=lighting,
        width=side_px,
        height=side_px,
    )
    # Colours and exposure are the session's, whatever is performed in it.
    palette = draw_palette(plan.person, np.random.default_rng([person, seed, 0xC01]))
    exposure = 0.9 / LIGHTING[lighting].level
    rng = np.random.default_rng([person, seed, gesture, 0xF11])
    times_us = plan.labels[0].start_us + np.arange(frames) * round(1e6 / RATE_HZ)
    for capsules, time_us in zip(shapes(plan, times_us), times_us.tolist(), strict=True):
        image = render_colour(plan.scene, capsules, plan.person.texture, palette, time_us * 1e-6)
        yield develop(image, exposure, rng)
