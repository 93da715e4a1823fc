"""A person: looks, build and style drawn from a seed, and their shape as capsules at given times.

The figure is a chain of tapered capsules (trunk, neck, head, hair, and for each arm an upper arm,
a forearm and a hand; two thighs). Arms have two joints; the elbow follows from the hand's place.
World coordinates are metres: x to the image's right, y up, z towards the camera.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.simulation.gestures import LEFT, RIGHT, Pose, Style
from models.simulation.texture import weave

CAPSULE_COLUMNS: tuple[str, ...] = (
    "x0_px",
    "y0_px",
    "x1_px",
    "y1_px",
    "radius0_px",
    "radius1_px",
    "reflectance",
    "texture_depth",
    "texture_u",
    "texture_v",
    "texture_scale",
)
"""What the last axis of a capsule array holds; x to the right and y down, texture in texels."""

_TEXELS_PER_M = 90.0
_FOCAL_LENGTH = 1.35  # of the image height: a lens of about 41 degrees


class Person(NamedTuple):
    """Build in metres, reflectances in 0 to 1, and how the person stands and moves."""

    shoulder_width_m: float
    trunk_m: float
    upper_arm_m: float
    forearm_m: float
    hand_m: float
    arm_radius_m: float
    trunk_radius_m: float
    head_radius_m: float
    skin: float
    shirt: float
    sleeve: float
    trousers: float
    hair: float
    texture: NDArray[np.float32]
    """(64, 64), about -1 to 1: the weave of the clothes."""
    texture_depth: float
    distance_m: float
    offset_x_m: float
    offset_y_m: float
    tilt_rad: float
    turn_rad: float
    sway: NDArray[np.float64]
    """(4, 3) involuntary sway: amplitude in m, rate in Hz, phase in rad; x, x, y, z."""
    style: Style

    @property
    def arm_m(self) -> float:
        """Length from the shoulder to the middle of the hand."""
        return self.upper_arm_m + self.forearm_m + 0.5 * self.hand_m


def make_person(seed: int) -> Person:
    """Draw a person."""
    rng = np.random.default_rng([seed, 0xF16])
    size = rng.uniform(0.88, 1.12)
    skin = rng.uniform(0.22, 0.70)
    shirt = float(np.exp(rng.uniform(np.log(0.05), np.log(0.85))))
    shoulder_width_m, upper_arm_m, forearm_m, hand_m = size * rng.uniform(
        (0.32, 0.27, 0.24, 0.09), (0.40, 0.32, 0.29, 0.12)
    )
    style = Style(
        tempo=float(np.exp(rng.uniform(np.log(0.65), np.log(1.45)))),
        amplitude=rng.uniform(0.65, 1.20),
        sharpness=rng.uniform(0.0, 2.2),
        dominant=RIGHT if rng.random() < 0.8 else LEFT,
        reach=rng.uniform(-0.12, 0.14),
        midline=0.5 * shoulder_width_m / (upper_arm_m + forearm_m + 0.5 * hand_m),
    )
    return Person(
        shoulder_width_m=shoulder_width_m,
        trunk_m=size * rng.uniform(0.46, 0.55),
        upper_arm_m=upper_arm_m,
        forearm_m=forearm_m,
        hand_m=hand_m,
        arm_radius_m=size * rng.uniform(0.046, 0.066),
        trunk_radius_m=size * rng.uniform(0.14, 0.19),
        head_radius_m=size * rng.uniform(0.085, 0.105),
        skin=skin,
        shirt=shirt,
        sleeve=skin if rng.random() < 0.5 else shirt,
        trousers=rng.uniform(0.05, 0.5),
        hair=rng.uniform(0.03, 0.35),
        texture=weave(rng),
        texture_depth=rng.uniform(0.05, 0.45),
        distance_m=rng.uniform(1.9, 2.5),
        offset_x_m=rng.uniform(-0.15, 0.15),
        offset_y_m=rng.uniform(-0.12, 0.10),
        tilt_rad=rng.normal(0.0, 0.05),
        turn_rad=rng.normal(0.0, 0.18),
        sway=np.stack(
            [
                rng.uniform(0.002, 0.010, 4),
                rng.uniform(0.15, 0.7, 4),
                rng.uniform(0, 2 * np.pi, 4),
            ],
            axis=1,
        ),
        style=style,
    )


def place(
    person: Person, pose: Pose, time_s: NDArray[np.float64], width_px: int, height_px: int
) -> NDArray[np.float32]:
    """Shape of a person in the image.

    Args:
        person: Who.
        pose: n poses.
        time_s: (n,) seconds since the session's start, for the sway.
        width_px: Of the image.
        height_px: Of the image.

    Returns:
        (n, capsules, :data:`CAPSULE_COLUMNS`) float32, in the order of painting, far to near.
    """
    count = len(time_s)
    swing = person.sway[:, :1] * np.sin(
        2 * np.pi * person.sway[:, 1:2] * time_s + person.sway[:, 2:]
    )
    hips = np.zeros((count, 3))
    hips[:, 0] = person.offset_x_m + swing[0]
    hips[:, 1] = person.offset_y_m - 0.34
    tilt = person.tilt_rad + pose.lean + 2.0 * swing[1]
    up = np.stack([np.sin(tilt), np.cos(tilt), 0 * tilt], axis=1)
    turn = person.turn_rad + 0 * tilt
    across = np.stack([np.cos(tilt) * np.cos(turn), -np.sin(tilt), -np.sin(turn)], axis=1)
    ahead = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], axis=1)
    chest = hips + up * (person.trunk_m + swing[2])[:, None]
    chest[:, 2] += swing[3]

    def at(
        base: NDArray[np.float64],
        right: float | NDArray[np.float64],
        above: float | NDArray[np.float64],
    ) -> NDArray[np.float64]:
        return np.asarray(
            base + across * np.reshape(right, (-1, 1)) + up * np.reshape(above, (-1, 1))
        )

    parts: list[NDArray[np.float32]] = []
    camera = _Camera(person.distance_m, width_px, height_px)

    def part(
        a: NDArray[np.float64],
        b: NDArray[np.float64],
        radii_m: tuple[float, float],
        reflectance: float,
        cloth: bool,
    ) -> NDArray[np.float32]:
        depth = person.texture_depth if cloth else 0.03
        return camera.capsule(a, b, radii_m, reflectance, depth, 17.0 * len(parts))

    head_m, girth_m = person.head_radius_m, person.trunk_radius_m
    for sign in (-1, 1):
        hip = at(hips, sign * 0.5 * girth_m, 0.0)
        foot = at(hips, sign * 0.6 * girth_m, -0.7)
        parts.append(part(hip, foot, (0.6 * girth_m, 0.45 * girth_m), person.trousers, True))
    shoulders = []
    for side, sign in ((RIGHT, -1), (LEFT, 1)):
        rise = person.arm_m * pose.shrug[:, side]
        shoulders.append(at(chest, sign * 0.5 * person.shoulder_width_m, rise))
    for sign in (-1, 1):
        waist = at(hips, sign * 0.30 * girth_m, 0.2 * girth_m)
        breast = at(chest, sign * 0.36 * girth_m, -0.55 * girth_m)
        parts.append(part(waist, breast, (0.65 * girth_m, 0.7 * girth_m), person.shirt, True))
    yoke = (1.15 * person.arm_radius_m,) * 2
    parts.append(part(shoulders[RIGHT], shoulders[LEFT], yoke, person.shirt, True))
    throat, chin = at(chest, 0.0, -0.02), at(chest, 0.0, 0.08)
    parts.append(part(throat, chin, (0.55 * head_m, 0.5 * head_m), 0.85 * person.skin, False))
    shift_x, shift_y = (head_m * pose.nod).T
    jaw = at(chest, shift_x, 0.10 + 0.7 * head_m + shift_y)
    brow = at(chest, 1.3 * shift_x, 0.10 + 1.25 * head_m + 1.3 * shift_y)
    crown = at(brow, 0.0, 0.35 * head_m)
    parts.append(part(crown, crown, (0.9 * head_m,) * 2, person.hair, False))
    parts.append(part(jaw, brow, (0.75 * head_m, 0.85 * head_m), person.skin, False))

    arms, nearness = [], []
    for side, sign in ((RIGHT, -1), (LEFT, 1)):
        elbow, wrist, finger = _arm(person, pose, side, shoulders[side], (sign * across, up, ahead))
        radius = person.arm_radius_m
        short = person.sleeve != person.shirt
        arms.append(
            [
                part(shoulders[side], elbow, (1.1 * radius, 0.9 * radius), person.shirt, True),
                part(elbow, wrist, (0.85 * radius, 0.65 * radius), person.sleeve, not short),
                part(wrist, finger, (0.75 * radius, 0.85 * radius), person.skin, False),
            ]
        )
        nearness.append(wrist[:, 2])
    # The nearer arm is painted last; which one that is changes while forearms roll.
    right_first = (nearness[RIGHT] <= nearness[LEFT])[:, None]
    for first, second in ((RIGHT, LEFT), (LEFT, RIGHT)):
        for a, b in zip(arms[first], arms[second], strict=True):
            parts.append(np.where(right_first, a, b))
    return np.stack(parts, axis=1)


def _arm(
    person: Person,
    pose: Pose,
    side: int,
    shoulder: NDArray[np.float64],
    axes: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Elbow, wrist and fingertips (n, 3) of an arm whose hand goes where the pose wants it.

    ``axes`` are the world's directions (n, 3) of out, up and forward for this arm.
    """
    out, up, ahead = axes

    def world(local: NDArray[np.float64]) -> NDArray[np.float64]:
        return local[:, :1] * out + local[:, 1:2] * up + local[:, 2:] * ahead

    upper, lower = person.upper_arm_m, person.forearm_m + 0.5 * person.hand_m
    reach = person.arm_m * world(pose.hand[:, side])
    length = np.linalg.norm(reach, axis=1, keepdims=True)
    direction = reach / np.maximum(length, 1e-6)
    length = np.clip(length, abs(upper - lower) + 0.02, 0.995 * (upper + lower))
    hint = world(pose.elbow[:, side])
    bend = hint - np.sum(hint * direction, axis=1, keepdims=True) * direction
    bend /= np.maximum(np.linalg.norm(bend, axis=1, keepdims=True), 1e-6)
    along = (upper**2 - lower**2 + length**2) / (2 * length)
    elbow = shoulder + along * direction + np.sqrt(np.maximum(upper**2 - along**2, 0)) * bend
    forearm = (shoulder + length * direction - elbow) / lower
    wrist = elbow + person.forearm_m * forearm
    return elbow, wrist, wrist + person.hand_m * forearm


