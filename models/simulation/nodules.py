"""Patches of simulated lung CT: vessels run through all of them, a nodule is in half of them.

A patch is 8 slices of 32×32 pixels, in Hounsfield units: lung tissue about -850, vessels and
nodules about 0, noise of some 60. A vessel is a long thin tube and crosses the slices aslant; a
nodule is roundish, in a few slices only. In each slice a vessel across is as round as a nodule:
what tells them apart is how they go on in the slices above and below.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPE", "draw_patch", "window"]

SHAPE = (8, 32, 32)
"""Slices, rows, columns."""

_LUNG_HU, _SOFT_HU = -850.0, 20.0
_LOWEST_HU, _HIGHEST_HU = -1200.0, 600.0


def draw_patch(nodule: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a patch.

    Args:
        nodule: whether there is one, near the middle.
        rng: Draws everything.

    Returns:
        `SHAPE` float64 Hounsfield units.
    """
    grid = np.moveaxis(np.indices(SHAPE).astype(np.float64), 0, -1)
    # A slice is about two pixels thick.
    grid[..., 0] *= 2.0
    middle = np.array([SHAPE[0] - 1.0, 15.5, 15.5])
    volume = np.full(SHAPE, _LUNG_HU + rng.normal(0, 30))
    for _ in range(int(rng.integers(2, 5))):
        volume = np.maximum(volume, _vessel(grid, middle, rng))
    if nodule:
        volume = np.maximum(volume, _nodule(grid, middle, rng))
    else:
        # Where a nodule would be there is a thick vessel, so neither place nor brightness tells.
        volume = np.maximum(volume, _vessel(grid, middle, rng, thick=True))
    if rng.random() < 0.3:
        volume = np.maximum(volume, _chest_wall(grid, rng))
    return np.asarray(volume + rng.normal(0, rng.uniform(40, 80), SHAPE))


def window(hounsfield: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Map [-1200, 600] HU to 0 to 255 as the reference code does, and cut off what is beyond."""
    share = (hounsfield - _LOWEST_HU) / (_HIGHEST_HU - _LOWEST_HU)
    return np.asarray(np.clip(share, 0, 1) * 255, np.uint8)


def _soft(distance: NDArray[np.float64], hu: float) -> NDArray[np.float64]:
    """Return the density of a body whose surface is at distance 0, blurred over about a pixel."""
    return _LUNG_HU + (hu - _LUNG_HU) / (1 + np.exp(2.0 * distance))


def _nodule(
    grid: NDArray[np.float64], middle: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """A ball, drawn out a little, with a bumpy surface."""
    offset = grid - middle - rng.normal(0, [1.0, 2.5, 2.5])
    distance = np.linalg.norm(offset / rng.uniform(0.85, 1.15, 3), axis=-1)
    direction = offset / np.maximum(np.linalg.norm(offset, axis=-1, keepdims=True), 1e-6)
    bumps = sum(
        rng.normal(0, 0.5) * np.sin(direction @ rng.normal(0, 2.5, 3) + rng.uniform(0, 6.3))
        for _ in range(4)
    )
    return _soft(distance - rng.uniform(2.6, 5.5) - bumps, _SOFT_HU + rng.normal(0, 80))


def _vessel(
    grid: NDArray[np.float64],
    middle: NDArray[np.float64],
    rng: np.random.Generator,
    thick: bool = False,
) -> NDArray[np.float64]:
    """A tube through all slices, bent a little."""
    spread = 2.5 if thick else 9.0
    direction = rng.normal(0, 1, 3)
    if thick:
        direction[0] = np.sign(direction[0]) * (0.8 + abs(direction[0]))
    direction /= np.linalg.norm(direction)
    offset = grid - middle - rng.normal(0, [1.0, spread, spread])
    along = offset @ direction
    bend = rng.normal(0, 0.012, 3)
    across = offset - along[..., None] * direction - (along**2)[..., None] * bend
    radius = rng.uniform(2.2, 4.2) if thick else rng.uniform(0.7, 1.8)
    return _soft(np.linalg.norm(across, axis=-1) - radius, _SOFT_HU + rng.normal(0, 80))


def _chest_wall(grid: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Soft tissue beyond a plane at the patch's edge."""
    angle = rng.uniform(0, 2 * np.pi)
    side = (grid[..., 1] - 15.5) * np.sin(angle) + (grid[..., 2] - 15.5) * np.cos(angle)
    slope = rng.normal(0, 0.15) * (grid[..., 0] - 7.0)
    return _soft(rng.uniform(10.0, 14.0) - side - slope, 40.0)
