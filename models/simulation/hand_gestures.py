"""Twenty-seven gestures of one hand, by the names of the 20BN Jester data set.

Names: J. Materzynska, G. Berger, I. Bax, R. Memisevic. The Jester dataset. ICCV workshops 2019.
The movements are this simulation's own. Several pairs are each other's way back, so that no single
picture tells them apart: swiping left and right, pushing away and pulling in, turning either way.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.simulation.hand import HandPose, Owner

__all__ = ["HAND_GESTURES", "perform_hand"]

HAND_GESTURES: tuple[str, ...] = (
    "Doing other things",
    "Drumming Fingers",
    "No gesture",
    "Pulling Hand In",
    "Pulling Two Fingers In",
    "Pushing Hand Away",
    "Pushing Two Fingers Away",
    "Rolling Hand Backward",
    "Rolling Hand Forward",
    "Shaking Hand",
    "Sliding Two Fingers Down",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
    "Sliding Two Fingers Up",
    "Stop Sign",
    "Swiping Down",
    "Swiping Left",
    "Swiping Right",
    "Swiping Up",
    "Thumb Down",
    "Thumb Up",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
    "Zooming In With Full Hand",
    "Zooming In With Two Fingers",
    "Zooming Out With Full Hand",
    "Zooming Out With Two Fingers",
)
"""Names of the classes in alphabetical order; the index is the class index, from 0."""

_FULL = (1.0, 1.0, 1.0, 1.0, 1.0)
_TWO = (0.0, 1.0, 1.0, 0.0, 0.0)
_THUMB = (1.0, 0.0, 0.0, 0.0, 0.0)
_PINCH = (1.0, 1.0, 0.0, 0.0, 0.0)


def perform_hand(
    gesture: int, owner: Owner, part: NDArray[np.float64], rng: np.random.Generator
) -> HandPose:
    """Perform a gesture between a rise from below the image and a fall back to there.

    Args:
        gesture: Class index, 0 to 26.
        owner: Whose hand.
        part: (n,) parts of the whole, 0 at the start and 1 at the end.
        rng: Draws what differs each time.

    Raises:
        ValueError: There is no such gesture.
    """
    if not 0 <= gesture < len(HAND_GESTURES):
        raise ValueError(f"gesture must be 0 to {len(HAND_GESTURES) - 1}, got {gesture}")
    begin, end = rng.uniform(0.12, 0.25), rng.uniform(0.75, 0.9)
    # Raised and lowered while the gesture stands at its first and its last moment.
    inside = np.clip((part - begin) / (end - begin), 0.0, 1.0)
    raised = _glide(np.clip(np.minimum(part / begin, (1 - part) / (1 - end)), 0.0, 1.0))
    act = _Act(owner, inside, rng)
    pose = act.pose(_FULL)
    _MOTIONS[gesture](act, pose)
    if HAND_GESTURES[gesture] == "No gesture":
        raised = raised * 0.0
    x = owner.rest[0] + raised * (pose.x + act.home[0] - owner.rest[0])
    y = owner.rest[1] + raised * (pose.y + act.home[1] - owner.rest[1])
    return pose._replace(x=x, y=y)


class _Act:
    """One performance; places in a pose are relative to ``home`` until it is complete."""

    def __init__(self, owner: Owner, part: NDArray[np.float64], rng: np.random.Generator) -> None:
        self.owner, self.part, self.rng = owner, part, rng
        self.home = np.array(owner.home) + rng.uniform(-0.06, 0.06, 2)
        self.amplitude = owner.amplitude * rng.uniform(0.85, 1.15)
        self.tempo = owner.tempo * rng.uniform(0.9, 1.1)
        self.tilt_rad = rng.normal(0.0, 0.12)

    def pose(self, fingers: tuple[float, ...]) -> HandPose:
        """Return a hand held still at home."""
        zero = 0.0 * self.part
        stretch = np.tile(np.array(fingers) * self.rng.uniform(0.9, 1.0), (len(zero), 1))
        return HandPose(zero.copy(), zero.copy(), zero + 1, zero + self.tilt_rad, stretch, zero + 1)

    def go(self) -> NDArray[np.float64]:
        """Return a way from 0 to 1, once, quick in the middle."""
        middle, width = self.rng.uniform(0.4, 0.6), self.rng.uniform(0.5, 0.9)
        return _glide(np.clip((self.part - middle) / width + 0.5, 0.0, 1.0))

    def turns(self, count: float) -> NDArray[np.float64]:
        """Return the phase in radians of a movement that is done about so many times."""
        phase = self.rng.uniform(0, 2 * math.pi)
        return 2 * math.pi * count * self.tempo * self.part + phase


_Motion = Callable[[_Act, HandPose], None]


def _still(fingers: tuple[float, ...], angle_rad: float = 0.0) -> _Motion:
    def move(act: _Act, pose: HandPose) -> None:
        pose.stretch[:] = fingers
        pose.angle_rad[:] += angle_rad * (1.0 if act.owner.left_handed else -1.0)
        pose.x[:] = 0.015 * np.sin(act.turns(1.5))

    return move


def _stroke(right: float, down: float, fingers: tuple[float, ...]) -> _Motion:
    def move(act: _Act, pose: HandPose) -> None:
        way = (act.go() - 0.5) * act.amplitude
        pose.x[:], pose.y[:] = 0.6 * right * way, 0.45 * down * way
        pose.stretch[:] = fingers
        # The hand leans into its way a little.
        pose.angle_rad[:] += 0.3 * right * way

    return move


def _approach(nearer: bool, fingers: tuple[float, ...]) -> _Motion:
    def move(act: _Act, pose: HandPose) -> None:
        way = act.go() if nearer else 1 - act.go()
        pose.size[:] = 0.7 + (0.25 + 0.55 * act.amplitude) * way
        pose.y[:] = 0.06 * (way - 0.5)
        pose.stretch[:] = fingers

    return move


def _roll(sense: float) -> _Motion:
    def move(act: _Act, pose: HandPose) -> None:
        angle = sense * act.turns(2.6)
        pose.y[:] = 0.11 * act.amplitude * np.sin(angle)
        pose.size[:] = 1 + 0.22 * act.amplitude * np.cos(angle)
        pose.stretch[:] = 0.6

    return move


def _turn(sense: float) -> _Motion:
    def move(act: _Act, pose: HandPose) -> None:
        pose.angle_rad[:] += sense * 1.9 * act.amplitude * (act.go() - 0.5)
        pose.stretch[:] = 0.8

    return move


def _zoom(opening: bool, full: bool) -> _Motion:
    def move(act: _Act, pose: HandPose) -> None:
        way = act.go() if opening else 1 - act.go()
        fingers = np.array(_FULL if full else _PINCH)
        pose.spread[:] = (0.25 + 1.35 * way) if full else (0.1 + 1.3 * way)
        pose.stretch[:] = fingers * (0.15 + 0.85 * way if full else 0.75 + 0.25 * way)[:, None]

    return move


def _drum(act: _Act, pose: HandPose) -> None:
    angle = act.turns(5.0)
    pose.stretch[:] = 0.6 + 0.4 * np.sin(angle[:, None] + 1.2 * np.arange(5))
    pose.y[:] = 0.05


def _shake(act: _Act, pose: HandPose) -> None:
    angle = act.turns(3.5)
    pose.x[:] = 0.07 * act.amplitude * np.sin(angle)
    pose.angle_rad[:] += 0.45 * act.amplitude * np.sin(angle)


def _wander(act: _Act, pose: HandPose) -> None:
    """Move about: a random sum of slow sines, the fingers anyhow."""
    for place in (pose.x, pose.y):
        for _ in range(3):
            place += act.rng.uniform(0.03, 0.12) * np.sin(act.turns(act.rng.uniform(0.4, 2.0)))
    pose.angle_rad[:] += act.rng.uniform(0.2, 0.8) * np.sin(act.turns(act.rng.uniform(0.5, 1.5)))
    pose.size[:] += 0.15 * np.sin(act.turns(1.0))
    pose.stretch[:] = act.rng.uniform(0, 1, 5)


def _glide(part: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(part**2 * (3 - 2 * part))


_QUARTER = 0.5 * math.pi
_MOTIONS: tuple[_Motion, ...] = (
    _wander,
    _drum,
    _still(_FULL),  # never raised
    _approach(False, _FULL),
    _approach(False, _TWO),
    _approach(True, _FULL),
    _approach(True, _TWO),
    _roll(-1.0),
    _roll(1.0),
    _shake,
    _stroke(0.0, 1.0, _TWO),
    _stroke(-1.0, 0.0, _TWO),
    _stroke(1.0, 0.0, _TWO),
    _stroke(0.0, -1.0, _TWO),
    _still(_FULL),
    _stroke(0.0, 1.0, _FULL),
    _stroke(-1.0, 0.0, _FULL),
    _stroke(1.0, 0.0, _FULL),
    _stroke(0.0, -1.0, _FULL),
    _still(_THUMB, -_QUARTER),
    _still(_THUMB, _QUARTER),
    _turn(1.0),
    _turn(-1.0),
    _zoom(True, True),
    _zoom(True, False),
    _zoom(False, True),
    _zoom(False, False),
)
