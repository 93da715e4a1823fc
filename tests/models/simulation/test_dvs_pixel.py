from itertools import pairwise

import numpy as np
import pytest

from models.simulation.dvs_pixel import (
    DARK_LUMINANCE,
    Events,
    PixelConfig,
    make_sensor,
    start,
    step,
)

IDEAL = PixelConfig(
    threshold_on=0.2,
    threshold_off=0.25,
    threshold_sigma=0.0,
    cutoff_hz=float("inf"),
    refractory_us=0,
    leak_rate_hz=0.0,
    shot_noise_rate_hz=0.0,
    hot_pixel_fraction=0.0,
)


def luminance_of(log_value: float) -> float:
    return float(np.exp(log_value)) - DARK_LUMINANCE


def run(config: PixelConfig, images: list[np.ndarray], frame_us: int, seed: int = 0) -> Events:
    height, width = images[0].shape
    sensor = make_sensor(width, height, seed, config)
    state = start(sensor, images[0])
    collected = []
    for index, image in enumerate(images[1:], 1):
        state, events = step(sensor, state, image, index * frame_us)
        collected.append(events)
    return Events(*(np.concatenate(column) for column in zip(*collected, strict=True)))


def blinking(seed: int, frames: int = 40, size: int = 24) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.0, 1.2, (size, size)).astype(np.float32) for _ in range(frames)]


def test_known_contrast_gives_its_number_of_events_at_interpolated_times() -> None:
    images = [np.full((6, 8), luminance_of(-1.0), np.float32) for _ in range(3)]
    images[1][2, 5] = luminance_of(-0.05)  # +0.95: four ON events of 0.2, 0.15 left over
    images[2][2, 5] = luminance_of(-1.0)  # -0.95 from there: 0.15 - 0.95 = three OFF of 0.25
    events = run(IDEAL, images, 10_000)
    assert events.p.tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert set(events.x.tolist()) == {5}
    assert set(events.y.tolist()) == {2}
    on_us = [10_000 * 0.2 * k / 0.95 for k in range(1, 5)]
    off_us = [10_000 + 10_000 * (0.15 + 0.25 * k) / 0.95 for k in range(1, 4)]
    assert events.t == pytest.approx(on_us + off_us, abs=2)


def test_column_types() -> None:
    events = run(IDEAL, blinking(0, 3), 1000)
    assert [column.dtype.name for column in events] == ["int64", "int16", "int16", "int8"]


def test_still_scene_without_noise_is_silent() -> None:
    assert len(run(IDEAL, [blinking(1, 1)[0]] * 20, 1000).t) == 0


def test_events_are_in_order_and_in_range() -> None:
    events = run(PixelConfig(), blinking(2), 2000)
    assert len(events.t) > 10_000
    assert np.all(np.diff(events.t) >= 0)
    assert events.t[0] > 0
    assert events.t[-1] <= 39 * 2000
    assert min(events.x.min(), events.y.min()) >= 0
    assert max(events.x.max(), events.y.max()) < 24
    assert set(events.p.tolist()) == {0, 1}


@pytest.mark.parametrize("refractory_us", [300, 5000])
def test_refractory_time_is_kept_by_every_pixel(refractory_us: int) -> None:
    config = PixelConfig(
        refractory_us=refractory_us, shot_noise_rate_hz=50.0, hot_pixel_fraction=0.1
    )
    events = run(config, blinking(3), 2000)
    pixel = events.y.astype(int) * 24 + events.x
    order = np.lexsort((events.t, pixel))
    same_pixel = np.diff(pixel[order]) == 0
    assert np.diff(events.t[order])[same_pixel].min() >= refractory_us


def test_low_bandwidth_delays_and_the_dark_delays_more() -> None:
    def first_event_us(before: float, cutoff_hz: float) -> int:
        images = [np.full((1, 1), before, np.float32)]
        images += [np.full((1, 1), 3 * before, np.float32)] * 50
        return int(run(IDEAL._replace(cutoff_hz=cutoff_hz), images, 1000).t[0])

    assert first_event_us(0.3, np.inf) < first_event_us(0.3, 20.0) < first_event_us(0.1, 20.0)


