"""The histogram holds to one percent what numpy holds of all values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.observe.latency import LatencyHistogram


def histogram(durations_ns: list[int]) -> LatencyHistogram:
    found = LatencyHistogram()
    for duration_ns in durations_ns:
        found.add(duration_ns)
    return found


durations = st.lists(st.integers(1, 10**13), min_size=1, max_size=300)


@given(durations, st.sampled_from([0.01, 0.25, 0.5, 0.75, 0.99, 1.0]))
def test_quantiles_are_within_one_percent_of_numpys(values: list[int], fraction: float) -> None:
    exact = float(np.quantile(values, fraction, method="inverted_cdf"))
    found_ns = histogram(values).quantile_ms(fraction) * 1e6
    assert exact * (1 - 1e-9) <= found_ns <= exact * math.exp(0.01) * (1 + 1e-9)


def test_quantiles_of_many_durations_as_a_run_has_them() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(15, 1.5, 20_000).astype(np.int64)
    found = histogram(values.tolist())
    for fraction in (0.5, 0.99):
        exact = np.quantile(values, fraction, method="inverted_cdf") / 1e6
        assert found.quantile_ms(fraction) == pytest.approx(exact, rel=0.01)


@given(durations)
def test_the_greatest_is_exact(values: list[int]) -> None:
    summary = histogram(values).summary()
    assert summary is not None
    assert summary.max_ms == round(max(values) / 1e6, 3)
    assert summary.count == len(values)
    assert summary.p50_ms <= summary.p99_ms <= summary.max_ms


def test_nothing_added_is_no_summary() -> None:
    assert LatencyHistogram().summary() is None
    assert LatencyHistogram().quantile_ms(0.5) == 0.0


def test_a_negative_duration_counts_as_none_at_all() -> None:
    summary = histogram([-5, 0]).summary()
    assert summary is not None
    assert (summary.count, summary.p50_ms, summary.max_ms) == (2, 0.0, 0.0)


def test_memory_does_not_grow_with_the_count() -> None:
    found = histogram([7_000_000] * 1_000)
    assert len(found._counts) == 1


def test_it_says_from_when_it_counts() -> None:
    found = histogram([1])
    found.since = "event"
    summary = found.summary()
    assert summary is not None
    assert summary.since == "event"
