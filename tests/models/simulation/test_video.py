"""The gestures in colour."""

import numpy as np
import pytest

from models.simulation.colour import PARTS, develop, draw_palette, render_colour
from models.simulation.figure import make_person
from models.simulation.render import render
from models.simulation.session import plan_session, shapes
from models.simulation.video import film_gesture

PLAN = plan_session(4, 1, [3], seconds_per_gesture=0.2, lighting="led", width=48, height=40)
CAPSULES = shapes(PLAN, np.array([350_000]))[0]


@pytest.mark.parametrize("person", range(5))
def test_parts_name_what_each_capsule_is_of(person: int) -> None:
    plan = plan_session(person, 1, [0])
    capsules = shapes(plan, np.array([0]))[0]
    who = make_person(person)
    known = {part: getattr(who, part) for part in ("trousers", "shirt", "sleeve", "hair", "skin")}
    neck = PARTS.index("skin")
    for index, part in enumerate(PARTS):
        shade = 0.85 if index == neck else 1.0
        assert capsules[index, 6] == pytest.approx(shade * known[part], rel=1e-6)


def test_each_channel_is_a_rendering_of_its_own() -> None:
    palette = draw_palette(PLAN.person, np.random.default_rng(1))
    image = render_colour(PLAN.scene, CAPSULES, PLAN.person.texture, palette)
    assert image.shape == (40, 48, 3)
    assert image.dtype == np.float32
    white = palette._replace(tints=palette.tints * 0 + 1, wall=palette.wall * 0 + 1)
    grey = render_colour(PLAN.scene, CAPSULES, PLAN.person.texture, white)
    plain = render(PLAN.scene, CAPSULES, PLAN.person.texture)
    for channel in range(3):
        np.testing.assert_array_equal(grey[..., channel], plain)
        assert not np.array_equal(image[..., channel], plain)


def test_developing_keeps_order_and_range() -> None:
    ramp = np.linspace(-0.1, 1.3, 50, dtype=np.float32)
    developed = develop(ramp, 1.0, np.random.default_rng(1), noise=0.0)
    assert developed.dtype == np.uint8
    assert developed[0] == 0
    assert developed[-1] == 255
    assert (np.diff(developed.astype(int)) >= 0).all()
    middle = develop(np.array([0.5], np.float32), 1.0, np.random.default_rng(1), noise=0.0)
    assert middle[0] == pytest.approx(255 * 0.5 ** (1 / 2.2), abs=1)


def test_somebody_moves_in_a_film() -> None:
    film = np.stack(list(film_gesture(4, 1, 8, frames=6, side_px=64))).astype(int)
    assert film.shape == (6, 64, 64, 3)
    changed = np.abs(np.diff(film, axis=0)).max(axis=3) > 40
    # An arm moves, the wall does not.
    assert 0.001 < changed.mean() < 0.2
