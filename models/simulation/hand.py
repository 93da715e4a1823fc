"""A hand before a web camera, with its owner behind it, as capsules in the plane of the image.

Lengths are in heights of the image, x to the right and y down from the image's middle.
"""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BODY_PARTS", "FINGERS", "Backdrop", "HandPose", "Owner", "make_owner", "place_hand"]

FINGERS = ("thumb", "index", "middle", "ring", "little")

Backdrop: TypeAlias = Literal["room", "curtain"]
"""The owner sits in a room, or reaches a bright hand through a dark curtain."""
BODY_PARTS = 5
"""The first capsules of `place_hand`: shoulders, chest, neck, hair and face."""

_ROOTS = np.array([[-0.85, 0.15], [-0.62, -0.75], [-0.2, -0.9], [0.22, -0.85], [0.6, -0.65]])
_LENGTHS = np.array([1.0, 1.5, 1.7, 1.55, 1.2])
_LEANS_RAD = np.array([-1.05, -0.22, -0.05, 0.12, 0.32])
_FINGER_RADIUS = 0.27

_Length = NDArray[np.float64] | float


class HandPose(NamedTuple):
    """Poses of a hand at n times."""

    x: NDArray[np.float64]
    """(n,) of the palm's middle, in image heights."""
    y: NDArray[np.float64]
    """(n,) likewise, down."""
    size: NDArray[np.float64]
    """(n,) factor on the hand's size: larger is nearer."""
    angle_rad: NDArray[np.float64]
    """(n,) clockwise from fingers up."""
    stretch: NDArray[np.float64]
    """(n, 5) of the `FINGERS`: 1 stretched, 0 in the fist."""
    spread: NDArray[np.float64]
    """(n,) factor on the angles between the fingers."""


class Owner(NamedTuple):
    """Whose hand it is: looks, and where they sit."""

    palm: float
    """Half the palm's width in image heights."""
    left_handed: bool
    skin: float
    shirt: float
    hair: float
    tints: NDArray[np.float32]
    """(3, 3) of skin, shirt and hair: reflectance in red, green and blue, relative."""
    wall: float
    wall_tint: NDArray[np.float32]
    head: tuple[float, float, float]
    """Place and radius of the head in image heights."""
    rest: tuple[float, float]
    """Where the hand is before and after a gesture: below the image."""
    home: tuple[float, float]
    """Where it gestures."""
    tempo: float
    amplitude: float


def make_owner(seed: int) -> Owner:
    """Draw somebody."""
    rng = np.random.default_rng([seed, 0x0A4D])
    left_handed = bool(rng.random() < 0.15)
    side = 1.0 if left_handed else -1.0
    head_x = rng.uniform(-0.15, 0.15)
    skin = np.array([1.25, 0.95, 0.75]) * rng.uniform(0.95, 1.05, 3)
    return Owner(
        palm=rng.uniform(0.105, 0.135),
        left_handed=left_handed,
        skin=rng.uniform(0.25, 0.75),
        shirt=float(np.exp(rng.uniform(np.log(0.05), np.log(0.8)))),
        hair=rng.uniform(0.03, 0.3),
        tints=np.array([skin, rng.uniform(0.4, 1.6, 3), [1.1, 1.0, 0.9]], np.float32),
        wall=rng.uniform(0.1, 0.6),
        wall_tint=rng.uniform(0.8, 1.2, 3).astype(np.float32),
        head=(head_x, rng.uniform(-0.25, -0.12), rng.uniform(0.15, 0.2)),
        rest=(head_x + side * rng.uniform(0.2, 0.4), 0.9),
        home=(head_x + side * rng.uniform(0.15, 0.3), rng.uniform(0.0, 0.12)),
        tempo=rng.uniform(0.8, 1.25),
        amplitude=rng.uniform(0.75, 1.2),
    )


def place_hand(
    owner: Owner, pose: HandPose, sway: NDArray[np.float64], width_px: int, height_px: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Shape of owner and hand in the image.

    Args:
        owner: Whose.
        pose: n poses.
        sway: (n,) shift of the body to the right, in image heights.
        width_px: Of the image.
        height_px: Of the image.

    Returns:
        (n, capsules, `models.simulation.figure.CAPSULE_COLUMNS`) float32 in the order of painting,
        and (capsules,) what each is of: 0 skin, 1 shirt, 2 hair.
    """
    count = len(pose.x)
    parts: list[NDArray[np.float64]] = []
    materials: list[int] = []

    def part(
        a: NDArray[np.float64],
        b: NDArray[np.float64],
        radii: tuple[_Length, _Length],
        material: int,
    ) -> None:
        columns = np.zeros((count, 11))
        columns[:, 0:2], columns[:, 2:4] = a, b
        columns[:, 4], columns[:, 5] = radii
        columns[:, :6] *= height_px
        columns[:, 0:4:2] += 0.5 * width_px
        columns[:, 1:4:2] += 0.5 * height_px
        columns[:, 6] = (owner.skin, owner.shirt, owner.hair)[material]
        columns[:, 7] = (0.03, 0.25, 0.1)[material]
        columns[:, 8] = 17.0 * len(parts)
        columns[:, 10] = 30.0 / height_px
        parts.append(columns)
        materials.append(material)

    def body(x: float, y: float) -> NDArray[np.float64]:
        return np.stack([x + sway, np.full(count, y)], axis=1)

    x, y, radius = owner.head
    shoulders_y = y + 2.3 * radius
    part(body(x - 1.6 * radius, shoulders_y), body(x + 1.6 * radius, shoulders_y), (radius,) * 2, 1)
    part(body(x, shoulders_y), body(x, 0.9), (1.9 * radius,) * 2, 1)
    part(body(x, y), body(x, shoulders_y - radius), (0.5 * radius,) * 2, 0)
    part(body(x, y - 0.35 * radius), body(x, y - 0.2 * radius), (0.95 * radius,) * 2, 2)
    part(body(x, y - 0.1 * radius), body(x, y + 0.25 * radius), (0.8 * radius, 0.7 * radius), 0)

    palm = (owner.palm * pose.size)[:, None]
    centre = np.stack([pose.x, pose.y], axis=1)
    mirror = 1.0 if owner.left_handed else -1.0

    cosine, sine = np.cos(pose.angle_rad), np.sin(pose.angle_rad)

    def on_hand(right: _Length, down: _Length) -> NDArray[np.float64]:
        """Return a place (n, 2) given in palms from the palm's middle, fingers up."""
        across = mirror * right
        turned = [across * cosine - down * sine, across * sine + down * cosine]
        return centre + palm * np.stack(turned, axis=1)

    elbow = body(owner.rest[0], 0.95)
    wrist = on_hand(0.0, 0.9)
    part(elbow, wrist, (0.9 * owner.palm, 0.6 * palm[:, 0]), 1)
    for sign in (-1, 1):
        radii = (0.55 * palm[:, 0], 0.5 * palm[:, 0])
        part(on_hand(0.3 * sign, 0.5), on_hand(0.4 * sign, -0.5), radii, 0)
    for finger, (right, down) in enumerate(_ROOTS.tolist()):
        lean = _LEANS_RAD[finger] * pose.spread
        length = _LENGTHS[finger] * (0.25 + 0.75 * pose.stretch[:, finger])
        tip = on_hand(right + length * np.sin(lean), down - length * np.cos(lean))
        thickness = _FINGER_RADIUS * palm[:, 0]
        part(on_hand(right, down), tip, (thickness, 0.8 * thickness), 0)
    return np.stack(parts, axis=1).astype(np.float32), np.array(materials)
