import subprocess
import sys

import numpy as np
import pytest

from models.simulation import GESTURES
from models.simulation.figure import make_person
from models.simulation.gestures import LEFT, RIGHT, Pose, perform, rest

TIME_S = np.linspace(0.0, 3.0, 301)


def hands(gesture: int, person: int = 3, seed: int = 0) -> np.ndarray:
    style = make_person(person).style
    return perform(gesture, style, TIME_S, np.random.default_rng(seed)).hand


def test_names_are_importable_without_numba() -> None:
    code = "import sys; from models.simulation import GESTURES; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(GESTURES) == 11


@pytest.mark.parametrize(
    ("gesture", "moving", "still"),
    [(1, RIGHT, LEFT), (2, LEFT, RIGHT), (3, RIGHT, LEFT), (5, LEFT, RIGHT)],
)
def test_one_handed_gestures_move_one_hand(gesture: int, moving: int, still: int) -> None:
    hand = hands(gesture)
    assert np.ptp(hand[:, moving], axis=0).max() > 0.3
    assert np.ptp(hand[:, still], axis=0).max() == 0.0


@pytest.mark.parametrize(("gesture", "side"), [(3, RIGHT), (4, RIGHT), (5, LEFT), (6, LEFT)])
@pytest.mark.parametrize("person", range(5))
def test_circles_turn_as_the_camera_sees_them(gesture: int, side: int, person: int) -> None:
    out, up = hands(gesture, person)[:, side, :2].T
    right = -out if side == RIGHT else out  # the right hand is on the image's left
    angle = np.unwrap(np.arctan2(up - up.mean(), right - right.mean()))
    turns = (angle[-1] - angle[0]) / (2 * np.pi)
    assert abs(turns) > 1.0
    assert (turns < 0) == ("counter" not in GESTURES[gesture])


@pytest.mark.parametrize("gesture", range(11))
def test_movement_is_smooth_and_people_and_repetitions_differ(gesture: int) -> None:
    hand = hands(gesture)
    assert np.isfinite(hand).all()
    assert np.abs(np.diff(hand, axis=0)).max() < 0.15  # arm lengths in 10 ms
    assert np.abs(hand - hands(gesture, person=4)).max() > 0.05 or gesture == 10
    assert np.array_equal(hand, hands(gesture))
    assert np.abs(hand - hands(gesture, seed=1)).max() > 0.01 or gesture == 10


def test_mix_blends_from_one_pose_to_the_other() -> None:
    a, b = rest(3), Pose(*(array + 1.0 for array in rest(3)))
    mixed = a.mix(b, np.array([0.0, 0.5, 1.0]))
    for start, between in zip(a, mixed, strict=True):
        offset = (between - start).reshape(3, -1)
        np.testing.assert_allclose(offset, np.array([[0.0], [0.5], [1.0]]) + 0 * offset)


def test_unknown_gesture() -> None:
    with pytest.raises(ValueError, match="gesture must be 0 to 10, got 11"):
        hands(11)
