"""Kinematics of the eleven gestures: where hands and body are at given times.

Persons face the camera, so, as in the real data set, their right hand is on the image's left.
Clockwise and counter-clockwise are as the camera sees them.

A hand's place is given relative to its shoulder as (out, up, forward): out of the body to that
hand's own side, up, and towards the camera, in units of the person's arm length. So one function
serves both sides, and people of all sizes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GESTURES: tuple[str, ...] = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other",
)
"""Names of the classes, in the data set's order; the index is the class index, from 0."""

RIGHT, LEFT = 0, 1

_REST_HAND = (0.10, -0.96, 0.10)
_ELBOW_DOWN = (0.40, -1.0, -0.4)
_ELBOW_OUT = (1.0, -0.5, -0.1)


class Style(NamedTuple):
    """How a person moves, whatever the gesture."""

    tempo: float
    """Factor on every rate."""
    amplitude: float
    """Factor on every excursion."""
    sharpness: float
    """0 = sinusoidal movement; 3 = quick strokes with stops at their ends."""
    dominant: int
    """RIGHT or LEFT: the strumming hand, and the hand that leads."""
    reach: float
    """Shift of where the hands are held: positive is farther out and higher."""
    midline: float
    """Distance from a shoulder to the body's middle, in arm lengths."""


class Pose(NamedTuple):
    """Poses at n times. Arms: axis 1 is (RIGHT, LEFT), axis 2 is (out, up, forward)."""

    hand: NDArray[np.float64]
    """(n, 2, 3) in arm lengths from the shoulder."""
    elbow: NDArray[np.float64]
    """(n, 2, 3) direction in which the elbow points; any length."""
    shrug: NDArray[np.float64]
    """(n, 2) rise of each shoulder in arm lengths."""
    lean: NDArray[np.float64]
    """(n,) tilt of the trunk to the image's right, in radians."""
    nod: NDArray[np.float64]
    """(n, 2) shift of the head to the image's right and up, in head radii."""

    def mix(self, other: "Pose", weight: NDArray[np.float64]) -> "Pose":
        """Blend with another pose: 0 gives this, 1 the other; ``weight`` is (n,)."""
        blended = [
            a + weight.reshape(-1, *[1] * (a.ndim - 1)) * (b - a)
            for a, b in zip(self, other, strict=True)
        ]
        return Pose(*blended)


def rest(count: int) -> Pose:
    """Poses of someone standing with the arms hanging, ``count`` times."""
    return Pose(
        np.tile(_REST_HAND, (count, 2, 1)),
        np.tile(_ELBOW_DOWN, (count, 2, 1)),
        np.zeros((count, 2)),
        np.zeros(count),
        np.zeros((count, 2)),
    )


def perform(
    gesture: int, style: Style, time_s: NDArray[np.float64], rng: np.random.Generator
) -> Pose:
    """Perform a gesture.

    Args:
        gesture: Class index, 0 to 10.
        style: Of the person.
        time_s: (n,) seconds since the gesture's start.
        rng: Draws what differs each time someone repeats a gesture. Give an equally seeded one
            to compute other times of the same performance.

    Raises:
        ValueError: If there is no such gesture.
    """
    if not 0 <= gesture < len(GESTURES):
        raise ValueError(f"gesture must be 0 to {len(GESTURES) - 1}, got {gesture}")
    pose = rest(len(time_s))
    _MOTIONS[gesture](_Performance(style, time_s, rng), pose)
    return pose


class _Performance:
    """One performance: its own tempo, phase, size and drift around the person's style."""

    def __init__(self, style: Style, time_s: NDArray[np.float64], rng: np.random.Generator) -> None:
        self.style = style
        self.rng = rng
        self.time_s = time_s
        self.tempo = style.tempo * rng.uniform(0.92, 1.09)
        self.amplitude = style.amplitude * rng.uniform(0.92, 1.09)
        self.phase = rng.uniform(0, 2 * np.pi)
        wander_hz, wander_phase = rng.uniform(0.2, 0.5), rng.uniform(0, 2 * np.pi)
        self._wander = rng.uniform(0.0, 0.4) * np.sin(2 * np.pi * wander_hz * time_s + wander_phase)

    def angle(self, rate_hz: float) -> NDArray[np.float64]:
        """Phase in radians of a movement of this rate."""
        return 2 * np.pi * rate_hz * self.tempo * self.time_s + self.phase + self._wander

    def stroke(self, angle: NDArray[np.float64]) -> NDArray[np.float64]:
        """A sine, as sharp as the person moves; -1 to 1."""
        sharpness = self.style.sharpness + 1e-3
        return np.asarray(np.tanh(sharpness * np.sin(angle)) / np.tanh(sharpness))

    def near(self, value: float, spread: float) -> float:
        """A number that differs a little each time."""
        return value + spread * self.rng.uniform(-1.0, 1.0)


