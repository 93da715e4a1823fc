"""Intervals of 95 %, against published values and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.intervals import difference, mcnemar, paired_difference, wilson


def test_wilson_as_published() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_a_difference_as_published() -> None:
    # Newcombe 1998, "Interval estimation for the difference", table II, method 10.
    assert difference(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert difference(10, 10, 0, 10) == pytest.approx((0.6075, 1.0), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share_and_mirrors(count: tuple[int, int]) -> None:
    right, total = count
    low, high = wilson(right, total)
    assert 0 <= low <= right / total <= high <= 1
    assert wilson(total - right, total) == pytest.approx((1 - high, 1 - low))


def test_of_nothing_all_is_possible() -> None:
    assert wilson(0, 0) == (0, 1)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 5) == mcnemar(5, 0) == 2 / 32
    assert mcnemar(1, 7) == 2 * (1 + 8) / 256


def test_a_difference_of_pairs_as_published() -> None:
    # Newcombe 1998, "Improved confidence intervals ... paired data", table III, method 10.
    assert paired_difference(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


counts = st.integers(0, 60)


@given(counts, counts, counts, counts)
def test_a_difference_of_pairs_holds_itself_and_mirrors(a: int, b: int, c: int, d: int) -> None:
    total = max(1, a + b + c + d)
    d += a + b + c + d == 0
    low, high = paired_difference(a, b, c, d)
    assert low <= (b - c) / total + 1e-12
    assert high >= (b - c) / total - 1e-12
    assert paired_difference(a, c, b, d) == pytest.approx((-high, -low))


def test_pairs_tell_more_than_other_recordings() -> None:
    paired, unpaired = paired_difference(90, 4, 1, 5), difference(94, 100, 91, 100)
    assert paired.high - paired.low < unpaired.high - unpaired.low
    # That all agree does not make three recordings sure.
    low, high = paired_difference(2, 0, 0, 1)
    assert low < -0.3
    assert high > 0.3
