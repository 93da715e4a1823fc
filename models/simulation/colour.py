"""The simulated person in colour, as a video camera sees them: one luminance image a channel.

The renderer knows luminance only. Light falls on every channel alike, and a surface reflects a
share of it that differs between channels, so a picture in colour is three renderings.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation.figure import Person
from models.simulation.render import Scene, render

__all__ = ["PARTS", "Palette", "develop", "draw_palette", "render_colour"]

_ARM = ("shirt", "sleeve", "skin")
PARTS = ("trousers",) * 2 + ("shirt",) * 3 + ("skin", "hair", "skin") + 2 * _ARM
"""What each capsule of `models.simulation.figure.place` is made of, in its order."""

_LEVELS = 4096
_DEVELOPED = (255 * (np.arange(_LEVELS) / (_LEVELS - 1)) ** (1 / 2.2) + 0.5).astype(np.uint8)


class Palette(NamedTuple):
    """Colours: reflectance in red, green and blue relative to the surface's luminance."""

    tints: NDArray[np.float32]
    """(capsules, 3)."""
    wall: NDArray[np.float32]
    """(3,)."""


def draw_palette(person: Person, rng: np.random.Generator) -> Palette:
    """Draw the colours of a person's skin, hair and clothes, and of the wall."""
    skin = np.array([1.25, 0.95, 0.75]) * rng.uniform(0.95, 1.05, 3)
    colours = {
        "skin": skin,
        "hair": np.array([1.1, 1.0, 0.9]),
        "shirt": rng.uniform(0.5, 1.5, 3),
        "trousers": rng.uniform(0.7, 1.3, 3),
    }
    colours["sleeve"] = skin if person.sleeve == person.skin else colours["shirt"]
    tints = np.array([colours[part] for part in PARTS])
    return Palette(tints.astype(np.float32), rng.uniform(0.85, 1.15, 3).astype(np.float32))


def render_colour(
    scene: Scene,
    capsules: NDArray[np.float32],
    texture: NDArray[np.float32],
    palette: Palette,
    time_s: float = 0.0,
) -> NDArray[np.float32]:
    """Paint one frame in colour; the arguments are `render`'s.

    Returns:
        (height, width, 3) float32 linear luminance of red, green and blue.
    """
    channels = []
    for channel in range(3):
        tinted = capsules.copy()
        tinted[:, 6] = np.minimum(capsules[:, 6] * palette.tints[:, channel], 1.0)
        wall = scene._replace(background=scene.background * palette.wall[channel])
        channels.append(render(wall, tinted, texture, time_s))
    return np.stack(channels, axis=2)


def develop(
    luminance: NDArray[np.float32], exposure: float, rng: np.random.Generator, noise: float = 0.008
) -> NDArray[np.uint8]:
    """Turn luminance into a video frame: exposed, with sensor noise, gamma 2.2, 8 bits.

    Args:
        luminance: any shape, float32, linear.
        exposure: factor that brings white near 1.
        rng: Of the noise.
        noise: Standard deviation of the noise, of the linear signal.
    """
    signal = exposure * luminance + noise * rng.standard_normal(luminance.shape, np.float32)
    # A table, as a power for each pixel takes longer than the rendering.
    return np.asarray(_DEVELOPED[(np.clip(signal, 0, 1) * (_LEVELS - 1)).astype(np.int16)])