def _clap(act: _Performance, pose: Pose) -> None:
    gap = act.near(0.21, 0.08) * act.amplitude * (1 + act.stroke(act.angle(2.0)))
    height, forward = act.near(-0.12, 0.2) + act.style.reach, act.near(0.52, 0.12)
    for side in (RIGHT, LEFT):
        pose.hand[:, side] = np.stack(
            [gap + 0.03 - act.style.midline, height + 0.1 * gap, forward - 0.1 * gap], axis=1
        )
        pose.elbow[:, side] = _ELBOW_OUT


def _wave(side: int) -> Callable[[_Performance, Pose], None]:
    def move(act: _Performance, pose: Pose) -> None:
        swing = act.near(0.26, 0.08) * act.amplitude * act.stroke(act.angle(1.7))
        pose.hand[:, side, 0] = act.near(0.30, 0.15) + act.style.reach + swing
        pose.hand[:, side, 1] = act.near(0.42, 0.2) + act.style.reach - 0.6 * swing**2
        pose.hand[:, side, 2] = act.near(0.30, 0.08)
        pose.elbow[:, side] = (0.7, -1.0, 0.1)

    return move


def _circle(side: int, clockwise: bool) -> Callable[[_Performance, Pose], None]:
    # Out of the right shoulder is to the image's left, which mirrors the sense of rotation.
    sense = 1.0 if clockwise == (side == RIGHT) else -1.0

    def move(act: _Performance, pose: Pose) -> None:
        angle = sense * act.angle(1.05)
        radius = act.near(0.50, 0.12) * act.amplitude
        pose.hand[:, side, 0] = act.near(0.28, 0.15) + act.style.reach + radius * np.cos(angle)
        pose.hand[:, side, 1] = act.near(0.05, 0.15) + radius * np.sin(angle)
        pose.hand[:, side, 2] = act.near(0.60, 0.08) - 0.1 * np.cos(angle)
        pose.elbow[:, side] = _ELBOW_DOWN

    return move


def _roll(act: _Performance, pose: Pose) -> None:
    forwards = 1.0 if act.style.dominant == RIGHT else -1.0
    radius = act.near(0.16, 0.05) * act.amplitude
    height, forward = act.near(-0.22, 0.16) + act.style.reach, act.near(0.45, 0.05)
    for side in (RIGHT, LEFT):
        angle = act.angle(1.7) + np.pi * side
        pose.hand[:, side, 0] = act.near(0.02, 0.03) - act.style.midline
        pose.hand[:, side, 1] = height + radius * np.cos(angle)
        pose.hand[:, side, 2] = forward + forwards * radius * np.sin(angle)
        pose.elbow[:, side] = (1.0, -0.35, -0.1)


def _drums(act: _Performance, pose: Pose) -> None:
    height, forward = act.near(-0.26, 0.16), act.near(0.50, 0.10)
    apart = act.near(0.02, 0.12) + act.style.reach
    for side in (RIGHT, LEFT):
        angle = act.angle(2.1) + np.pi * side
        lift = act.near(0.21, 0.07) * act.amplitude * act.stroke(angle + 0.4 * np.sin(angle))
        # Now and then a hand goes out to another drum.
        tour = 0.12 * np.maximum(0, np.sin(0.3 * act.angle(2.1) + 2 * side))
        pose.hand[:, side, 0] = apart + tour
        pose.hand[:, side, 1] = height + lift
        pose.hand[:, side, 2] = forward - 0.15 * lift
        pose.elbow[:, side] = (0.55, -1.0, -0.3)
    pose.nod[:, 1] = 0.15 * np.sin(act.angle(1.05))


