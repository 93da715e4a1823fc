import numpy as np
import pytest

from models.simulation.dvs_pixel import PixelConfig
from models.simulation.session import (
    Session,
    plan_session,
    simulate_session,
    stream_events,
)


@pytest.fixture(scope="module")
def session() -> Session:
    return simulate_session(2, 5, seconds_per_gesture=0.1, pause_s=0.1, lighting="led")


def test_events_are_in_order_and_in_range(session: Session) -> None:
    assert [a.dtype.name for a in session[:4]] == ["int64", "int16", "int16", "int8"]
    assert np.all(np.diff(session.t) >= 0)
    assert session.t[0] >= 0
    assert session.t[-1] <= 11 * 200_000 + 100_000
    assert min(session.x.min(), session.y.min()) >= 0
    assert session.x.max() < session.width == 128
    assert session.y.max() < session.height == 128
    assert set(np.unique(session.p).tolist()) == {0, 1}
    assert "simulated" in session.description


def test_labels_cover_the_gestures_in_order_and_hold_events(session: Session) -> None:
    assert [label.class_index for label in session.labels] == list(range(11))
    end_us = 0
    for label in session.labels:
        assert label.start_us == end_us + 100_000  # the pause
        end_us = label.end_us
        assert label.end_us - label.start_us == 100_000
        first, last = np.searchsorted(session.t, [label.start_us, label.end_us])
        assert last - first > 200


def test_rate_is_of_the_order_of_a_real_recording() -> None:
    session = simulate_session(2, 0, [0, 3], seconds_per_gesture=0.4)
    assert 10_000 < len(session.t) / (session.t[-1] * 1e-6) < 80_000


def test_same_arguments_same_session_and_people_and_seeds_differ() -> None:
    def simulate(person: int, seed: int) -> Session:
        return simulate_session(person, seed, [3], seconds_per_gesture=0.15, pause_s=0.1)

    first = simulate(1, 1)
    for a, b in zip(first[:4], simulate(1, 1)[:4], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.t, simulate(2, 1).t)
    assert not np.array_equal(first.t, simulate(1, 2).t)


def test_a_person_looks_the_same_in_all_sessions() -> None:
    plans = [plan_session(4, seed, lighting=light) for seed, light in ((0, "led"), (1, "natural"))]
    assert plans[0].person.skin == plans[1].person.skin
    assert plans[0].person.style == plans[1].person.style
    assert not np.array_equal(plans[0].scene.background, plans[1].scene.background)


@pytest.mark.parametrize("chunk_s", [0.002, 0.037, 10.0])
def test_chunks_make_the_whole(chunk_s: float) -> None:
    options = {"seconds_per_gesture": 0.1, "pause_s": 0.1, "lighting": "fluorescent"}
    whole = simulate_session(3, 1, [1, 8], **options)  # type: ignore[arg-type]
    plan = plan_session(3, 1, [1, 8], **options)  # type: ignore[arg-type]
    chunks = list(stream_events(plan, chunk_s))
    for index, column in enumerate(whole[:4]):
        np.testing.assert_array_equal(column, np.concatenate([chunk[index] for chunk in chunks]))


def test_shuffle_changes_the_order_only() -> None:
    orders = [
        [label.class_index for label in plan_session(0, seed, shuffle=True).labels]
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(11))


def test_noise_is_a_small_share() -> None:
    quiet = PixelConfig(leak_rate_hz=0.0, shot_noise_rate_hz=0.0, hot_pixel_fraction=0.0)
    counts = [
        len(simulate_session(4, 0, [3, 8], seconds_per_gesture=0.3, pixel=pixel).t)
        for pixel in (None, quiet)
    ]
    assert 0.01 < 1 - counts[1] / counts[0] < 0.15


def test_other_sensor_sizes() -> None:
    session = simulate_session(0, 0, [0], seconds_per_gesture=0.1, pause_s=0.1, width=64, height=48)
    assert session.x.max() < 64
    assert session.y.max() < 48


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gestures": [11]}, "gestures must be 0 to 10, got 11"),
        ({"lighting": "candle"}, "lighting must be one of led, lab, .* got 'candle'"),
        ({"pause_s": 0.0}, "seconds_per_gesture, pause_s and frame_rate_hz must be > 0"),
        ({"person": -1}, "person and seed must be >= 0"),
    ],
)
def test_errors_say_what_is_wrong(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_session(**({"person": 0, "seed": 0} | options))  # type: ignore[arg-type]
