"""What must hold for every reader, whatever its places are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.events import EventArray, concatenate_events
from stages.formats import Policies, open_recording
from stages.formats.policies import LENIENT
from stages.formats.reader import BEGINNING, Position


def read(
    path: Path, policies: Policies | None = LENIENT, position: Position = BEGINNING, **options: Any
) -> EventArray:
    with open_recording(path, policies, **options) as reader:
        return concatenate_events([packet.events for packet in reader.packets(position)])


def look(path: Path, policies: Policies | None = LENIENT) -> tuple[EventArray, dict[str, int]]:
    """All events, and all that was refused or found."""
    with open_recording(path, policies) as reader:
        events = concatenate_events([packet.events for packet in reader.packets()])
        return events, {**reader.refused, **reader.notes}


def assert_resuming_continues(
    path: Path, patch: pytest.MonkeyPatch, sizes: Iterable[Mapping[str, int]]
) -> None:
    """However little is read at a time, and wherever reading is resumed: the same events."""
    whole, found = look(path)
    with open_recording(path, LENIENT) as reader:
        kind = type(reader)
    for attributes in sizes:
        with patch.context() as small, open_recording(path, LENIENT) as reader:
            for name, size in attributes.items():
                small.setattr(kind, name, size)
            packets = list(reader.packets())
            assert {**reader.refused, **reader.notes} == found
            events = concatenate_events([packet.events for packet in packets])
            np.testing.assert_array_equal(events, whole)
            done = 0
            for number, packet in enumerate(packets):
                if number == len(packets) // 2:
                    small.undo()  # a position says nothing of how much was read at a time
                done += len(packet.events)
                rest = [more.events for more in reader.packets(packet.position)]
                np.testing.assert_array_equal(concatenate_events(rest), whole[done:])


def assert_seeking_is_scanning(path: Path, times: Iterable[int]) -> None:
    """From the position of a time on nothing at or after it is missing, and it is as scanned."""
    with open_recording(path) as reader:
        packets = list(reader.packets())
        whole = concatenate_events([packet.events for packet in packets])
        for t_us in times:
            position = reader.position_at(t_us)
            rest = concatenate_events([packet.events for packet in reader.packets(position)])
            skipped = whole[: len(whole) - len(rest)]
            np.testing.assert_array_equal(rest, whole[len(skipped) :])
            assert not (skipped["t"] >= t_us).any()
            if position and len(skipped):
                assert position[0] == skipped["t"].max()
