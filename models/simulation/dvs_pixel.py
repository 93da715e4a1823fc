"""A model of the dynamic vision sensor pixel: luminance frames in, events out.

What is modelled, per pixel:

* log intensity, and an event each time it has moved by a threshold since the last event;
  the crossing time is interpolated linearly between two frames [2];
* ON and OFF thresholds that differ between pixels (Gaussian mismatch) [1, 3];
* a first-order low pass whose bandwidth is proportional to the intensity [1, 3];
* a refractory time: after an event the differencing amplifier is held in reset, and what the
  light does meanwhile is lost [1];
* leak events (the reset switch leaks, which reads as a slow rise: ON events only) [3, 4];
* shot noise (Poisson, up to four times denser in the dark) and hot pixels [3].

[1] P. Lichtsteiner, C. Posch, T. Delbruck. A 128x128 120 dB 15 us latency asynchronous temporal
    contrast vision sensor. IEEE JSSC 43(2), 2008.
[2] H. Rebecq, D. Gehrig, D. Scaramuzza. ESIM: an open event camera simulator. CoRL 2018.
[3] Y. Hu, S.-C. Liu, T. Delbruck. v2e: from video frames to realistic DVS events. CVPRW 2021.
[4] Y. Nozaki, T. Delbruck. Temperature and parasitic photocurrent effects in dynamic vision
    sensors. IEEE T-ED 64(8), 2017.

Random numbers are a hash of (seed, frame number, pixel, draw), so a result depends on nothing but
the seed and the frames: neither on the order of calls nor on other sensors.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation._jit import kernel
from models.simulation._random import frame_key, uniform

DARK_LUMINANCE = 0.05
"""Luminance added by the dark current: keeps the logarithm and the bandwidth finite."""


class Events(NamedTuple):
    """Events as columns of equal length, sorted by time."""

    t: NDArray[np.int64]
    """Time in µs."""
    x: NDArray[np.int16]
    """Column in pixels, 0 at the left."""
    y: NDArray[np.int16]
    """Row in pixels, 0 at the top."""
    p: NDArray[np.int8]
    """Polarity: 1 = ON (brighter), 0 = OFF."""


class PixelConfig(NamedTuple):
    """Nominal properties of a sensor's pixels."""

    threshold_on: float = 0.18
    """Rise of the natural logarithm of the luminance that makes an ON event."""
    threshold_off: float = 0.18
    """Fall that makes an OFF event (given as a positive number)."""
    threshold_sigma: float = 0.025
    """Standard deviation of both thresholds over the pixels."""
    cutoff_hz: float = 200.0
    """Bandwidth of the photoreceptor at luminance 1; it falls with the luminance. May be inf."""
    refractory_us: int = 500
    """Time after an event in which the pixel is blind."""
    leak_rate_hz: float = 0.05
    """Leak events of each pixel without any change of light."""
    shot_noise_rate_hz: float = 0.06
    """Shot noise events of each pixel in the dark; a quarter of it at luminance 1."""
    hot_pixel_fraction: float = 0.0003
    """Share of pixels that fire noise events all the time."""
    hot_pixel_rate_hz: float = 25.0
    """Mean rate of a hot pixel."""


class Sensor(NamedTuple):
    """One sensor: what manufacture gave its pixels. Arrays are (height, width) float32."""

    threshold_on: NDArray[np.float32]
    threshold_off: NDArray[np.float32]
    hot_rate_hz: NDArray[np.float32]
    config: PixelConfig
    seed: int


class PixelState(NamedTuple):
    """What the pixels remember between two frames. Arrays are (height, width)."""

    time_us: int
    """Time of the last frame."""
    frame: int
    """Number of frames since the start: the counter of the random numbers."""
    log_luminance: NDArray[np.float32]
    """Photoreceptor output: low-passed natural logarithm of the luminance."""
    difference: NDArray[np.float32]
    """Change since the last event, as the differencing amplifier holds it."""
    release_us: NDArray[np.int64]
    """Time at which the refractory time ends."""