def test_leak_rate_and_polarity() -> None:
    images = [np.full((64, 64), 0.5, np.float32)] * 101
    events = run(IDEAL._replace(leak_rate_hz=0.5), images, 20_000)
    expected = 64 * 64 * 0.5 * 2.0  # 2 s
    assert len(events.t) == pytest.approx(expected, rel=0.02)
    assert events.p.min() == 1
    # Pixels leak out of step with each other.
    assert np.histogram(events.t, 10)[0].std() < 0.1 * expected


@pytest.mark.parametrize(("luminance", "factor"), [(0.0, 1.0), (1.0, 0.25)])
def test_shot_noise_rate(luminance: float, factor: float) -> None:
    images = [np.full((64, 64), luminance, np.float32)] * 201
    events = run(IDEAL._replace(shot_noise_rate_hz=2.0), images, 10_000)
    expected = 64 * 64 * 2.0 * 2.0 * factor
    assert len(events.t) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert events.p.mean() == pytest.approx(0.5, abs=0.05)
    counts = np.histogram(events.t, 40)[0]
    assert counts.var() == pytest.approx(counts.mean(), rel=0.7)


def test_hot_pixels() -> None:
    config = IDEAL._replace(hot_pixel_fraction=0.01, hot_pixel_rate_hz=40.0)
    events = run(config, [np.full((64, 64), 0.5, np.float32)] * 101, 20_000)
    hot = np.unique(events.y.astype(int) * 64 + events.x)
    assert 15 < len(hot) < 80
    assert len(events.t) / len(hot) / 2.0 == pytest.approx(40.0, rel=0.5)


def test_mismatch_has_its_spread() -> None:
    sensor = make_sensor(128, 128, 5, PixelConfig(threshold_sigma=0.02))
    assert sensor.threshold_on.std() == pytest.approx(0.02, rel=0.05)
    assert not np.array_equal(sensor.threshold_on, sensor.threshold_off)


def test_same_seed_same_events_and_other_seed_other_noise() -> None:
    images = blinking(4, 10)
    first, again, other = (run(PixelConfig(), images, 2000, seed) for seed in (7, 7, 8))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(first.t) != len(other.t)


def test_interleaved_sensors_do_not_disturb_each_other() -> None:
    images = blinking(5, 6)
    config = PixelConfig(shot_noise_rate_hz=20.0)
    sensors = [make_sensor(24, 24, seed, config) for seed in (1, 2)]
    states = [start(sensor, images[0]) for sensor in sensors]
    interleaved = []
    for index, image in enumerate(images[1:], 1):
        for k, sensor in enumerate(sensors):
            states[k], events = step(sensor, states[k], image, 2000 * index)
            if k == 0:
                interleaved.append(events.t)
    np.testing.assert_array_equal(np.concatenate(interleaved), run(config, images, 2000, 1).t)


def test_step_leaves_its_state_alone() -> None:
    images = blinking(6, 2)
    sensor = make_sensor(24, 24, 0)
    state = start(sensor, images[0])
    copies = [array.copy() for array in state[2:]]
    results = [step(sensor, state, images[1], 2000) for _ in range(2)]
    for a, b in zip(state[2:], copies, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in pairwise(result[1] for result in results):
        np.testing.assert_array_equal(a.t, b.t)


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="threshold_on, threshold_off and cutoff_hz must be > 0"):
        make_sensor(4, 4, 0, PixelConfig(threshold_on=0.0))
    with pytest.raises(ValueError, match="must be >= 0"):
        make_sensor(4, 4, 0, PixelConfig(leak_rate_hz=-1.0))
    sensor = make_sensor(4, 4, 0)
    state = start(sensor, np.ones((4, 4), np.float32), 100)
    with pytest.raises(ValueError, match="time_us must be > 100, got 100"):
        step(sensor, state, np.ones((4, 4), np.float32), 100)
    with pytest.raises(ValueError, match=r"luminance must have shape \(4, 4\), got \(5, 4\)"):
        step(sensor, state, np.ones((5, 4), np.float32), 200)
