"""Scaling: held against OpenCV, and against the definition."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.frames.scaling import Method, scale

SIDES = st.integers(1, 24)
INTERPOLATION = {
    "bilinear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "area": cv2.INTER_AREA,
}


@pytest.mark.parametrize("method", ["bilinear", "nearest", "area"])
@given(old=st.tuples(SIDES, SIDES), new=st.tuples(SIDES, SIDES), seed=st.integers(0, 99))
def test_counts_are_scaled_as_opencv_does(
    method: Method, old: tuple[int, int], new: tuple[int, int], seed: int
) -> None:
    if method == "area":  # where OpenCV makes frames larger it does not take the mean
        new = (min(old[0], new[0]), min(old[1], new[1]))
    frame = np.random.default_rng(seed).integers(0, 50, old).astype(np.float32)
    expected = cv2.resize(frame, new[::-1], interpolation=INTERPOLATION[method])
    np.testing.assert_allclose(scale(frame, new, method), expected, atol=2e-4)


def test_the_reference_made_40_by_40_of_128_by_128() -> None:
    counts = np.random.default_rng(1).poisson(0.3, (3, 2, 128, 128)).astype(np.float32)
    expected = [[cv2.resize(plane, (40, 40)) for plane in frame] for frame in counts]
    np.testing.assert_allclose(scale(counts, (40, 40), "bilinear"), expected, atol=1e-5)


@given(old=SIDES, new=SIDES)
def test_area_keeps_the_mean(old: int, new: int) -> None:
    frame = np.random.default_rng(old).random((old, old)).astype(np.float32)
    assert scale(frame, (new, new), "area").mean() == pytest.approx(frame.mean(), abs=1e-5)


@pytest.mark.parametrize("method", ["bilinear", "nearest", "area"])
@given(old=SIDES, new=SIDES)
def test_what_is_the_same_everywhere_stays_so(method: Method, old: int, new: int) -> None:
    frame = np.full((2, old, old + 1), 7, dtype=np.uint16)
    np.testing.assert_allclose(scale(frame, (new, new), method), 7, rtol=1e-5)


def test_dtypes() -> None:
    frame = np.zeros((4, 4), dtype=np.int16)
    assert scale(frame, (2, 2), "nearest").dtype == np.int16
    assert scale(frame, (2, 2), "area").dtype == scale(frame, (2, 2), "bilinear").dtype == "f4"


@given(
    old=st.tuples(SIDES, SIDES),
    new=st.tuples(SIDES, SIDES),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
)
def test_a_sum_is_what_a_coarser_sensor_would_have_counted(
    old: tuple[int, int], new: tuple[int, int], seed: int, dtype: type[np.generic]
) -> None:
    new = (min(old[0], new[0]), min(old[1], new[1]))
    frame = np.random.default_rng(seed).integers(0, 200, old).astype(dtype)
    rows, columns = (np.arange(n) * m // n for n, m in zip(old, new, strict=True))  # as time_bin
    expected = np.zeros(new)
    np.add.at(expected, (rows[:, np.newaxis], columns), frame)
    summed = scale(frame, new, "sum")
    np.testing.assert_array_equal(summed, expected)
    assert summed.dtype.kind == np.dtype(dtype).kind


def test_a_sum_has_the_smallest_integers_that_hold_it() -> None:
    frame = np.full((2, 2), 64, dtype=np.uint8)
    assert scale(frame, (2, 1), "sum").dtype == np.uint8
    assert scale(frame, (1, 1), "sum").tolist() == [[256]]
    assert scale(-frame.astype(np.int8), (1, 1), "sum").tolist() == [[-256]]
