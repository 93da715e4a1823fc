"""Random numbers as a hash of counters: they depend on what they are for, not on call order."""

import numpy as np

from models.simulation._jit import kernel


@kernel
def _mix(z: np.uint64) -> np.uint64:
    """Hash 64 bits (splitmix64's finaliser: Steele, Lea, Flood, OOPSLA 2014)."""
    z = np.uint64(z + np.uint64(0x9E3779B97F4A7C15))
    z = np.uint64((z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
    z = np.uint64((z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))
    return np.uint64(z ^ (z >> np.uint64(31)))


@kernel
def frame_key(seed: int, frame: int) -> np.uint64:
    """Key of one frame's random numbers."""
    return _mix(np.uint64(_mix(np.uint64(seed)) ^ np.uint64(frame)))


@kernel
def uniform(key: np.uint64, index: int, draw: int) -> float:
    """Number in [0, 1) for one pixel; ``draw`` counts its numbers in this frame."""
    bits = _mix(np.uint64(key ^ np.uint64((index << 16) | draw)))
    return np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)
