"""Forecasts from costs that are known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capacity.costs import Cost, Costs
from pipeline.capacity.forecast import MACHINE, forecast

# Idle and per Mev/s: a camera 0.1 and 0.05, a network 0.2 and 0.2.
COSTS = Costs({"camera": Cost(0.1, 5e-8), "network": Cost(0.2, 2e-7)}, 2, 1.0, 1e6, 2e6, [])


def test_each_process_is_told_of_at_the_rate_and_how_far_it_goes() -> None:
    found = forecast(COSTS, 2e6)
    assert found.processes["camera"].share == pytest.approx(0.2)
    assert found.processes["network"].share == pytest.approx(0.6)
    assert found.machine.share == pytest.approx(0.8)
    assert found.processes["network"].most_hz == pytest.approx(4e6)
    assert (found.binds, found.keeps_up) == ("network", True)
    assert found.most_hz == pytest.approx(4e6)


def test_with_few_cores_it_is_the_machine_that_binds() -> None:
    found = forecast(COSTS, 4e6, cores=1)
    assert (found.binds, found.keeps_up) == (MACHINE, False)
    assert found.most_hz == pytest.approx(0.7 / 2.5e-7)


def test_what_cannot_be_had_of_the_machine_is_not_counted_on() -> None:
    costs = Costs(COSTS.processes, 1, 0.8, 1e6, 2e6, [])
    assert forecast(costs, 1e6).machine.limit == 0.8
    assert forecast(costs, 1e6).most_hz == pytest.approx(0.5 / 2.5e-7)


def test_above_the_highest_rate_a_process_does_not_keep_up_with_any_number_of_cores() -> None:
    found = forecast(COSTS, 5e6, cameras=3, cores=64)
    assert (found.keeps_up, found.hosts, found.cameras_a_host) == (False, None, 0)


def test_what_is_got_through_when_more_is_offered_counts_idle_costs_in_the_cameras_time() -> None:
    # A second of 9 Mev/s needs the network for two: windows come half as fast as they should.
    assert forecast(COSTS, 9e6, cores=8).sustained_hz == pytest.approx(4.5e6)
    assert forecast(COSTS, 1e6).sustained_hz == 1e6


def test_what_costs_the_same_at_any_rate_never_binds() -> None:
    costs = Costs({"a": Cost(0.5, 0.0)}, 2, 1.0, 1e6, 2e6, [])
    found = forecast(costs, 1e9)
    assert (found.most_hz, found.processes["a"].most_hz, found.keeps_up) == (None, None, True)


def test_what_is_too_busy_without_any_event_keeps_up_with_nothing() -> None:
    costs = Costs({"a": Cost(1.5, 1e-9)}, 2, 1.0, 1e6, 2e6, [])
    assert (forecast(costs, 1.0).most_hz, forecast(costs, 1.0).keeps_up) == (0.0, False)


def test_cameras_are_dealt_out_to_hosts() -> None:
    # Each needs 0.8 cores, so two fit on two cores, and the network of both in 1.2 cores.
    found = forecast(COSTS, 2e6, cameras=5, shared={"network": True})
    assert (found.cameras_a_host, found.hosts) == (2, 3)
    assert found.copies == {"camera": 2, "network": 2}
    assert not found.keeps_up  # on one host


def test_one_network_does_for_several_cameras_where_it_can() -> None:
    found = forecast(COSTS, 2e5, cameras=4, shared={"network": True})
    assert (found.cameras_a_host, found.hosts, found.keeps_up) == (5, 1, True)
    assert found.copies == {"camera": 4, "network": 1}


def test_a_camera_that_needs_more_than_a_host_takes_several() -> None:
    found = forecast(COSTS, 3.9e6, cameras=2, cores=1)
    assert (found.cameras_a_host, found.hosts) == (0, 4)


def test_costs_of_a_file_with_two_cameras_are_those_of_two() -> None:
    one, two = forecast(COSTS, 1e6, in_file=2), forecast(COSTS, 1e6, cameras=4, in_file=2)
    assert (one.cameras, two.cameras) == (2, 4)
    assert two.machine.share == pytest.approx(2 * one.machine.share)
    assert one.cameras_a_host == two.cameras_a_host == 7  # 0.275 cores each


@given(
    st.lists(st.tuples(st.floats(0, 0.9), st.floats(1e-9, 1e-5)), min_size=1, max_size=5),
    st.floats(1, 1e7),
    st.integers(1, 32),
)
def test_it_keeps_up_exactly_to_the_highest_rate(
    each: list[tuple[float, float]], rate_hz: float, cores: int
) -> None:
    processes = {str(k): Cost(*one) for k, one in enumerate(each)}
    found = forecast(Costs(processes, cores, 1.0, 1.0, 1.0, []), rate_hz)
    assert found.most_hz is not None
    if rate_hz != pytest.approx(found.most_hz):
        assert found.keeps_up == (rate_hz < found.most_hz)


@given(st.floats(1e3, 3.9e6), st.integers(1, 200), st.integers(1, 64))
def test_the_hosts_hold_all_cameras_and_one_less_would_not(
    rate_hz: float, cameras: int, cores: int
) -> None:
    found = forecast(COSTS, rate_hz, cameras, cores)
    each = COSTS.processes["camera"].share(rate_hz) + COSTS.processes["network"].share(rate_hz)
    assert found.hosts is not None
    if found.cameras_a_host:
        assert found.cameras_a_host * each <= cores * (1 + 1e-6)
        assert (found.hosts - 1) * found.cameras_a_host < cameras
        assert cameras <= found.hosts * found.cameras_a_host
    else:
        assert each > cores * (1 - 1e-6)
        assert found.hosts * cores >= cameras * each * (1 - 1e-6)
