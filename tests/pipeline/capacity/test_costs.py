"""Costs: what was measured at several rates becomes a line for each process."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capacity.costs import Cost, Costs, costs_of, fit, read_costs
from pipeline.capacity.forecast import forecast
from pipeline.capacity.trial import Trial
from pipeline.errors import ConfigError

RATES_HZ = (1e4, 8e4, 6.4e5, 5e6)


def trial(rate_hz: float, others: float = 0.0, kept: float = 1.0, **shares: float) -> Trial:
    """What had so much of a core while the rate was got through."""
    needs = {name: share / kept for name, share in shares.items()}
    return Trial(rate_hz / kept, rate_hz, needs, dict.fromkeys(needs, 1000.0), shares, others)


MESSAGES_HZ = (10.0, 80.0, 640.0, 1000.0)
ONES = (1.0,) * 4
PARTS = (ONES, MESSAGES_HZ, RATES_HZ)


@given(st.floats(1e-3, 0.9), st.floats(1e-6, 1e-3), st.floats(1e-9, 1e-6))
def test_the_fit_finds_the_costs_again(idle: float, message_s: float, event_s: float) -> None:
    loads = idle + message_s * np.array(MESSAGES_HZ) + event_s * np.array(RATES_HZ)
    assert fit(PARTS, loads) == pytest.approx([idle, message_s, event_s], rel=1e-3)


@given(st.lists(st.floats(1e-3, 1.0), min_size=4, max_size=4))
def test_no_cost_is_ever_negative(loads: list[float]) -> None:
    costs = fit(PARTS, loads)
    assert min(costs) >= 0
    assert max(costs) > 0


@given(st.lists(st.floats(1e-3, 1.0), min_size=4, max_size=4), st.integers(0, 2), st.floats(0.5, 2))
def test_no_other_costs_miss_by_much_less(loads: list[float], part: int, other: float) -> None:
    def missed(costs: list[float]) -> float:
        return float(((np.array(PARTS).T @ costs / loads - 1) ** 2).sum())

    costs = fit(PARTS, loads)
    changed = [cost * other if k == part else cost for k, cost in enumerate(costs)]
    assert missed(costs) <= missed(changed) / 0.99 + 1e-9


def test_a_load_that_does_not_grow_is_all_idle() -> None:
    assert fit([(1, 1), (1000, 1000), (1e3, 1e6)], [0.2, 0.2]) == pytest.approx([0.2, 0, 0])


def test_messages_cost_as_many_as_were_counted_and_between_as_many_as_lie_between() -> None:
    cost = Cost(0.1, 0.0, 1.0, 1e-4, (1e6, 3e6), (200.0, 1000.0))
    rates = (0.5e6, 1e6, 2e6, 3e6, 9e6)
    assert [cost.share(rate) for rate in rates] == pytest.approx([0.12, 0.12, 0.16, 0.2, 0.2])


def test_a_full_machine_tells_how_much_of_it_can_be_had() -> None:
    calm = trial(1e6, a=0.1, b=0.2)
    # Another program had 0.4 cores, so 1.6 were left of two.
    full = trial(8e6, others=0.4, kept=0.5, a=0.48, b=0.96)
    assert costs_of([calm, full], 2, 1e6, 1e6, {}).reach == pytest.approx(1.44 / 1.6)


def test_a_process_that_holds_the_others_up_tells_how_busy_it_can_be() -> None:
    calm, behind = trial(1e6, a=0.1, b=0.2), trial(4e6, kept=0.5, a=0.3, b=0.92)
    costs = costs_of([calm, behind], 4, 1e6, 1e6, {})
    assert costs.reach == 1.0
    assert (costs.processes["a"].limit, costs.processes["b"].limit) == (1.0, 0.92)


def test_a_process_that_waits_for_a_device_is_seen_to_hold_the_others_up() -> None:
    needs, busy = {"a": 0.8, "chip": 0.1}, {"a": 0.3, "chip": 0.99}
    behind = Trial(4e6, 2e6, needs, dict.fromkeys(needs, 1000.0), busy, 0.0)
    costs = costs_of([trial(1e6, a=0.2, chip=0.025), behind], 4, 1e6, 1e6, {})
    assert (costs.processes["a"].limit, costs.processes["chip"].limit) == (1.0, 0.05)
    assert forecast(costs, 1e6).binds == "chip"
    assert forecast(costs, 1e6).most_hz == pytest.approx(2e6)


def test_of_a_machine_that_others_use_nothing_is_taken_for_slow() -> None:
    behind = trial(2e6, others=1.0, kept=0.5, a=0.3)
    costs = costs_of([trial(1e6, a=0.2), behind], 4, 1e6, 1e6, {})
    assert (costs.processes["a"].limit, costs.reach) == (1.0, 1.0)


def test_stages_of_a_group_that_had_more_than_a_core_can_have_it_again() -> None:
    trials = [trial(1e6, core=0.4), trial(4e6, core=1.3)]
    assert costs_of(trials, 4, 1e6, 1e6, {}).processes["core"].limit == 1.3


def test_how_well_costs_fit_is_told_of_what_is_not_tiny() -> None:
    costs = Costs(
        {"a": Cost(0.1, 1e-7), "tiny": Cost(0.01, 0.0)},
        2,
        1.0,
        1e6,
        1e6,
        [trial(1e6, a=0.25, tiny=0.05)],
    )
    assert costs.worst_fit == pytest.approx(0.2)


def test_costs_are_kept_in_a_file(tmp_path: Path) -> None:
    costs = costs_of([trial(1e6, a=0.1), trial(4e6, a=0.3)], 2, 1e6, 2e6, {"stage.a.use": "x"})
    costs.write(tmp_path / "costs.json")
    assert read_costs(tmp_path / "costs.json", {"stage.a.use": "x"}) == costs


def test_costs_of_another_pipeline_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    Costs({}, 2, 1.0, 1.0, 1.0, [], {"stage.bins.window_us": 5000}).write(path)
    with pytest.raises(ConfigError) as caught:
        read_costs(path, {"stage.bins.window_us": 25_000})
    assert str(caught.value) == (
        f"--costs {path}: are of another pipeline: stage.bins.window_us was 5000, and is 25000;"
        " measure anew with --calibrate"
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"no JSON", b'{"cores": "many"}'])
def test_a_file_that_holds_no_costs_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "costs.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"costs\.json: holds no costs \(.*name one that"):
        read_costs(path, {})


def test_costs_that_cannot_be_written_are_told_of(tmp_path: Path) -> None:
    costs = Costs({}, 2, 1.0, 1.0, 1.0, [])
    with pytest.raises(ConfigError, match=r"nowhere/costs\.json: cannot be written: No such file"):
        costs.write(tmp_path / "nowhere" / "costs.json")