class _Camera:
    """A pinhole camera that looks at the world's origin from a distance."""

    def __init__(self, distance_m: float, width_px: int, height_px: int) -> None:
        self.distance_m = distance_m
        self.focal_px = _FOCAL_LENGTH * height_px
        self.centre_px = np.array([0.5 * width_px - 0.5, 0.5 * height_px - 0.5])

    def capsule(
        self,
        a: NDArray[np.float64],
        b: NDArray[np.float64],
        radii_m: tuple[float, float],
        reflectance: float,
        texture_depth: float,
        texture_offset: float,
    ) -> NDArray[np.float32]:
        """Columns (n, :data:`CAPSULE_COLUMNS`) of a capsule from ``a`` to ``b``, (n, 3) metres."""
        columns = np.empty((len(a), len(CAPSULE_COLUMNS)), np.float32)
        for end, (point, radius_m) in enumerate(zip((a, b), radii_m, strict=True)):
            scale = self.focal_px / (self.distance_m - point[:, 2])
            columns[:, 2 * end] = self.centre_px[0] + scale * point[:, 0]
            columns[:, 2 * end + 1] = self.centre_px[1] - scale * point[:, 1]
            columns[:, 4 + end] = scale * radius_m
        columns[:, 6] = reflectance
        columns[:, 7] = texture_depth
        columns[:, 8] = texture_offset
        columns[:, 9] = 0.7 * texture_offset
        columns[:, 10] = _TEXELS_PER_M * self.distance_m / self.focal_px
        return columns
