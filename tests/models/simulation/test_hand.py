"""Hands before a web camera: gestures that differ in time only, and people that differ."""

import numpy as np
import pytest

from models.simulation.hand import make_owner, place_hand
from models.simulation.hand_gestures import HAND_GESTURES, perform_hand
from models.simulation.hand_video import HEIGHT_PX, WIDTH_PX, film_hand

PART = np.linspace(0, 1, 41)


def perform(name: str, owner: int = 3, seed: int = 1):  # type: ignore[no-untyped-def]
    gesture = HAND_GESTURES.index(name)
    return perform_hand(gesture, make_owner(owner), PART, np.random.default_rng(seed))


@pytest.mark.parametrize("owner", range(4))
def test_swipes_go_where_they_say(owner: int) -> None:
    # While the hand is up, from a third to two thirds.
    for name, axis, sense in (
        ("Swiping Left", "x", -1),
        ("Swiping Right", "x", 1),
        ("Sliding Two Fingers Down", "y", 1),
        ("Sliding Two Fingers Up", "y", -1),
    ):
        place = getattr(perform(name, owner), axis)
        assert sense * (place[27] - place[13]) > 0.05, name


def test_a_hand_that_is_pushed_away_grows_and_pulled_in_shrinks() -> None:
    away, back = perform("Pushing Hand Away").size, perform("Pulling Hand In").size
    assert away[-1] > 1.3 * away[0]
    assert back[0] > 1.3 * back[-1]


def test_turns_are_each_others_mirror() -> None:
    one = perform("Turning Hand Clockwise").angle_rad
    other = perform("Turning Hand Counterclockwise").angle_rad
    assert one[-1] - one[0] > 0.8
    np.testing.assert_allclose(one - one.mean(), -(other - other.mean()), atol=1e-9)


def test_without_a_gesture_no_hand_is_to_be_seen() -> None:
    assert perform("No gesture").y.min() > 0.6
    assert perform("Stop Sign").y.min() < 0.4


def test_capsules_have_their_materials() -> None:
    owner = make_owner(1)
    pose = perform("Thumb Up", owner=1)
    shapes, materials = place_hand(owner, pose, 0 * PART, WIDTH_PX, HEIGHT_PX)
    assert shapes.shape[:2] == (len(PART), len(materials))
    reflectances = np.array([owner.skin, owner.shirt, owner.hair], np.float32)
    np.testing.assert_array_equal(shapes[0, :, 6], reflectances[materials])


def test_there_is_no_28th_gesture() -> None:
    with pytest.raises(ValueError, match="gesture must be 0 to 26, got 27"):
        perform_hand(27, make_owner(1), PART, np.random.default_rng(0))


def test_a_film_is_a_function_of_who_what_and_seed() -> None:
    film = np.stack(list(film_hand(owner=2, seed=1, gesture=9, frames=4)))
    assert film.shape == (4, HEIGHT_PX, WIDTH_PX, 3)
    assert film.dtype == np.uint8
    assert np.array_equal(film, np.stack(list(film_hand(2, 1, 9, 4))))
    for other in ((3, 1, 9, 4), (2, 2, 9, 4), (2, 1, 8, 4)):
        assert not np.array_equal(film, np.stack(list(film_hand(*other))))
