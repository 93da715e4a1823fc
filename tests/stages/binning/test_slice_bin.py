"""Slices of a whole recording, of equally many events each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_frames import Seen, Window, slow_frames
from streams import account, cuts, event_arrays, recording, rows, through

from pipeline.config import parse_config
from pipeline.errors import ConfigError, StageError
from pipeline.events import EventArray, events_from_columns
from pipeline.graph import build_graph
from pipeline.messages import Frames
from pipeline.ports import EventsPort, FramesPort
from stages.binning.slice_bin import SliceBin, SliceBinConfig

SENSOR = (6, 8)
PORT = EventsPort(8, 6)


def slice_bin(port: EventsPort = PORT, **options: Any) -> SliceBin:
    return SliceBin("bins", SliceBinConfig(**{"slices": 4, **options}), [port])


def slices_of(events: EventArray, slices: int) -> list[Window]:
    """The slow twin: what each slice holds, straight from the definition."""
    seen = [Seen(number, *event) for number, event in enumerate(events.tolist())]
    size = len(seen) // slices
    windows, reached_us = [], (seen[0].t - 1 if seen else 0)
    for k in range(slices if seen else 0):
        members = seen[k * size : None if k == slices - 1 else (k + 1) * size]
        start_us = min((event.t for event in members), default=reached_us + 1)
        if members:
            reached_us = max(reached_us, *(event.t for event in members))
        windows.append(Window(start_us, reached_us + 1, members))
    return windows


@pytest.mark.parametrize(
    "kind", [{"frame": "counts"}, {"frame": "signed"}, {"frame": "decay", "tau_us": 30}]
)
@settings(max_examples=60)
@given(
    events=event_arrays(ordered=False),
    where=cuts(),
    slices=st.integers(1, 20),
    size=st.sampled_from([(6, 8), (3, 4), (1, 1)]),
)
def test_slices_equal_the_slow_twin_however_the_stream_is_cut(
    kind: dict[str, Any],
    events: EventArray,
    where: list[int],
    slices: int,
    size: tuple[int, int],
) -> None:
    stage = slice_bin(slices=slices, size=size, **kind)
    whole, cut = (through([stage], recording(events, c)) for c in ([], where))
    windows = slices_of(events, slices)
    assert rows(whole).tobytes() == rows(cut).tobytes()
    if windows:
        np.testing.assert_allclose(
            rows(cut), slow_frames(windows, SENSOR, size, **kind), rtol=1e-5, atol=1e-6
        )
    spans = [m.header.windows.span_us(0) for m in cut if isinstance(m.header, Frames)]
    assert spans == [(window.start_us, window.end_us) for window in windows]
    result = account(stage, list(recording(events, where)))
    assert result.taken == result.used == len(events)
    assert result.made == result.due == len(windows)


@pytest.mark.parametrize(
    ("count", "sizes"), [(10, [2, 2, 2, 4]), (8, [2, 2, 2, 2]), (3, [0, 0, 0, 3]), (0, [])]
)
def test_the_last_slice_takes_the_rest(count: int, sizes: list[int]) -> None:
    t = np.arange(count)
    events = events_from_columns(t, t % 8, t % 6, t % 2)
    frames = [m.array for m in through([slice_bin()], recording(events)) if len(m.array)]
    assert [frame.sum() for frame in frames] == sizes


def test_counts_that_outgrow_8_bits_lose_nothing() -> None:
    t = np.arange(3000)
    events = events_from_columns(t, *np.zeros((2, 3000), int), np.ones(3000, int))
    frames = rows(through([slice_bin(slices=2)], recording(events, [1000])))
    assert frames[:, 1, 0, 0].tolist() == [1500, 1500]


def test_only_events_of_the_sensor_are_shared_out() -> None:
    t = np.arange(12)
    events = events_from_columns(t, np.where(t % 3 == 0, 9, 1), t * 0, t * 0)
    stage = slice_bin(slices=2)
    frames = rows(through([stage], recording(events, [5])))
    assert frames.sum(axis=(1, 2, 3)).tolist() == [4, 4]
    result = account(stage, list(recording(events)))
    assert (result.taken, result.used) == (12, 8)
    assert result.refused["outside the sensor"] == 4


def test_a_recording_too_long_to_hold_is_refused() -> None:
    t = np.arange(12)
    events = events_from_columns(t, t % 8, t % 6, t % 2)
    with pytest.raises(StageError, match=r"more than max_events = 11 events, .* play less \(stop"):
        through([slice_bin(max_events=11)], recording(events, [6]))
    assert len(rows(through([slice_bin(max_events=12)], recording(events, [6])))) == 4


def test_ports_say_what_frames_will_come() -> None:
    assert slice_bin().port() == FramesPort(2, 6, 8, None, None, steps=slice_bin().config.slices)
    with pytest.raises(ValueError, match="must be <= 6, the sensor's, got 7"):
        slice_bin(size=(7, 8)).port()


def test_a_live_source_is_refused_by_the_check() -> None:
    with pytest.raises(ValueError, match="a live source has no end") as caught:
        slice_bin(EventsPort(8, 6, live=True)).port()
    assert getattr(caught.value, "key") == "from"  # noqa: B009
    tables = [
        {"name": "camera", "use": "udp", "size": [6, 8], "port": 3333},
        {"name": "bins", "use": "slice_bin", "slices": 4},
    ]
    with pytest.raises(ConfigError, match=r"stage\.bins\.from: a live source has no end"):
        build_graph(parse_config({"stage": tables}, Path(__file__)))
