"""Small recordings made on the spot."""

from pathlib import Path

import numpy as np

from pipeline.events import EventArray, events_from_columns
from stages.formats.aedat.aedat4_writer import Aedat4Writer

START_US = 1_600_000_000_000_000


def some_events(
    count: int = 5_000, span_us: int = 500_000, seed: int = 0, size: int = 128
) -> EventArray:
    """Events at random places and, in order, at random times."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, span_us, count)) + START_US
    x, y = rng.integers(0, size, (2, count))
    return events_from_columns(t, x, y, rng.integers(0, 2, count))


def write_recording(
    path: Path, events: EventArray, size: int = 128, compression: str = "lz4"
) -> Path:
    """Write an AEDAT4 recording of a square sensor."""
    with Aedat4Writer(path, size, size, source="test", compression=compression) as writer:
        writer.write(events)
    return path
