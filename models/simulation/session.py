"""A simulated recording session: one person performs gestures before a simulated DVS.

Everything is a function of (person, seed, options): the person's looks and style depend on
``person`` alone, the room, the order and each performance on both.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation import dvs_pixel
from models.simulation.dvs_pixel import Events, PixelConfig
from models.simulation.figure import Person, make_person, place
from models.simulation.gestures import GESTURES, Pose, perform, rest
from models.simulation.render import LIGHTING, Scene, make_scene, render
from models.simulation.sampling import concatenate

__all__ = [
    "Events",
    "Label",
    "Session",
    "SessionPlan",
    "plan_session",
    "shapes",
    "simulate_session",
    "stream_events",
]


class Label(NamedTuple):
    """A gesture's class and its time range [start_us, end_us)."""

    class_index: int
    start_us: int
    end_us: int


class Session(NamedTuple):
    """A simulated recording: event columns of equal length, and what is in them."""

    t: NDArray[np.int64]
    x: NDArray[np.int16]
    y: NDArray[np.int16]
    p: NDArray[np.int8]
    labels: tuple[Label, ...]
    width: int
    height: int
    description: str


class SessionPlan(NamedTuple):
    """All that is decided before the first event."""

    person: Person
    scene: Scene
    labels: tuple[Label, ...]
    duration_us: int
    pause_us: int
    frame_us: int
    seed: tuple[int, int]
    sensor: dvs_pixel.Sensor
    description: str


def plan_session(
    person: int,
    seed: int,
    gestures: Sequence[int] | None = None,
    *,
    shuffle: bool = False,
    seconds_per_gesture: float = 2.0,
    pause_s: float = 0.3,
    lighting: str = "lab",
    width: int = 128,
    height: int = 128,
    frame_rate_hz: float = 500.0,
    pixel: PixelConfig | None = None,
) -> SessionPlan:
    """Decide on a session without simulating it; the arguments are `simulate_session`'s."""
    chosen = list(range(len(GESTURES))) if gestures is None else list(gestures)
    if unknown := [g for g in chosen if not 0 <= g < len(GESTURES)]:
        raise ValueError(f"gestures must be 0 to {len(GESTURES) - 1}, got {unknown[0]}")
    if lighting not in LIGHTING:
        raise ValueError(f"lighting must be one of {', '.join(LIGHTING)}, got {lighting!r}")
    if min(seconds_per_gesture, pause_s) <= 0 or frame_rate_hz <= 0:
        raise ValueError("seconds_per_gesture, pause_s and frame_rate_hz must be > 0")
    if min(person, seed) < 0:
        raise ValueError("person and seed must be >= 0")
    rng = np.random.default_rng([person, seed, 0x5E5])
    if shuffle:
        rng.shuffle(chosen)
    who = make_person(person)
    scene = make_scene(width, height, LIGHTING[lighting], _wall_reflectance(who, rng), rng)
    gesture_us, pause_us = round(1e6 * seconds_per_gesture), round(1e6 * pause_s)
    starts = [pause_us + i * (gesture_us + pause_us) for i in range(len(chosen))]
    labels = tuple(Label(g, t, t + gesture_us) for g, t in zip(chosen, starts, strict=True))
    description = (
        f"simulated DVS gestures (not a real recording): person {person}, seed {seed}, "
        f"lighting {lighting}, {width}x{height}, {frame_rate_hz:g} frames/s rendered"
    )
    return SessionPlan(
        who,
        scene,
        labels,
        pause_us + len(chosen) * (gesture_us + pause_us),
        pause_us,
        max(1, round(1e6 / frame_rate_hz)),
        (person, seed),
        dvs_pixel.make_sensor(width, height, int(rng.integers(2**31)), pixel),
        description,
    )


