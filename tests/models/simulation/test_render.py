import numpy as np

from models.simulation.figure import CAPSULE_COLUMNS
from models.simulation.render import LIGHTING, Lighting, Scene, make_scene, render

PLAIN = np.zeros((64, 64), np.float32)


def scene(size: int = 32, flicker_depth: float = 0.0) -> Scene:
    dark = np.full((size, size), 0.1, np.float32)
    return Scene(dark, np.ones((size, size), np.float32), flicker_depth)


def capsule(**columns: float) -> np.ndarray:
    values = dict.fromkeys(CAPSULE_COLUMNS, 0.0) | {"reflectance": 0.8} | columns
    return np.array([[values[name] for name in CAPSULE_COLUMNS]], np.float32)


def test_area_of_a_disc_is_antialiased() -> None:
    for x in (15.0, 15.25, 15.7):
        disc = capsule(x0_px=x, y0_px=16.0, x1_px=x, y1_px=16.0, radius0_px=6.0, radius1_px=6.0)
        covered = render(scene(), disc, PLAIN) > 0.1001
        assert abs(covered.sum() - np.pi * 6.5**2) < 12
    assert covered[16, 16]
    assert not covered[16, 25]


def test_sub_pixel_movement_changes_the_edge_smoothly() -> None:
    sums = []
    for x in np.linspace(15.0, 16.0, 11):
        bar = capsule(x0_px=x, y0_px=-20.0, x1_px=x, y1_px=60.0, radius0_px=4.0, radius1_px=4.0)
        sums.append(render(scene(), bar, PLAIN)[16, 20])
    steps = np.diff(sums)
    assert np.all(steps >= -1e-6)
    assert steps.max() < 0.12


def test_outside_the_image_nothing_is_painted() -> None:
    away = capsule(x0_px=-50.0, y0_px=-50.0, x1_px=-40.0, y1_px=500.0, radius0_px=3, radius1_px=3)
    np.testing.assert_array_equal(render(scene(), away, PLAIN), scene().background)


def test_texture_moves_with_the_limb() -> None:
    cloth = np.random.default_rng(0).uniform(-1, 1, (64, 64)).astype(np.float32)
    images = []
    for shift in (0.0, 5.0):
        limb = capsule(
            x0_px=10.0 + shift, y0_px=5.0, x1_px=10.0 + shift, y1_px=25.0, radius0_px=4.0,
            radius1_px=4.0, texture_depth=0.5, texture_scale=1.3,
        )  # fmt: skip
        images.append(render(scene(), limb, cloth))
    np.testing.assert_allclose(images[0][:, 3:18], images[1][:, 8:23], rtol=1e-4)
    assert images[0][8:22, 8:13].std() > 0.05


def test_flicker_scales_the_light() -> None:
    nothing = capsule()[:0]
    image = render(scene(flicker_depth=0.05), nothing, PLAIN, 0.0025)  # a quarter of 10 ms
    np.testing.assert_allclose(image, 0.105, rtol=1e-5)


def test_scene_depends_on_its_generator_and_stays_positive() -> None:
    def draw(seed: int, lighting: Lighting) -> Scene:
        return make_scene(48, 40, lighting, 0.3, np.random.default_rng(seed))

    for lighting in LIGHTING.values():
        first, again, other = (draw(seed, lighting) for seed in (0, 0, 1))
        assert first.background.shape == (40, 48)
        assert first.background.dtype == np.float32
        assert first.background.min() > 0
        assert first.background.max() < 1.5
        np.testing.assert_array_equal(first.background, again.background)
        assert not np.array_equal(first.background, other.background)
