"""Drawn objects, and the events that are made of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.simulation.gradient import STEPS, gradient_events
from models.simulation.objects import OUTLINES, draw_object
from models.simulation.screen import SIDE_PX, watch_loop


def ramp(rows: int, columns: int, across: float, down: float) -> NDArray[np.float32]:
    """A picture that gets brighter by so much a pixel, repeated so that it stays in 0 to 1."""
    y, x = np.indices((rows, columns))
    return np.repeat((((across * x + down * y) % 1)[..., None]).astype(np.float32), 3, axis=2)


@pytest.mark.parametrize("outline", OUTLINES)
@pytest.mark.parametrize("hollow", [False, True])
def test_an_object_is_drawn_within_range(outline: str, hollow: bool) -> None:
    picture = draw_object(outline, hollow, 60, 80, np.random.default_rng(1))
    assert picture.shape == (60, 80, 3)
    assert picture.dtype == np.float32
    assert picture.min() >= 0.0
    assert picture.max() <= 1.0
    assert picture.mean(axis=2).std() > 0.02
    again = draw_object(outline, hollow, 60, 80, np.random.default_rng(1))
    assert np.array_equal(picture, again)


def test_radii_of_outlines_are_about_one() -> None:
    angle = np.linspace(0, 2 * np.pi, 721)[:-1]
    for name, outline in OUTLINES.items():
        radius = outline(angle)
        assert 0.0 < radius.min() <= 0.85 <= radius.max() < 1.05, name


def test_a_plain_picture_makes_no_gradient_events() -> None:
    events = gradient_events(np.full((254, 200, 3), 0.5, np.float32))
    assert len(events.positive) == len(events.negative) == 0


def test_gradient_events_are_the_changes_from_place_to_place() -> None:
    """The definition, one pixel at a time, on a small picture in a large plain one."""
    rng = np.random.default_rng(1)
    picture = np.full((60, 70, 3), 0.5, np.float32)
    picture[25:40, 25:40] = rng.uniform(0, 1, (15, 15, 3))
    path = [(1, 0), (0, 2), (2, 1), (1, 0), (0, 1), (2, 2), (1, 0), (1, 1), (2, 1)]
    brightest = picture.max(axis=2)
    expected: dict[bool, set[tuple[int, int, int]]] = {True: set(), False: set()}
    for step in range(1, 9):
        (r0, c0), (r1, c1) = path[step - 1], path[step]
        for row in range(17, 60):
            for column in range(17, 70):
                change = brightest[row - r1, column - c1] - brightest[row - r0, column - c0]
                if abs(change) > np.float32(0.18):
                    expected[bool(change > 0)].add((row, column, step))
    events = gradient_events(picture)
    for positive, found in zip((True, False), events, strict=True):
        assert found.dtype == np.uint8
        # Near the border of the picture the definition above wraps around; it is plain there.
        assert set(map(tuple, found.tolist())) == expected[positive]


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(30, 254), columns=st.integers(30, 254), seed=st.integers(0, 99))
def test_gradient_events_lie_on_the_canvas(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.uniform(0, 1, (rows, columns, 3)).astype(np.float32)
    for found in gradient_events(picture):
        assert len(found) > 0
        assert found[:, :2].min() >= 17
        assert found[:, :2].max() < 240
        assert found[:, 0].max() < rows + 2
        assert found[:, 1].max() < columns + 2
        assert set(found[:, 2].tolist()) == set(range(1, STEPS + 1))


def test_a_picture_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match=r"254 px a side at most, got 255×100"):
        gradient_events(np.zeros((255, 100, 3), np.float32))


def test_a_picture_on_a_screen_goes_round_once() -> None:
    picture = draw_object("square", False, 144, 144, np.random.default_rng(2), clutter=0.0)
    luminance = picture.mean(axis=2)
    events = watch_loop(luminance, seconds=0.04, seed=3)
    assert len(events.t) > 500
    assert events.t.max() <= 40_000
    assert max(events.x.max(), events.y.max()) < SIDE_PX
    again = watch_loop(luminance, seconds=0.04, seed=3)
    assert np.array_equal(events.t, again.t)
