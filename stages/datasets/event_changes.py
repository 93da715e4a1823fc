"""Random changes of a recording's events, which leave its class as it is.

They are made before the events are binned, on the sensor's own pixels and clock: what they give is
what a camera might have recorded, and is binned like it.
"""

from typing import NamedTuple

import numpy as np

from models.training.recipe import EventSection
from pipeline.events import EventArray

__all__ = ["Changed", "change_events", "drop", "jitter", "move", "stretch"]


class Changed(NamedTuple):
    """Events after a change."""

    events: EventArray
    left: int
    """How many were moved out of the sensor, and are no longer there."""


def change_events(
    events: EventArray, size: tuple[int, int], section: EventSection, rng: np.random.Generator
) -> Changed:
    """Change the events of one example as the recipe asks for, each time in another way.

    Args:
        events: in order of time.
        size: (height, width) of the sensor.
        section: how large the changes may be, ``[augment.events]``.
        rng: what is drawn from.

    Returns:
        Events in order of time, within the sensor.
    """
    rotation_deg, scale, slower, shear = rng.uniform(-1, 1, 4) * (
        section.rotate_deg,
        section.scale,
        section.time_scale,
        section.shear,
    )
    down, right = rng.integers(-section.shift_px, section.shift_px + 1, 2).tolist()
    probability = section.drop_probability * rng.random()
    if probability:
        events = drop(events, probability, rng)
    left = 0
    if down or right or rotation_deg or scale or shear:
        events, left = move(events, size, (down, right), rotation_deg, 1 + scale, shear)
    if slower:
        events = stretch(events, 1 + slower)
    if section.time_jitter_us:
        events = jitter(events, section.time_jitter_us, rng)
    return Changed(events, left)


def drop(events: EventArray, probability: float, rng: np.random.Generator) -> EventArray:
    """Lose each event with a probability."""
    return events[rng.random(len(events)) >= probability]


def jitter(events: EventArray, sigma_us: float, rng: np.random.Generator) -> EventArray:
    """Add normal noise to all times, and bring the events back into their order."""
    times = events["t"] + np.rint(rng.normal(0, sigma_us, len(events))).astype(np.int64)
    order = np.argsort(times, kind="stable")
    changed = events[order]
    changed["t"] = times[order]
    return changed


def stretch(events: EventArray, factor: float) -> EventArray:
    """Let the recording take ``factor`` times as long, from its first event on."""
    changed = events.copy()
    if len(events):
        first_us = events["t"][0]
        changed["t"] = first_us + np.rint((events["t"] - first_us) * factor).astype(np.int64)
    return changed


def move(
    events: EventArray,
    size: tuple[int, int],
    shift_px: tuple[int, int] = (0, 0),
    rotation_deg: float = 0.0,
    scale: float = 1.0,
    shear: float = 0.0,
) -> Changed:
    """Slant, turn and scale about the sensor's centre, then shift; to the nearest pixel.

    Args:
        events: in order of time.
        size: (height, width) of the sensor; what leaves it is counted and gone.
        shift_px: (down, right).
        rotation_deg: clockwise, as rows count downward.
        scale: how many times as large.
        shear: pixels to the right for each pixel below the centre, before the turn.
    """
    height, width = size
    down, right = shift_px
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    angle = np.deg2rad(rotation_deg)
    across, along = scale * np.sin(angle), scale * np.cos(angle)
    y = events["y"] - centre_y
    x = events["x"] - centre_x + shear * y
    new_x = np.rint(along * x - across * y + centre_x).astype(np.int64) + right
    new_y = np.rint(across * x + along * y + centre_y).astype(np.int64) + down
    inside = (new_x >= 0) & (new_x < width) & (new_y >= 0) & (new_y < height)
    changed = events[inside]
    changed["x"], changed["y"] = new_x[inside], new_y[inside]
    return Changed(changed, len(events) - len(changed))