def _guitar(act: _Performance, pose: Pose) -> None:
    strum, neck = act.style.dominant, 1 - act.style.dominant
    stroke = act.near(0.18, 0.06) * act.amplitude * act.stroke(act.angle(2.4))
    pose.hand[:, strum, 0] = act.near(-0.28, 0.1) + 0.35 * stroke
    pose.hand[:, strum, 1] = act.near(-0.58, 0.1) + stroke
    pose.hand[:, strum, 2] = act.near(0.34, 0.05)
    slide = 0.10 * np.sin(act.angle(0.5))
    pose.hand[:, neck, 0] = act.near(0.45, 0.15) + slide
    pose.hand[:, neck, 1] = act.near(-0.08, 0.2) + 0.3 * slide
    pose.hand[:, neck, 2] = act.near(0.40, 0.05)
    pose.elbow[:, strum] = (1.0, -0.4, -0.4)
    pose.elbow[:, neck] = (0.6, -1.0, 0.0)
    pose.lean[:] = 0.04 * np.sin(act.angle(0.6))
    pose.nod[:, 1] = 0.25 * act.amplitude * np.sin(act.angle(1.2))


def _other(act: _Performance, pose: Pose) -> None:
    kinds = (_wander, _wander, _sway, _raise_both, _flap, _punch, _windmill)
    kinds[int(act.rng.integers(len(kinds)))](act, pose)


def _wander(act: _Performance, pose: Pose) -> None:
    """One hand or both roam: a random sum of slow sines for each coordinate."""
    centre = np.array([0.30, -0.15, 0.35])
    for side in ((RIGHT,), (LEFT,), (RIGHT, LEFT))[int(act.rng.integers(3))]:
        for axis in range(3):
            pose.hand[:, side, axis] = centre[axis] + act.near(0, 0.1)
            for _ in range(3):
                angle = act.angle(act.rng.uniform(0.3, 1.1)) + act.rng.uniform(0, 2 * np.pi)
                pose.hand[:, side, axis] += (
                    act.amplitude * act.rng.uniform(0.1, 0.3) * np.sin(angle)
                )


def _sway(act: _Performance, pose: Pose) -> None:
    """Lean from side to side, nodding and shrugging, with the arms left hanging."""
    angle = act.angle(0.8)
    pose.lean[:] = 0.26 * act.amplitude * np.sin(angle)
    pose.shrug[:] = 0.10 * act.amplitude * (1 - np.cos(2 * angle))[:, None]
    pose.nod[:, 0] = act.near(0.3, 0.2) * np.sin(2 * angle + act.phase)
    pose.nod[:, 1] = act.near(0.35, 0.2) * np.sin(2 * angle)


def _raise_both(act: _Performance, pose: Pose) -> None:
    """Raise and lower both arms together at the sides, as in a jumping jack."""
    rise = 0.5 * np.pi * act.near(0.85, 0.1) * (1 - act.stroke(act.angle(0.7)))
    for side in (RIGHT, LEFT):
        pose.hand[:, side] = 0.93 * np.stack([np.sin(rise), -np.cos(rise), 0.15 + 0 * rise], axis=1)
        pose.elbow[:, side] = _ELBOW_DOWN


def _flap(act: _Performance, pose: Pose) -> None:
    """Elbows out, hands at the chest, both forearms swing up and down together."""
    lift = 0.45 * act.amplitude * act.stroke(act.angle(1.2))
    for side in (RIGHT, LEFT):
        pose.hand[:, side] = np.stack([0.62 - 0.3 * lift**2, 0.1 + lift, 0.2 + 0 * lift], axis=1)
        pose.elbow[:, side] = _ELBOW_OUT


def _punch(act: _Performance, pose: Pose) -> None:
    """Punch straight up with both fists in turn."""
    for side in (RIGHT, LEFT):
        thrust = 0.5 + 0.5 * act.stroke(act.angle(1.3) + np.pi * side)
        pose.hand[:, side] = np.stack(
            [0.25 - 0.1 * thrust, 0.05 + 0.8 * act.amplitude * thrust, 0.3 - 0.1 * thrust], axis=1
        )
        pose.elbow[:, side] = _ELBOW_DOWN


def _windmill(act: _Performance, pose: Pose) -> None:
    """Both arms circle at once, mirrored."""
    angle = act.angle(0.9)
    for side in (RIGHT, LEFT):
        pose.hand[:, side, 0] = 0.35 + 0.45 * act.amplitude * np.cos(angle)
        pose.hand[:, side, 1] = 0.05 + 0.45 * act.amplitude * np.sin(angle)
        pose.hand[:, side, 2] = 0.5


_MOTIONS: tuple[Callable[[_Performance, Pose], None], ...] = (
    _clap,
    _wave(RIGHT),
    _wave(LEFT),
    _circle(RIGHT, clockwise=True),
    _circle(RIGHT, clockwise=False),
    _circle(LEFT, clockwise=True),
    _circle(LEFT, clockwise=False),
    _roll,
    _drums,
    _guitar,
    _other,
)