def simulate_session(
    person: int,
    seed: int,
    gestures: Sequence[int] | None = None,
    *,
    shuffle: bool = False,
    seconds_per_gesture: float = 2.0,
    pause_s: float = 0.3,
    lighting: str = "lab",
    width: int = 128,
    height: int = 128,
    frame_rate_hz: float = 500.0,
    pixel: PixelConfig | None = None,
) -> Session:
    """Simulate a whole session.

    Args:
        person: Who: looks, build and style of movement.
        seed: What differs between two sessions of that person.
        gestures: Class indices (see :data:`models.simulation.GESTURES`); all eleven when None.
        shuffle: Perform them in an order drawn from the seed.
        seconds_per_gesture: Length of each labelled range.
        pause_s: Unlabelled time before, between and after gestures, in which the person moves
            smoothly to a rest pose and on to the next gesture.
        lighting: One of :data:`models.simulation.render.LIGHTING`.
        width: Columns of the sensor in pixels.
        height: Rows of the sensor in pixels.
        frame_rate_hz: Frames rendered a second; events between frames are interpolated.
        pixel: Properties of the sensor's pixels.

    Returns:
        The session; event times start near 0.

    Raises:
        ValueError: If an argument is out of range.
    """
    plan = plan_session(
        person,
        seed,
        gestures,
        shuffle=shuffle,
        seconds_per_gesture=seconds_per_gesture,
        pause_s=pause_s,
        lighting=lighting,
        width=width,
        height=height,
        frame_rate_hz=frame_rate_hz,
        pixel=pixel,
    )
    events = concatenate(list(stream_events(plan)))
    return Session(*events, plan.labels, width, height, plan.description)


def stream_events(plan: SessionPlan, chunk_s: float = 0.5) -> Iterator[Events]:
    """Simulate a session chunk by chunk, in bounded memory.

    Args:
        plan: The session.
        chunk_s: Length of a chunk; it does not change the events.

    Yields:
        Events in order of time; a chunk may be empty.
    """
    frame_times_us = np.arange(0, plan.duration_us + 1, plan.frame_us)
    chunk = max(1, round(1e6 * chunk_s / plan.frame_us))
    state: dvs_pixel.PixelState | None = None
    for first in range(0, len(frame_times_us), chunk):
        times_us = frame_times_us[first : first + chunk]
        collected: list[Events] = []
        for time_us, image in zip(times_us.tolist(), _frames(plan, times_us), strict=True):
            if state is None:
                state = dvs_pixel.start(plan.sensor, image, time_us)
                continue
            state, events = dvs_pixel.step(plan.sensor, state, image, time_us)
            collected.append(events)
        yield concatenate(collected)


def shapes(plan: SessionPlan, times_us: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the person's shape at given times, as `models.simulation.figure.place` does."""
    height, width = plan.scene.background.shape
    time_s = times_us.astype(np.float64) * 1e-6
    return place(plan.person, _poses(plan, times_us), time_s, width, height)


def _frames(plan: SessionPlan, times_us: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    for capsules, time_us in zip(shapes(plan, times_us), times_us.tolist(), strict=True):
        yield render(plan.scene, capsules, plan.person.texture, time_us * 1e-6)


def _poses(plan: SessionPlan, times_us: NDArray[np.int64]) -> Pose:
    """Poses of the session: each gesture fades in from rest and out to rest in half a pause."""
    pose = rest(len(times_us))
    for index, label in enumerate(plan.labels):
        fade_in = (times_us - label.start_us) / (0.5 * plan.pause_us) + 1
        fade_out = (label.end_us - times_us) / (0.5 * plan.pause_us) + 1
        weight = np.clip(np.minimum(fade_in, fade_out), 0.0, 1.0)
        if weight.any():
            rng = np.random.default_rng([*plan.seed, index, label.class_index])
            seconds = (times_us - label.start_us).astype(np.float64) * 1e-6
            gesture = perform(label.class_index, plan.person.style, seconds, rng)
            pose = pose.mix(gesture, weight**2 * (3 - 2 * weight))
    return pose


def _wall_reflectance(person: Person, rng: np.random.Generator) -> float:
    """A wall in front of which hands and sleeves can be seen; darker than they are, mostly."""
    limbs = np.array([person.skin, person.sleeve])
    darker = limbs.min() > 0.12 and rng.random() < 0.85
    while True:
        wall = float(np.exp(rng.uniform(np.log(0.06), np.log(0.8))))
        contrasts = np.log(limbs / wall)
        if np.abs(contrasts).min() > 0.5 and (contrasts.min() > 0 or not darker):
            return wall
