"""What was written is read: in one batch or many, by every writer."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from pipeline.events import EventArray, concatenate_events, events_from_columns
from stages.formats import create_recording, open_recording
from stages.formats.writer import Writer


class Sent(NamedTuple):
    """Events to write, where to cut them, and the sensor's (width, height)."""

    events: EventArray
    cuts: list[int]
    size: tuple[int, int]


@st.composite
def far_events(draw: st.DrawFn, steps_us: Sequence[int], sizes: Sequence[tuple[int, int]]) -> Sent:
    """Events that may begin at any time and be far from each other."""
    steps = draw(st.lists(st.sampled_from(steps_us), max_size=40))
    t = draw(st.integers(-(2**61), 2**61)) + np.cumsum(np.array(steps, np.int64))
    rng, count = np.random.default_rng(draw(st.integers(0, 9))), len(steps)
    width, height = size = draw(st.sampled_from(sizes))
    x, y = rng.integers(0, width, count), rng.integers(0, height, count)
    events = events_from_columns(t, x, y, rng.integers(0, 2, count))
    return Sent(events, draw(st.lists(st.integers(0, 40), max_size=5)), size)


def write_in_batches(writer: Writer, events: EventArray, cuts: Iterable[int]) -> None:
    """Write events in batches that begin at ``cuts``, some of which may be empty; and close."""
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    with writer:
        for begin, end in pairwise(edges):
            writer.write(events[begin:end])
    assert writer.events == len(events)


def assert_written_is_read(
    path: Path,
    events: EventArray,
    cuts: Iterable[int],
    size: tuple[int, int] = (8, 6),
    source: str = "a camera",
    keeps: str = "size source",
    **options: Any,
) -> None:
    """Write a recording, and read the same events, with nothing lost and nothing wrong.

    Args:
        path: what to write.
        events: these.
        cuts: where to cut them into batches.
        size: (width, height) of the sensor.
        source: the camera's name.
        keeps: which of ``size`` and ``source`` the format has a place for.
        options: of the writer.
    """
    width, height = size
    writer = create_recording(path, width, height, source=source, options=options)
    write_in_batches(writer, events, cuts)
    with open_recording(path) as reader:
        found = concatenate_events([packet.events for packet in reader.packets()])
        assert reader.refused == {}
        assert set(reader.notes) <= {"gaps"}
        assert reader.declared_size == ((height, width) if "size" in keeps else None)
        assert reader.source == (source if "source" in keeps else "")
        assert reader.event_count in (None, len(events))
    np.testing.assert_array_equal(found, events)
