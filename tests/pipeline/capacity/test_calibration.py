"""Calibration: which rates are tried, on a machine that is made up; and one trial of a real run."""

from pathlib import Path

import pytest

from pipeline.capacity.calibration import calibrate, climb
from pipeline.capacity.scene import Scene, random_scene
from pipeline.capacity.trial import Trial, try_at
from pipeline.config import PipelineConfig, read_config
from pipeline.graph import Graph, build_graph

IDLE, EVENT_S, CORES = 0.1, 1e-7, 2


def machine(rate_hz: float) -> Trial:
    """One process of one core, which other programs leave alone."""
    need = IDLE + EVENT_S * rate_hz
    kept = min(1.0, 1 / need)
    return Trial(rate_hz, rate_hz * kept, {"a": need}, {"a": 1000.0}, {"a": need * kept}, 0.0)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    tried: list[float] = []

    def attempt(*arguments: object, seconds: float = 2.0) -> Trial:
        rate_hz = arguments[-1]
        assert isinstance(rate_hz, float)
        tried.append(rate_hz)
        return machine(rate_hz)

    monkeypatch.setattr("pipeline.capacity.calibration.try_at", attempt)
    monkeypatch.setattr("os.cpu_count", lambda: CORES)
    return tried


def pipeline(tmp_path: Path) -> tuple[PipelineConfig, Graph, dict[str, Scene]]:
    path = tmp_path / "p.toml"
    path.write_text(
        '[[stage]]\nname = "camera"\nuse = "udp"\nport = 9\nsize = [24, 32]\n'
        '[[stage]]\nname = "tally"\nuse = "record"\npath = "out.aedat4"\n'
    )
    config = read_config(path)
    return config, build_graph(config), {"camera": random_scene(32, 24)}


@pytest.mark.parametrize("rate_hz", [1e3, 5e4, 2e6, 8.9e6, 9.1e6, 5e7])
def test_costs_are_found_from_any_rate_on(
    tmp_path: Path, made_up: list[float], rate_hz: float
) -> None:
    costs = calibrate(*pipeline(tmp_path), rate_hz)
    assert costs.processes["a"].idle == pytest.approx(IDLE, rel=1e-3)
    assert costs.processes["a"].event_s == pytest.approx(EVENT_S, rel=1e-3)
    assert max(made_up) > (1 - IDLE) / EVENT_S  # it was seen to fall behind
    assert len(made_up) <= 9


def test_what_is_always_kept_up_with_is_not_tried_for_ever() -> None:
    tried = climb(lambda rate: Trial(rate, rate, {"a": 0.1}, {}, {}, 0.0), 1.0, lambda _: 1.0)
    assert len(tried) == 8


def test_a_trial_is_a_run_that_leaves_nothing_behind(tmp_path: Path) -> None:
    config, graph, scenes = pipeline(tmp_path)
    found = try_at(config, graph, scenes, 1e5, seconds=0.2)
    assert found.offered_hz == pytest.approx(1e5, rel=0.2)
    assert set(found.needs) == {"camera", "tally"}
    assert all(count > 0 for count in found.messages.values())
    assert all(share > 0 for share in found.needs.values())
    assert [path.name for path in tmp_path.iterdir()] == ["p.toml"]
