"""Rasteriser: capsules over a still background become a luminance image.

Edges are antialiased by analytic coverage (a pixel's share is its signed distance to the outline,
clamped to one pixel), so slow movement changes luminance smoothly, as it does on a real sensor.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation._jit import kernel
from models.simulation.texture import smooth_noise


class Lighting(NamedTuple):
    """How a scene is lit."""

    level: float
    """Luminance of a white surface in the middle of the image; 1 = bright room."""
    gradient: float
    """Relative rise of the light from one side of the image to the other."""
    vignette: float
    """Relative loss of light in the corners."""
    flicker_depth: float
    """Relative amplitude of the flicker at twice the mains frequency."""


LIGHTING: dict[str, Lighting] = {
    "led": Lighting(level=0.80, gradient=0.25, vignette=0.20, flicker_depth=0.0),
    "lab": Lighting(level=0.60, gradient=0.15, vignette=0.20, flicker_depth=0.01),
    "fluorescent": Lighting(level=0.50, gradient=0.10, vignette=0.20, flicker_depth=0.05),
    "natural": Lighting(level=0.95, gradient=0.70, vignette=0.20, flicker_depth=0.0),
    "fluorescent_led": Lighting(level=0.70, gradient=0.30, vignette=0.20, flicker_depth=0.025),
}
"""The data set's five lighting conditions by name; the numbers are this simulation's own."""

FLICKER_HZ = 100.0
"""Twice a mains frequency of 50 Hz."""


class Scene(NamedTuple):
    """What does not move. Arrays are (height, width) float32."""

    background: NDArray[np.float32]
    """Luminance of the background."""
    illumination: NDArray[np.float32]
    """Luminance that a white surface would have."""
    flicker_depth: float

    def flicker(self, time_s: float) -> float:
        """Factor on all light at a time."""
        return 1.0 + self.flicker_depth * math.sin(2 * math.pi * FLICKER_HZ * time_s)


def make_scene(
    width: int, height: int, lighting: Lighting, reflectance: float, rng: np.random.Generator
) -> Scene:
    """Draw a room: a textured wall of a mean reflectance with a few rectangles on it, lit."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    wall = rng.uniform(0.03, 0.12) * smooth_noise(rng, (height, width), rng.uniform(2.0, 12.0))
    for _ in range(rng.integers(0, 6)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        half_width, half_height = rng.uniform(4, 0.25 * width), rng.uniform(4, 0.3 * height)
        inside = (np.abs(columns - x) < half_width) & (np.abs(rows - y) < half_height)
        wall = np.where(inside, wall + rng.uniform(-0.35, 0.35), wall)
    direction = rng.uniform(0, 2 * np.pi)
    u, v = (columns + 0.5) / width - 0.5, (rows + 0.5) / height - 0.5
    light = 1 + lighting.gradient * (np.cos(direction) * u + np.sin(direction) * v)
    light *= lighting.level * (1 - lighting.vignette * 2 * (u**2 + v**2))
    background = np.clip(reflectance * np.exp(wall), 0.01, 1.0)
    return Scene(
        (light * background).astype(np.float32), light.astype(np.float32), lighting.flicker_depth
    )


def render(
    scene: Scene,
    capsules: NDArray[np.float32],
    texture: NDArray[np.float32],
    time_s: float = 0.0,
) -> NDArray[np.float32]:
    """Paint one frame.

    Args:
        scene: What stands still.
        capsules: (capsules, columns) float32, as :func:`models.simulation.figure.place` gives
            them for one time; later ones cover earlier ones.
        texture: (n, n) float32, n a power of two: of the clothes, fixed to each capsule.
        time_s: For the flicker.

    Returns:
        (height, width) float32 linear luminance.
    """
    image = scene.background.copy()
    _paint(image, scene.illumination, capsules, texture)
    if scene.flicker_depth > 0:
        image *= np.float32(scene.flicker(time_s))
    return image


@kernel
def _paint(
    image: NDArray[np.float32],
    illumination: NDArray[np.float32],
    capsules: NDArray[np.float32],
    texture: NDArray[np.float32],
) -> None:
    height, width = image.shape
    mask = texture.shape[0] - 1
    for index in range(capsules.shape[0]):
        x0, y0, x1, y1, radius0, radius1, reflectance, depth, u0, v0, scale = capsules[index]
        dx, dy = x1 - x0, y1 - y0
        length = np.float32(math.sqrt(dx * dx + dy * dy))
        if length > np.float32(1e-3):
            dx, dy = dx / length, dy / length
        else:  # seen end on: a disc
            dx, dy, length = np.float32(1.0), np.float32(0.0), np.float32(1e-3)
        margin = max(radius0, radius1) + np.float32(1.0)
        left = max(int(min(x0, x1) - margin), 0)
        right = min(int(max(x0, x1) + margin) + 2, width)
        top = max(int(min(y0, y1) - margin), 0)
        bottom = min(int(max(y0, y1) + margin) + 2, height)
        for y in range(top, bottom):
            for x in range(left, right):
                px, py = np.float32(x) - x0, np.float32(y) - y0
                along = px * dx + py * dy
                across = py * dx - px * dy
                nearest = min(max(along, np.float32(0.0)), length)
                radius = radius0 + (radius1 - radius0) * nearest / length
                beyond = along - nearest
                distance = math.sqrt(across * across + beyond * beyond)
                coverage = min(radius - distance + np.float32(0.5), np.float32(1.0))
                if coverage <= np.float32(0.0):
                    continue
                # Bilinear lookup in a texture that is fixed to the limb, so it moves with it.
                u = u0 + along * scale + np.float32(1024.0)
                v = v0 + across * scale + np.float32(1024.0)
                column, row = int(u), int(v)
                fu, fv = u - np.float32(column), v - np.float32(row)
                a = texture[row & mask, column & mask]
                b = texture[row & mask, (column + 1) & mask]
                c = texture[(row + 1) & mask, column & mask]
                d = texture[(row + 1) & mask, (column + 1) & mask]
                weave = (a + (b - a) * fu) * (1 - fv) + (c + (d - c) * fu) * fv
                # A round limb turns away from the light at its edges.
                edge = min(distance / radius, np.float32(1.0))
                shade = np.float32(1.0) - np.float32(0.35) * edge * edge
                light = illumination[y, x] * reflectance * shade * (1 + depth * weave)
                image[y, x] += coverage * (light - image[y, x])
