"""Columns of any names, dtypes and units: the events of a slow twin that computes exactly."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import TIME_LIMIT_US
from stages.formats.tables.columns import (
    UNITS_PER_S,
    columns_of_names,
    events_of_columns,
    order_of_columns,
    sensor_size,
    time_unit,
    times_us,
)

UNITS = st.sampled_from(sorted(UNITS_PER_S))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("t x y p", "t x y p"),
        ("p y x t label", "t x y p"),
        ("xs ys ts ps", "ts xs ys ps"),
        ("Timestamp X Y Polarity", "Timestamp X Y Polarity"),
        ("x y on t_ns", "t_ns x y on"),
        ("x y pol time(s)", "time(s) x y pol"),
        ("t x y", None),
        ("frame x y p", None),
        ("", None),
    ],
)
def test_columns_are_known_by_their_names(names: str, found: str | None) -> None:
    columns = columns_of_names(names.split())
    assert columns == (None if found is None else dict(zip("txyp", found.split(), strict=True)))


@pytest.mark.parametrize(
    ("name", "times", "unit"),
    [
        ("t", np.array([1, 2]), "us"),
        ("t", np.array([0.0, 0.5]), "s"),
        ("t", np.array([0.0, 5.0]), "us"),
        ("t_s", np.array([1, 2]), "s"),
        ("time_ms", np.array([0.5]), "ms"),
        ("t_ns", np.array([1, 2]), "ns"),
        ("t[µs]", np.array([0.5]), "us"),
        ("ts", np.array([np.nan, np.inf]), "us"),
        ("ts", np.array([]), "us"),
    ],
)
def test_the_unit_of_time_is_named_or_told_by_fractions(
    name: str, times: np.ndarray, unit: str
) -> None:
    assert time_unit(name, times.dtype, lambda: times) == unit


@given(times=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20), unit=UNITS)
def test_whole_times_are_converted_exactly(times: list[int], unit: str) -> None:
    converted = times_us(np.array(times, np.int64), unit).tolist()
    for time, t_us in zip(times, converted, strict=True):
        exact = round(Fraction(time * 10**6, UNITS_PER_S[unit]))
        assert t_us == exact or min(abs(exact), abs(t_us)) >= TIME_LIMIT_US


@given(
    times=st.lists(st.floats(-1e12, 1e12) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300])),
    unit=UNITS,
)
def test_times_with_fractions_are_rounded_half_to_even(times: list[float], unit: str) -> None:
    converted = times_us(np.array(times, np.float64), unit).tolist()
    for time, t_us in zip(times, converted, strict=True):
        if np.isfinite(time) and abs(time) * 10**6 / UNITS_PER_S[unit] < TIME_LIMIT_US:
            assert t_us == round(time * (10**6 / UNITS_PER_S[unit]))
        else:
            assert t_us >= TIME_LIMIT_US
    assert times_us(np.array([0.5e-6, 1.5e-6, 2.5e-6]), "s").tolist() == [0, 2, 2]


def test_times_of_64_bits_without_sign_do_not_turn_negative() -> None:
    assert times_us(np.array([5, 2**64 - 1], np.uint64), "us").tolist() == [5, 2**63 - 1]


@pytest.mark.parametrize("form", ["i1", "u1", "<i2", "<u2", ">u2", "<i4", "<i8", "<f4", "<f8", "?"])
def test_what_fits_is_kept_whatever_the_dtype(form: str) -> None:
    column = np.array([0, 1], form)
    events = events_of_columns(np.array([3, 4]), column, column[::-1], column, "us")
    assert events.tolist() == [(3, 0, 1, 0), (4, 1, 0, 1)]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (np.array([65_535], "u2"), -1),
        (np.array([70_000]), -1),
        (np.array([-70_000]), -1),
        (np.array([2**40], "u8"), -1),
        (np.array([2.5]), -1),
        (np.array([np.nan]), -1),
        (np.array([32_767.0]), 32_767),
    ],
)
def test_coordinates_that_do_not_fit_are_marked(values: np.ndarray, kept: int) -> None:
    one = np.array([1])
    assert events_of_columns(one, values, values, one, "us").tolist() == [(1, kept, kept, 1)]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (np.array([-1, 0, 1], "i1"), [0, 0, 1]),
        (np.array([-1, 1, 7]), [0, 1, 2]),
        (np.array([-1.0, 1.0, 0.5]), [0, 1, 2]),
        (np.array([False, True, True]), [0, 1, 1]),
        (np.array([0, 2, 255], "u1"), [0, 2, -1]),
    ],
)
def test_polarities_are_0_and_1_or_marked(values: np.ndarray, kept: list[int]) -> None:
    zero = np.zeros(3, np.int64)
    assert events_of_columns(zero, zero, zero, values, "us")["p"].tolist() == kept


def rows(count: int = 200, seed: int = 0) -> np.ndarray:
    """Columns t, x, y, p of a recording as they come."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 10**6, count))
    return np.stack([t, *rng.integers(0, 300, (2, count)), rng.integers(0, 2, count)], axis=1)


@given(order=st.permutations(range(4)), signed=st.booleans(), seconds=st.booleans())
def test_the_order_of_columns_is_told_by_their_content(
    order: list[int], signed: bool, seconds: bool
) -> None:
    sample = rows().astype(np.float64)
    if signed:
        sample[:, 3] = 2 * sample[:, 3] - 1
    if seconds:
        sample[:, 0] /= 1e6
    t, x, y, p = order_of_columns(sample[:, order])
    # x and y are taken in the order in which they are.
    assert (order[t], order[p]) == (0, 3)
    assert x < y
    assert {order[x], order[y]} == {1, 2}


def test_of_two_possible_polarities_the_usual_place_counts() -> None:
    sample = rows()
    sample[:, 1] = 0
    assert order_of_columns(sample) == (0, 1, 2, 3)
    assert order_of_columns(sample[:, [1, 2, 3, 0]]) == (3, 0, 1, 2)


def test_a_time_that_goes_back_a_little_is_a_time() -> None:
    sample = rows()
    sample[50, 0] -= 100_000
    assert order_of_columns(sample) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    "sample",
    [
        rows()[:1],
        rows()[:0],
        rows()[:, [1, 1, 2, 3]],
        rows()[:, [0, 0, 1, 3]],
        rows()[:, [0, 1, 2, 2]],
    ],
    ids=["one row", "no row", "no time", "two times", "no polarity"],
)
def test_what_the_content_does_not_tell_is_refused(sample: np.ndarray) -> None:
    with pytest.raises(ValueError, match="does not tell which columns are t, x, y and p"):
        order_of_columns(sample)


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({"width": 640, "height": 480}, (480, 640)),
        ({"Sensor_Width": np.array([640]), "sensor_height": np.int32(480)}, (480, 640)),
        ({"sensor_resolution": np.array([180, 240])}, (180, 240)),
        ({"resolution": [1280, 720]}, (720, 1280)),
        ({"geometry": b"640x480"}, (480, 640)),
        ({"width": 640}, None),
        ({"width": 0, "height": 480}, None),
        ({"width": 1e9, "height": 1e9}, None),
        ({"width": np.nan, "height": "tall"}, None),
        ({}, None),
    ],
)
def test_the_size_of_the_sensor_is_found(values: dict, size: tuple[int, int] | None) -> None:
    assert sensor_size(values) == size