def make_sensor(width: int, height: int, seed: int, config: PixelConfig | None = None) -> Sensor:
    """Draw the pixels of one sensor.

    Args:
        width: Columns in pixels.
        height: Rows in pixels.
        seed: Of the mismatch and of all noise.
        config: Nominal pixel; the default when None.

    Raises:
        ValueError: If a threshold is not positive, or a rate or time is negative.
    """
    config = config or PixelConfig()
    if min(config.threshold_on, config.threshold_off, config.cutoff_hz) <= 0:
        raise ValueError("threshold_on, threshold_off and cutoff_hz must be > 0")
    if min(config) < 0:
        raise ValueError("threshold_sigma, rates, fraction and time must be >= 0")
    rng = np.random.default_rng([seed, 1])
    shape = (height, width)

    def thresholds(nominal: float) -> NDArray[np.float32]:
        drawn = nominal + config.threshold_sigma * rng.standard_normal(shape)
        # A pixel far out in the Gaussian's tail would fire without end.
        return np.maximum(drawn, 0.2 * nominal).astype(np.float32)

    hot = rng.random(shape) < config.hot_pixel_fraction
    hot_rate_hz = np.where(hot, rng.exponential(config.hot_pixel_rate_hz, shape), 0.0)
    on, off = thresholds(config.threshold_on), thresholds(config.threshold_off)
    return Sensor(on, off, hot_rate_hz.astype(np.float32), config, seed)


def start(sensor: Sensor, luminance: NDArray[np.float32], time_us: int = 0) -> PixelState:
    """State of a sensor that has looked at a still image for long.

    Args:
        sensor: The sensor.
        luminance: (height, width) float32, linear, 1 = bright.
        time_us: Time of that image.
    """
    shape = sensor.threshold_on.shape
    difference = np.zeros(shape, np.float32)
    if sensor.config.leak_rate_hz > 0:
        # A leaking pixel spends equal time at every level below its threshold.
        phase = np.random.default_rng([sensor.seed, 2]).random(shape)
        difference = (phase * sensor.threshold_on).astype(np.float32)
    log_luminance = np.log(luminance + np.float32(DARK_LUMINANCE)).astype(np.float32)
    return PixelState(time_us, 0, log_luminance, difference, np.full(shape, time_us, np.int64))


def step(
    sensor: Sensor, state: PixelState, luminance: NDArray[np.float32], time_us: int
) -> tuple[PixelState, Events]:
    """Advance to the next frame; the luminance moves linearly (in log) from the last one to it.

    Args:
        sensor: The sensor.
        state: As :func:`start` or the last :func:`step` left it; not written to.
        luminance: (height, width) float32, linear, 1 = bright.
        time_us: Time of this frame, after the last one.

    Returns:
        The new state, and the events in (last frame, this frame], sorted by time.

    Raises:
        ValueError: If time does not advance or the image has another size than the sensor.
    """
    if time_us <= state.time_us:
        raise ValueError(f"time_us must be > {state.time_us}, got {time_us}")
    if luminance.shape != sensor.threshold_on.shape:
        raise ValueError(
            f"luminance must have shape {sensor.threshold_on.shape}, got {luminance.shape}"
        )
    config = sensor.config
    log_luminance = np.empty_like(state.log_luminance)
    difference = np.empty_like(state.difference)
    release_us = np.empty_like(state.release_us)
    times_us, codes = _advance(
        np.ascontiguousarray(luminance, np.float32),
        state.log_luminance,
        state.difference,
        state.release_us,
        log_luminance,
        difference,
        release_us,
        sensor.threshold_on,
        sensor.threshold_off,
        sensor.hot_rate_hz,
        state.time_us,
        time_us,
        1e6 / (2 * math.pi * config.cutoff_hz),
        config.refractory_us,
        config.leak_rate_hz,
        config.shot_noise_rate_hz,
        np.uint64(frame_key(sensor.seed, state.frame)),
    )
    order = np.argsort(times_us, kind="stable")
    y, x = np.divmod(codes[order] >> 1, luminance.shape[1])
    p = (codes[order] & 1).astype(np.int8)
    events = Events(times_us[order], x.astype(np.int16), y.astype(np.int16), p)
    return PixelState(time_us, state.frame + 1, log_luminance, difference, release_us), events


