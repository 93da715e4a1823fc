"""Pictures of simple objects: an outline says the class; colour, pattern, place, size do not.

An outline is a radius that depends on the direction, so one function draws them all. Behind an
object is a blotchy wall with rectangles on it, as busy as the object itself.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.simulation.texture import smooth_noise

__all__ = ["OUTLINES", "draw_object"]

_Outline = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _polygon(corners: int) -> _Outline:
    wedge = 2 * math.pi / corners

    def radius(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(math.cos(wedge / 2) / np.cos(angle % wedge - wedge / 2))

    return radius


def _star(points: int, depth: float) -> _Outline:
    def radius(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        teeth = np.abs((angle * points / math.pi) % 2 - 1)
        return np.asarray(1 - depth + depth * teeth)

    return radius


def _petals(count: int) -> _Outline:
    return lambda angle: 0.25 + 0.75 * np.abs(np.cos(count * angle / 2))


def _box(width: float, height: float) -> _Outline:
    def radius(angle: NDArray[np.float64]) -> NDArray[np.float64]:
        across = np.maximum(np.abs(np.cos(angle)), 1e-6)
        up = np.maximum(np.abs(np.sin(angle)), 1e-6)
        return np.minimum(width / across, height / up)

    return radius


def _disc(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.85 + 0 * angle


def _mouth(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """A disc that lacks a wedge at its right."""
    gap = np.abs((angle + math.pi) % (2 * math.pi) - math.pi)
    return 0.95 * np.clip((gap - 0.55) / 0.08, 0.05, 1.0)


def _drop(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pointed at its top, round at its bottom."""
    from_top = np.abs((angle + 1.5 * math.pi) % (2 * math.pi) - math.pi)
    return 0.6 + 0.4 * np.exp(-3.0 * (math.pi - from_top))


OUTLINES: dict[str, _Outline] = {
    "disc": _disc,
    "triangle": _polygon(3),
    "square": _box(0.72, 0.72),
    "bar": _box(0.95, 0.28),
    "column": _box(0.28, 0.95),
    "star": _star(5, 0.6),
    "three petals": _petals(3),
    "four petals": _petals(4),
    "mouth": _mouth,
    "drop": _drop,
}
"""Ten outlines by name, each of about the same size; y is up."""


def draw_object(
    outline: str,
    hollow: bool,
    height: int,
    width: int,
    rng: np.random.Generator,
    clutter: float = 1.0,
) -> NDArray[np.float32]:
    """Draw an object before a wall.

    Args:
        outline: One of `OUTLINES`.
        hollow: Whether it is a frame, through which one sees the wall.
        height: Of the picture in pixels.
        width: Of the picture in pixels.
        rng: Draws all that does not say the class.
        clutter: How busy the wall is; 0 is plain.

    Returns:
        (height, width, 3) float32 red, green, blue, 0 to 1.
    """
    side = min(height, width)
    size = side * rng.uniform(0.30, 0.42)
    room = 0.5 * np.array([width, height]) - size
    x, y = 0.5 * np.array([width, height]) + rng.uniform(-0.8, 0.8, 2) * np.maximum(room, 0)
    turn = rng.uniform(-0.25, 0.25)
    rows, columns = np.indices((height, width), float)
    u, v = (columns + 0.5 - x) / size, (y - rows - 0.5) / size
    angle = np.arctan2(v, u) + turn
    radius = OUTLINES[outline](angle % (2 * math.pi))
    distance = np.hypot(u, v)
    edge = 1.5 / size
    inside = np.clip((radius - distance) / edge + 0.5, 0, 1)
    if hollow:
        inside *= np.clip((distance - 0.6 * radius) / edge + 0.5, 0, 1)

    wall, paint = _colours(rng)
    shading = clutter * rng.uniform(0.05, 0.15) * smooth_noise(rng, (height, width), 8.0)
    for _ in range(int(rng.integers(0, 4) * clutter)):
        middle = rng.uniform(0, 1, 2) * (width, height)
        half = rng.uniform(0.05, 0.25, 2) * side
        box = (np.abs(columns - middle[0]) < half[0]) & (np.abs(rows - middle[1]) < half[1])
        shading = shading + rng.uniform(-0.3, 0.3) * box
    background = wall * np.exp(shading)[..., None]
    surface = paint * np.exp(_pattern(u, v, rng))[..., None]
    picture = background + inside[..., None] * (surface - background)
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def _colours(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the wall's and the object's colour, which differ in brightness by half at least."""
    wall_level = rng.uniform(0.1, 0.8)
    while True:
        level = rng.uniform(0.08, 0.9)
        if abs(math.log(level / wall_level)) > 0.7:
            return wall_level * rng.uniform(0.8, 1.2, 3), level * rng.uniform(0.7, 1.3, 3)


def _pattern(
    u: NDArray[np.float64], v: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw what is painted on the object: nothing, stripes, checks, or a gradient."""
    depth, turn = rng.uniform(0.1, 0.35), rng.uniform(0, math.pi)
    along = u * math.cos(turn) + v * math.sin(turn)
    across = v * math.cos(turn) - u * math.sin(turn)
    rate = rng.uniform(5, 12)
    kind = int(rng.integers(4))
    if kind == 0:
        return 0 * u
    if kind == 1:
        return np.asarray(depth * np.sign(np.sin(rate * along)))
    if kind == 2:
        return np.asarray(depth * np.sign(np.sin(rate * along) * np.sin(rate * across)))
    return np.asarray(depth * along)
