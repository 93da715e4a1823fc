"""Lenses: where a pixel would be had the lens not bent the image.

A point of the scene at (X, Y, Z) has the ideal coordinates x = X/Z and y = Y/Z; the lens moves them
to (x_d, y_d), and the sensor sees them at (fx·x_d + cx, fy·y_d + cy). Two models of the lens are
known, with the names and the order of coefficients of OpenCV ("Camera Calibration and 3D
Reconstruction" and "Fisheye camera model" in its documentation), which are also those of ROS,
Kalibr and dv-processing:

radtan       k1 k2 p1 p2 [k3 [k4 k5 k6]], with r² = x² + y² and
             R = (1 + k1·r² + k2·r⁴ + k3·r⁶) / (1 + k4·r² + k5·r⁴ + k6·r⁶):
             x_d = x·R + 2·p1·x·y + p2·(r² + 2·x²),  y_d = y·R + p1·(r² + 2·y²) + 2·p2·x·y
equidistant  k1 k2 k3 k4, with θ = atan(r) and θ_d = θ·(1 + k1·θ² + k2·θ⁴ + k3·θ⁶ + k4·θ⁸):
             x_d = x·θ_d/r,  y_d = y·θ_d/r

Neither has an inverse in closed form; both are solved by Newton's method from x = x_d on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["COEFFICIENTS", "Lens", "undistorted_pixels"]

Plane: TypeAlias = NDArray[np.float64]

COEFFICIENTS = {"radtan": (4, 5, 8), "equidistant": (4,)}
"""How many coefficients each model may have."""

_ITERATIONS = 20
_STILL = 1e-9
"""A step of Newton's method, in ideal coordinates, that no later one will exceed."""
_CLOSE_PX = 1e-3
"""A pixel is undistorted if, distorted again, it is at most this far from where it was."""


@dataclass(frozen=True)
class Lens:
    """A camera's focal lengths and principal point, in pixels, and what its lens does."""

    fx: float
    fy: float
    cx: float
    cy: float
    model: Literal["radtan", "equidistant"] = "radtan"
    coefficients: tuple[float, ...] = (0.0,) * 4


def undistorted_pixels(lens: Lens, width: int, height: int) -> tuple[Plane, Plane]:
    """Return where each pixel would be seen by a lens that bends nothing.

    Args:
        lens: the camera; the ideal one has the same focal lengths and principal point.
        width: columns of the sensor.
        height: rows of the sensor.

    Returns:
        Two (height, width) float64 arrays, x and y in pixels; NaN where no light can come from.
    """
    x_d = (np.arange(width) - lens.cx)[None, :] / lens.fx + np.zeros((height, 1))
    y_d = (np.arange(height) - lens.cy)[:, None] / lens.fy + np.zeros((1, width))
    solve: Callable[[Lens, Plane, Plane], tuple[Plane, Plane]]
    solve = _solve_radtan if lens.model == "radtan" else _solve_equidistant
    with np.errstate(all="ignore"):  # what overflows on the way did not converge
        x, y = solve(lens, x_d, y_d)
        return lens.fx * x + lens.cx, lens.fy * y + lens.cy


def _solve_radtan(lens: Lens, x_d: Plane, y_d: Plane) -> tuple[Plane, Plane]:
    k1, k2, p1, p2, k3, k4, k5, k6 = (*lens.coefficients, *[0.0] * 8)[:8]
    above = np.polynomial.Polynomial([1, k1, k2, k3])
    below = np.polynomial.Polynomial([1, k4, k5, k6])
    x, y = x_d.copy(), y_d.copy()
    for _ in range(_ITERATIONS):
        r2 = x * x + y * y
        radial = above(r2) / below(r2)
        slope = (above.deriv()(r2) - radial * below.deriv()(r2)) / below(r2)
        ahead_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) - x_d
        ahead_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y - y_d
        dx_dx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
        dy_dy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
        dx_dy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
        determinant = dx_dx * dy_dy - dx_dy * dx_dy
        step_x = (dy_dy * ahead_x - dx_dy * ahead_y) / determinant
        step_y = (dx_dx * ahead_y - dx_dy * ahead_x) / determinant
        x, y = x - step_x, y - step_y
        if not (np.abs(step_x) + np.abs(step_y) > _STILL).any():
            break
    off_px = np.hypot(lens.fx * ahead_x, lens.fy * ahead_y)
    # A negative determinant is behind the fold, where the image is seen a second time.
    good = (off_px < _CLOSE_PX) & (determinant > 0) & (radial > 0)
    return np.where(good, x, np.nan), np.where(good, y, np.nan)


def _solve_equidistant(lens: Lens, x_d: Plane, y_d: Plane) -> tuple[Plane, Plane]:
    bent = np.polynomial.Polynomial(
        [value for k in (1.0, *lens.coefficients) for value in (0.0, k)]
    )
    r_d = np.hypot(x_d, y_d)
    theta = r_d.copy()
    for _ in range(_ITERATIONS):
        theta -= (bent(theta) - r_d) / bent.deriv()(theta)
    off_px = max(lens.fx, lens.fy) * np.abs(bent(theta) - r_d)
    # From the side and from behind no ray reaches a flat image.
    good = (off_px < _CLOSE_PX) & (theta >= 0) & (theta < np.pi / 2) & (bent.deriv()(theta) > 0)
    scale = np.where(r_d > 0, np.tan(theta) / np.where(r_d > 0, r_d, 1), 1)
    return np.where(good, x_d * scale, np.nan), np.where(good, y_d * scale, np.nan)