@kernel
def _advance(
    luminance: NDArray[np.float32],
    old_log: NDArray[np.float32],
    old_difference: NDArray[np.float32],
    old_release_us: NDArray[np.int64],
    new_log: NDArray[np.float32],
    new_difference: NDArray[np.float32],
    new_release_us: NDArray[np.int64],
    threshold_on: NDArray[np.float32],
    threshold_off: NDArray[np.float32],
    hot_rate_hz: NDArray[np.float32],
    start_us: int,
    end_us: int,
    time_constant_us: float,
    refractory_us: int,
    leak_rate_hz: float,
    shot_noise_rate_hz: float,
    key: np.uint64,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Fill the new_ arrays; return times, and codes 2 * (y * width + x) + p, pixel by pixel."""
    height, width = luminance.shape
    step_us = float(end_us - start_us)
    capacity = 1024
    times = np.empty(capacity, np.int64)
    codes = np.empty(capacity, np.int64)
    count = 0
    dark = np.float32(DARK_LUMINANCE)
    for y in range(height):
        for x in range(width):
            light = luminance[y, x] + dark
            # Backward Euler of tau dL/dt = log(light) - L, stable for every step.
            gain = step_us * light / (step_us * light + time_constant_us)
            before = old_log[y, x]
            after = np.float32(before + gain * (math.log(light) - before))
            new_log[y, x] = after
            on = threshold_on[y, x]
            off = threshold_off[y, x]
            slope = (after - before) / step_us + leak_rate_hz * on * 1e-6
            noise_rate = 1e-6 * (
                shot_noise_rate_hz * (1.0 - 0.75 * min(luminance[y, x], 1.0)) + hot_rate_hz[y, x]
            )

            # Everything below counts time from the last frame.
            time = 0.0
            difference = old_difference[y, x]
            release = old_release_us[y, x]
            new_release_us[y, x] = release
            if release > start_us:
                time = float(release - start_us)
                difference = np.float32(0.0)
            draw = 0
            noise_at = math.inf
            if noise_rate > 0.0:
                sample = uniform(key, y * width + x, 0)
                # 1 - exp(-a) < a: most pixels need no logarithm to know that nothing happens.
                if sample < noise_rate * step_us:
                    noise_at = time - math.log(1.0 - sample) / noise_rate
            final = difference + slope * (step_us - time)
            if -off < final < on and noise_at > step_us and time == 0.0:
                new_difference[y, x] = final  # by far the most frequent case, made quick
                continue
            while time < step_us:
                signal_at = math.inf
                if slope > 0.0:
                    signal_at = time + max(on - difference, 0.0) / slope
                elif slope < 0.0:
                    signal_at = time + max(off + difference, 0.0) / -slope
                event_at = min(signal_at, noise_at)
                if event_at > step_us:
                    difference = np.float32(difference + slope * (step_us - time))
                    break
                stamp = start_us + max(math.ceil(event_at), 1)
                rising = slope > 0.0
                if noise_at <= signal_at:
                    rising = uniform(key, y * width + x, draw + 1) < 0.5
                if count == capacity:
                    capacity *= 2
                    times = np.append(times, times)
                    codes = np.append(codes, codes)
                times[count] = stamp
                codes[count] = 2 * (y * width + x) + (1 if rising else 0)
                count += 1
                difference = np.float32(0.0)
                # The refractory time runs from the stamp, so that stamps keep it exactly.
                time = event_at
                if refractory_us > 0:
                    release = stamp + refractory_us
                    time = float(release - start_us)
                if noise_at <= signal_at or noise_at < time:
                    draw += 2
                    sample = uniform(key, y * width + x, draw)
                    noise_at = time - math.log(1.0 - sample) / noise_rate
            new_difference[y, x] = difference
            new_release_us[y, x] = release
    return times[:count], codes[:count]
