"""Scenes: what is played in a camera's place, at any rate."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worker_stages import Noise, NoiseConfig

from pipeline.capacity.scene import at_rate, random_scene, recorded, scene_of
from pipeline.config import parse_config
from pipeline.errors import ConfigError
from pipeline.graph import build_graph
from pipeline.ports import FramesPort
from pipeline.stage import Source
from recordings import some_events, write_recording

EVENTS = some_events(1_000, 500_000)
EVENTS["t"] -= EVENTS["t"][0]
LENGTH_US = int(EVENTS["t"][-1]) + 1


def source(use: str, tmp_path: Path, **options: object) -> Source[object, object]:
    rows = [
        {"name": "camera", "use": use, **options},
        {"name": "tally", "use": "worker_stages:Tally", "path": "tally.txt"},
    ]
    graph = build_graph(parse_config({"stage": rows}, tmp_path / "p.toml"))
    stage = graph.nodes[0].stage
    assert isinstance(stage, Source)
    return stage


@settings(max_examples=30)
@given(st.floats(0, 5), st.integers(0, 9))
def test_a_scene_at_another_rate_is_in_order_of_the_same_pixels(factor: float, seed: int) -> None:
    found = at_rate(EVENTS, factor, LENGTH_US, seed)
    assert abs(len(found) - factor * len(EVENTS)) <= 1
    assert (np.diff(found["t"]) >= 0).all()
    if len(found):
        assert found["t"][0] >= 0
        assert found["t"][-1] < LENGTH_US
    places = {(x, y, p) for x, y, p in zip(EVENTS["x"], EVENTS["y"], EVENTS["p"], strict=True)}
    assert {(x, y, p) for x, y, p in zip(found["x"], found["y"], found["p"], strict=True)} <= places


def test_at_its_own_rate_a_scene_is_what_it_was() -> None:
    assert (at_rate(EVENTS, 1.0, LENGTH_US) == EVENTS).all()


def test_twice_as_many_events_are_the_scene_laid_over_itself() -> None:
    found = at_rate(EVENTS, 2.0, LENGTH_US)
    assert np.bincount(found["x"]).tolist() == (2 * np.bincount(EVENTS["x"])).tolist()


def test_what_was_written_plays_at_the_rate(tmp_path: Path) -> None:
    (path,), length_s = random_scene(32, 24).write(tmp_path, 2e4)
    found = recorded(path)
    assert found.rate_hz == pytest.approx(2e4, rel=0.01)
    assert sum(found.length_us) / 1e6 == pytest.approx(length_s, rel=0.01)
    assert (found.width, found.height) == (32, 24)


def test_too_many_events_are_a_shorter_scene_of_the_same_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.capacity.scene._MOST_EVENTS", 1_000)
    (path,), length_s = random_scene(32, 24).write(tmp_path, 2e4)
    assert length_s == pytest.approx(0.05, rel=0.01)
    assert recorded(path).rate_hz == pytest.approx(2e4, rel=0.1)


def test_a_part_of_a_scene_has_the_rate_that_was_asked_for_whatever_was_at_its_beginning(
    tmp_path: Path,
) -> None:
    events = some_events(10_000, 1_000_000)
    late = events[events["t"] > events["t"][0] + 900_000]  # but for one event
    events = np.concatenate([events[:1], late], out=np.empty(len(late) + 1, events.dtype))
    whole = recorded(write_recording(tmp_path / "late.aedat4", events))
    (path,), length_s = whole.write(tmp_path, 5e3, longest_s=0.1)
    assert length_s == 0.1
    assert recorded(path).rate_hz == pytest.approx(5e3, rel=0.02)


def test_recordings_stay_apart(tmp_path: Path) -> None:
    for name in "ab":
        write_recording(tmp_path / f"{name}.aedat4", some_events(500, 100_000))
    stage = source("replay", tmp_path, path=[str(tmp_path / f"{name}.aedat4") for name in "ab"])
    found = scene_of(stage, "stage.camera")
    assert [len(events) for events in found.recordings] == [500, 500]
    assert not found.is_endless
    paths, length_s = found.write(tmp_path, found.rate_hz / 2)
    assert len(paths) == 2
    assert length_s == pytest.approx(0.2, rel=0.02)


def test_only_the_first_seconds_are_taken_of_a_long_recording(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "long.aedat4", some_events(1_000, 10_000_000))
    found = recorded(path)
    assert found.is_endless
    assert 1.9 < sum(found.length_us) / 1e6 <= 2.0
    assert found.rate_hz == pytest.approx(100, rel=0.3)


def test_the_peak_is_that_of_the_busiest_tenth_of_a_second(tmp_path: Path) -> None:
    events = some_events(1_000, 1_000_000)
    events["t"][500:] = events["t"][500]
    found = recorded(write_recording(tmp_path / "burst.aedat4", events))
    assert found.peak_hz > 5_000


def test_a_live_source_is_stood_in_for_by_random_events_of_its_sensor(tmp_path: Path) -> None:
    found = scene_of(source("udp", tmp_path, port=9, size=[24, 32]), "stage.camera")
    assert (found.width, found.height, found.is_random) == (32, 24, True)


def test_a_recording_without_events_is_refused(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "few.aedat4", some_events(3, 100))
    with pytest.raises(ConfigError, match=r"few\.aedat4: holds no events, or less than a millisec"):
        recorded(path)


def test_a_file_that_is_no_recording_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.aedat4"
    with pytest.raises(ConfigError, match=r"--recording .*none\.aedat4"):
        recorded(path)


class Pictures(Noise):
    """A source of frames."""

    def port(self) -> FramesPort:  # type: ignore[override]
        return FramesPort(2, 4, 4, None, None)


def test_what_gives_no_events_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        scene_of(Pictures("clip", NoiseConfig()), "p.toml: stage.clip")
    assert str(caught.value) == (
        "p.toml: stage.clip: gives frames, and what a pipeline can keep up with is told in events a"
        " second; --capacity is for sources of events"
    )
