import numpy as np
import pytest

from models.simulation.figure import CAPSULE_COLUMNS, make_person, place
from models.simulation.gestures import perform

TIME_S = np.linspace(0.0, 2.0, 101)


def capsules(gesture: int, person: int = 1) -> np.ndarray:
    who = make_person(person)
    pose = perform(gesture, who.style, TIME_S, np.random.default_rng(0))
    return place(who, pose, TIME_S, 128, 128)


def test_a_person_is_a_function_of_the_seed() -> None:
    first, again, other = (make_person(seed) for seed in (1, 1, 2))
    assert first.style == again.style
    assert first.skin == again.skin
    np.testing.assert_array_equal(first.texture, again.texture)
    assert first.skin != other.skin
    assert first.style.tempo != other.style.tempo
    assert first.upper_arm_m != other.upper_arm_m


@pytest.mark.parametrize("gesture", range(11))
def test_limbs_hang_together(gesture: int) -> None:
    shape = capsules(gesture)
    assert shape.shape[0] == len(TIME_S)
    assert shape.shape[2] == len(CAPSULE_COLUMNS)
    assert shape.dtype == np.float32
    assert np.isfinite(shape).all()
    for arm in (shape[:, -6:-3], shape[:, -3:]):
        np.testing.assert_allclose(arm[:, 0, 2:4], arm[:, 1, 0:2], atol=1e-3)  # elbow
        np.testing.assert_allclose(arm[:, 1, 2:4], arm[:, 2, 0:2], atol=1e-3)  # wrist
    assert shape[:, :, 4:6].min() > 0.5  # radii in pixels


def test_the_right_hand_is_on_the_left_of_the_image() -> None:
    for gesture, side_of_image in ((1, -1), (2, 1)):
        shape = capsules(gesture)
        arms = shape[:, -6:].reshape(len(TIME_S), 2, 3, -1)
        travel = np.ptp(arms[:, :, 2, 2:4], axis=0).max(axis=1)
        raised = arms[:, int(travel.argmax())]
        middle = arms[:, :, 0, 0].mean(axis=1)  # between the shoulders
        assert np.all(np.sign(raised[:, 0, 0] - middle) == side_of_image)
