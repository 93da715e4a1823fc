"""Files of words made on the spot, and what must hold for every reader of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.events import EventArray, concatenate_events, empty_events
from stages.formats import Policies, open_recording
from stages.formats.reader import BEGINNING, Position
from stages.formats.words import WordReader

KEEP = Policies(on_time_back="keep", on_damage="drop")
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


def read(path: Path, policies: Policies = KEEP, position: Position = BEGINNING) -> EventArray:
    with open_recording(path, policies) as reader:
        return concatenate_events([packet.events for packet in reader.packets(position)])


def look(path: Path, policies: Policies = KEEP) -> tuple[EventArray, dict[str, int]]:
    """All events, and all that was refused or found."""
    with open_recording(path, policies) as reader:
        events = concatenate_events([packet.events for packet in reader.packets()])
        return events, {**reader.refused, **reader.notes}


def assert_cuts_never_matter(path: Path, monkeypatch: Any, sizes: Sequence[int]) -> None:
    """However few words are read at a time, and wherever reading is resumed: the same events."""
    whole, found = look(path)
    with open_recording(path) as reader:
        kind = type(reader)
    assert issubclass(kind, WordReader)
    for size in sizes:
        with monkeypatch.context() as patch:
            patch.setattr(kind, "chunk_words", size)
            with open_recording(path, KEEP) as reader:
                packets = list(reader.packets())
                assert {**reader.refused, **reader.notes} == found
            events = concatenate_events([packet.events for packet in packets])
            np.testing.assert_array_equal(events, whole)
            done = 0
            for packet in packets:
                done += len(packet.events)
                patch.setattr(kind, "chunk_words", size + 3)
                rest = read(path, position=packet.position)
                np.testing.assert_array_equal(rest, whole[done:])


def assert_seeking_is_scanning(path: Path, times: Iterable[int]) -> None:
    """From the position of a time on, nothing at or after it is missing."""
    whole = read(path)
    with open_recording(path, KEEP) as reader:
        for t_us in times:
            position = reader.position_at(t_us)
            rest = read(path, position=position)
            np.testing.assert_array_equal(rest, whole[len(whole) - len(rest) :])
            assert not (whole["t"][: len(whole) - len(rest)] >= t_us).any()


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
