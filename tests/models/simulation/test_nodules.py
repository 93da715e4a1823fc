"""Simulated CT patches: nodules are local, vessels go through, brightness does not tell."""

import numpy as np
import pytest

from models.simulation.nodules import SHAPE, draw_patch, window


def patches(nodule: bool, count: int = 60) -> np.ndarray:  # type: ignore[type-arg]
    return np.stack([draw_patch(nodule, np.random.default_rng([k, nodule])) for k in range(count)])


def test_a_patch_is_a_function_of_its_seed() -> None:
    one = draw_patch(True, np.random.default_rng(1))
    assert one.shape == SHAPE
    assert np.array_equal(one, draw_patch(True, np.random.default_rng(1)))
    assert not np.array_equal(one, draw_patch(True, np.random.default_rng(2)))


def test_a_single_slice_does_not_tell_but_all_do() -> None:
    centre = np.s_[:, :, 8:24, 8:24]
    with_nodule, without = patches(True)[centre], patches(False)[centre]
    middle = np.array([with_nodule[:, 4].mean(), without[:, 4].mean()])
    assert abs(middle[0] - middle[1]) < 60
    # A nodule ends within the patch, a vessel does not.
    ends = [one[:, [0, 7]].mean() for one in (with_nodule, without)]
    assert ends[1] - ends[0] > 40


def test_the_window_is_the_reference_codes() -> None:
    given = np.array([-3000.0, -1200.0, -300.0, 599.0, 600.0, 3000.0])
    assert window(given).tolist() == [0, 0, 127, 254, 255, 255]
    assert window(given).dtype == np.uint8


@pytest.mark.parametrize("nodule", [True, False])
def test_lung_and_soft_tissue_have_their_densities(nodule: bool) -> None:
    volume = patches(nodule, 20)
    assert np.median(volume) == pytest.approx(-850, abs=120)
    assert np.percentile(volume, 99.5) > -150
