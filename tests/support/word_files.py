"""Files of words made on the spot."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.events import EventArray, empty_events

Row = tuple[int, int, int, int]


def as_events(rows: Iterable[Row]) -> EventArray:
    """Rows of t, x, y and p."""
    rows = list(rows)
    events = empty_events(len(rows))
    for k, row in enumerate(rows):
        events[k] = row
    return events


def raw_file(path: Path, header: str, words: Sequence[int], word: str = "<u2") -> Path:
    """A RAW recording: header lines without their percent signs, then words."""
    lines = "".join(f"% {line}\n" for line in header.split("\n"))
    path.write_bytes(lines.encode() + np.array(words, word).tobytes())
    return path


def damages(data: bytes, count: int, seed: int) -> Iterable[bytes]:
    """Copies of a file that are cut, or in which bytes are other than they were."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        copy = bytearray(data)
        if number % 4 == 0:
            copy = copy[: rng.integers(1, len(copy))]
        for at in rng.integers(0, len(copy), rng.integers(0, 12)):
            copy[at] = rng.integers(0, 256)
        yield bytes(copy)
