"""Recordings in N-MNIST's format, made on the spot; see `stages.formats.nmnist`."""

from pathlib import Path

import numpy as np

from pipeline.events import EventArray, events_from_columns


def digit_events(count: int = 400, seed: int = 0, span_us: int = 300_000) -> EventArray:
    """Events at random places of a sensor of 34×34 px, in order of time."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, span_us, count))
    x, y = rng.integers(0, 34, (2, count))
    return events_from_columns(t, x, y, rng.integers(0, 2, count))


def write_nmnist(path: Path, events: EventArray) -> Path:
    """Write a recording, and the folders above it."""
    t = events["t"]
    columns = events["x"], events["y"], events["p"].astype(np.int64) << 7 | t >> 16, t >> 8, t
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.stack([column & 0xFF for column in columns], 1).astype("u1").tobytes())
    return path


def write_digits(folder: Path, each: int = 4, part: str = "Train") -> Path:
    """Write N-MNIST's tree with so many recordings of each digit, all different."""
    for digit in range(10):
        for number in range(each):
            events = digit_events(seed=100 * digit + number, count=200 + 20 * digit)
            write_nmnist(folder / part / str(digit) / f"{number:05d}.bin", events)
    return folder
