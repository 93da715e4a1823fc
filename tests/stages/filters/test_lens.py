"""Lenses: bent and straightened again, and compared with dv-processing's."""

import numpy as np
import pytest

from stages.filters.lens import Lens, undistorted_pixels

WIDTH, HEIGHT = 64, 48
RADTAN = Lens(40.0, 41.0, 32.5, 23.25, "radtan", (-0.3, 0.1, 0.001, -0.002, 0.01))
RATIONAL = Lens(40.0, 41.0, 32.5, 23.25, "radtan", (0.2, 0.1, 0.001, 0.0, 0.02, 0.5, 0.1, 0.01))
FISHEYE = Lens(40.0, 41.0, 32.5, 23.25, "equidistant", (0.05, -0.01, 0.002, 0.0))


def distort(lens: Lens, u: float, v: float) -> tuple[float, float]:
    """The slow twin: one ideal point through the lens, by the equations."""
    x, y = (u - lens.cx) / lens.fx, (v - lens.cy) / lens.fy
    r = np.hypot(x, y)
    if lens.model == "equidistant":
        theta = np.arctan(r)
        powers = [k * theta ** (2 * n) for n, k in enumerate(lens.coefficients, start=1)]
        scale = theta * (1 + sum(powers)) / r if r else 1.0
        x_d, y_d = x * scale, y * scale
    else:
        k1, k2, p1, p2, k3, k4, k5, k6 = (*lens.coefficients, *[0.0] * 8)[:8]
        radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
        x_d = x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2)
        y_d = y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y
    return lens.fx * x_d + lens.cx, lens.fy * y_d + lens.cy


@pytest.mark.parametrize("lens", [RADTAN, RATIONAL, FISHEYE], ids=["radtan", "rational", "fisheye"])
def test_what_is_straightened_and_bent_again_is_where_it_was(lens: Lens) -> None:
    u, v = undistorted_pixels(lens, WIDTH, HEIGHT)
    assert np.isfinite(u).mean() > 0.9
    for row, column in np.argwhere(np.isfinite(u))[::37].tolist():
        again = distort(lens, u[row, column], v[row, column])
        assert again == pytest.approx((column, row), abs=2e-3)


def test_a_lens_that_bends_nothing_leaves_pixels_where_they_are() -> None:
    u, v = undistorted_pixels(Lens(40.0, 41.0, 32.5, 23.25), WIDTH, HEIGHT)
    np.testing.assert_allclose(u, np.tile(np.arange(WIDTH), (HEIGHT, 1)), atol=1e-9)
    np.testing.assert_allclose(v, np.tile(np.arange(HEIGHT)[:, None], WIDTH), atol=1e-9)


def test_a_pixel_that_no_light_reaches_is_nowhere() -> None:
    # Beyond r = 1/sqrt(3) an image shrunk by 1 - r² would turn over; its rim is at r_d = 0.385.
    u, _ = undistorted_pixels(Lens(40.0, 40.0, 32.0, 24.0, "radtan", (-1.0, 0, 0, 0)), 64, 48)
    radius = np.hypot(*np.meshgrid(np.arange(64) - 32, np.arange(48) - 24)) / 40
    rim = 2 / 3 / np.sqrt(3)
    assert np.isnan(u[radius > rim + 1e-6]).all()
    assert np.isfinite(u[radius < rim - 0.01]).all()
    # A fisheye may see more than half of the world, a flat image less.
    u, _ = undistorted_pixels(Lens(10.0, 10.0, 32.0, 24.0, "equidistant", (0.0,) * 4), 64, 48)
    np.testing.assert_array_equal(np.isfinite(u), radius * 4 < np.pi / 2)


@pytest.mark.parametrize("lens", [RADTAN, FISHEYE], ids=["radtan", "fisheye"])
def test_agrees_with_dv_processing(lens: Lens) -> None:
    dv = pytest.importorskip("dv_processing")
    models = dv.camera.DistortionModel
    model = models.RADIAL_TANGENTIAL if lens.model == "radtan" else models.EQUIDISTANT
    theirs = dv.camera.CameraGeometry(
        list(lens.coefficients), lens.fx, lens.fy, lens.cx, lens.cy, (WIDTH, HEIGHT), model
    )
    u, v = undistorted_pixels(lens, WIDTH, HEIGHT)
    # Theirs stops iterating early, which shows far from the centre.
    for row in range(12, 36, 5):
        for column in range(16, 48, 5):
            x, y = theirs.undistort((column, row))
            assert (u[row, column], v[row, column]) == pytest.approx((x, y), abs=0.02)
