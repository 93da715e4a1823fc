"""Videos of hand gestures before a web camera, 12 Hz and 100 pixels high as those of Jester."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.simulation.colour import Palette, develop, render_colour
from models.simulation.hand import BODY_PARTS, Backdrop, make_owner, place_hand
from models.simulation.hand_gestures import perform_hand
from models.simulation.render import LIGHTING, make_scene
from models.simulation.texture import weave

__all__ = ["HEIGHT_PX", "RATE_HZ", "WIDTH_PX", "film_hand"]

RATE_HZ = 12.0
"""Frames a second."""
WIDTH_PX, HEIGHT_PX = 176, 100
_CURTAIN = 0.03  # its reflectance
_BRIGHTEST = 0.6


def film_hand(
    owner: int, seed: int, gesture: int, frames: int, backdrop: Backdrop = "room"
) -> Iterator[NDArray[np.uint8]]:
    """Film somebody who makes one gesture.

    Args:
        owner: Who; looks, room and way of moving depend on it.
        seed: What differs each time.
        gesture: Class index, see `models.simulation.hand_gestures.HAND_GESTURES`.
        frames: How many.
        backdrop: The owner sits in a ``room``, or reaches a bright hand through a dark ``curtain``.

    Yields:
        (`HEIGHT_PX`, `WIDTH_PX`, 3) uint8 red, green, blue.
    """
    who = make_owner(owner)
    room = np.random.default_rng([owner, 0x4003])
    lighting = LIGHTING[list(LIGHTING)[int(room.integers(len(LIGHTING)))]]
    if backdrop == "curtain":
        who = who._replace(wall=_CURTAIN, skin=max(who.skin, _BRIGHTEST), shirt=_CURTAIN)
    scene = make_scene(WIDTH_PX, HEIGHT_PX, lighting, who.wall, room)
    texture = weave(room)
    rng = np.random.default_rng([owner, seed, gesture, 0x4A4D])
    part = np.linspace(0, 1, frames)
    pose = perform_hand(gesture, who, part, rng)
    sway = 0.012 * np.sin(2 * np.pi * rng.uniform(0.3, 1.0) * part + rng.uniform(0, 2 * np.pi))
    shapes, materials = place_hand(who, pose, sway, WIDTH_PX, HEIGHT_PX)
    if backdrop == "curtain":
        shapes, materials = shapes[:, BODY_PARTS:], materials[BODY_PARTS:]
    palette = Palette(who.tints[materials], who.wall_tint)
    exposure = 0.9 / lighting.level
    for index, capsules in enumerate(shapes):
        image = render_colour(scene, capsules, texture, palette, index / RATE_HZ)
        yield develop(image, exposure, rng, noise=0.01)
