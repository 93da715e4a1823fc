"""What frames hold, by time and by count: each kind as its slow twin draws it, cut in any way."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_frames import Window, count_windows, slow_frames, time_windows
from streams import account, cuts, event_arrays, recording, rows, through

from pipeline.events import EventArray, events_from_columns
from pipeline.messages import Frames, Message, Reset, control
from pipeline.ports import EventsPort, FramesPort
from pipeline.stage import Account, PortError, Transform
from stages.binning.count_bin import CountBin, CountBinConfig
from stages.binning.time_bin import TimeBin, TimeBinConfig

SENSOR = (6, 8)
PORT = EventsPort(8, 6)
KINDS: list[dict[str, Any]] = [
    {"frame": "counts"},
    {"frame": "binary"},
    {"frame": "signed"},
    {"frame": "voxel", "bins": 4},
    {"frame": "time_surface", "tau_us": 30},
    {"frame": "time_surface", "tau_us": 30, "memory": "window"},
    {"frame": "decay", "tau_us": 30},
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
sizes = st.sampled_from([(6, 8), (3, 4), (2, 5), (1, 1)])


def by_time(**options: Any) -> TimeBin:
    return TimeBin("bins", TimeBinConfig(**{"window_us": 10, **options}), [PORT])


def by_count(**options: Any) -> CountBin:
    return CountBin("bins", CountBinConfig(**{"events": 3, **options}), [PORT])


def hold(
    stage: Transform[Any, Any],
    events: EventArray,
    where: list[int],
    windows: list[Window],
    kind: dict[str, Any],
) -> Account:
    """Hold a stage to what its frames must be, whole and cut, and to the law of its ledger."""
    size = stage.config.size
    whole, cut = (through([stage], recording(events, c)) for c in ([], where))
    expected = slow_frames(windows, SENSOR, size, **kind)
    got = rows(cut)
    if len(windows):
        assert got.tobytes() == rows(whole).tobytes()
        if expected.dtype == np.float32:
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(got, expected)
    else:
        assert not len(got)
    headers = [m.header.windows for m in cut if isinstance(m.header, Frames)]
    spans = [one.span_us(k) for one in headers for k in range(len(one))]
    assert spans == [(window.start_us, window.end_us) for window in windows]
    result = account(stage, list(recording(events, where)))
    assert result.taken == len(events) == result.used + sum(result.refused.values())
    assert result.made == result.due == len(windows)
    return result


@kinds
@settings(max_examples=60)
@given(event_arrays(ordered=False), cuts(), st.integers(1, 90), st.integers(1, 120), sizes)
def test_windows_of_time_equal_the_slow_twin(
    kind: dict[str, Any],
    events: EventArray,
    where: list[int],
    window_us: int,
    step_us: int,
    size: tuple[int, int],
) -> None:
    windows, late, between = time_windows(events, window_us, step_us)
    stage = by_time(window_us=window_us, step_us=step_us, size=size, **kind)
    result = hold(stage, events, where, windows, kind)
    assert result.refused["late"] == late
    assert result.refused.get("between windows", 0) == between


@kinds
@settings(max_examples=60)
@given(event_arrays(ordered=False), cuts(), st.integers(1, 20), st.integers(1, 30), sizes)
def test_windows_of_so_many_events_equal_the_slow_twin(
    kind: dict[str, Any],
    events: EventArray,
    where: list[int],
    size: int,
    step: int,
    shape: tuple[int, int],
) -> None:
    windows = count_windows(events, size, step)
    stage = by_count(events=size, step=step, size=shape, **kind)
    result = hold(stage, events, where, windows, kind)
    members = {event.number for window in windows for event in window.events}
    assert result.used == len(members)


def pixel(count: int, p: int = 1, span_us: int = 1) -> EventArray:
    """Events of one pixel, evenly within a time."""
    t = np.arange(count) * span_us // max(count, 1)
    return events_from_columns(t, *np.zeros((2, count), int), np.full(count, p))


@pytest.mark.parametrize(
    ("count", "p", "value", "dtype"),
    [(127, 1, 127, np.int8), (128, 1, 128, np.int16), (128, 0, -128, np.int8)],
)
def test_signed_frames_take_the_dtype_they_need(
    count: int, p: int, value: int, dtype: type[np.generic]
) -> None:
    (frames,) = (
        m.array for m in through([by_time(frame="signed")], recording(pixel(count, p)))[1:2]
    )
    assert frames.dtype == dtype
    assert frames[0, 0, 0, 0] == value


def test_signed_frames_are_cut_visibly() -> None:
    result = account(by_time(frame="signed"), list(recording(pixel(40_000, p=0))))
    assert result.notes == {"differences cut at 16 bits": 40_000 - 32_768}


@pytest.mark.parametrize("where", [[], [300], [1000, 1500]])
@pytest.mark.parametrize(
    "stage",
    [
        by_time(window_us=100, step_us=30),
        by_time(window_us=1000),
        by_count(events=400, step=150),
        by_count(events=2000),
    ],
    ids=["overlapping", "by time", "overlapping by count", "by count"],
)
def test_counts_that_outgrow_8_bits_lose_nothing(
    stage: Transform[Any, Any], where: list[int]
) -> None:
    events = pixel(2000, span_us=500)
    windows = (
        time_windows(events, stage.config.window_us, stage.config.step_us or 1000)[0]
        if isinstance(stage, TimeBin)
        else count_windows(events, stage.config.events, stage.config.step or 2000)
    )
    frames = rows(through([stage], recording(events, where)))
    assert frames.sum(axis=(1, 2, 3)).tolist() == [len(window.events) for window in windows]
    assert frames.max() > 255


def test_frames_that_somebody_holds_are_never_drawn_on_again() -> None:
    t = np.arange(20_000)
    events = events_from_columns(t, t % 8, t % 6, t % 2)
    held = through([by_time()], recording(events, list(range(0, 20_000, 500))))
    np.testing.assert_array_equal(rows(held).sum(axis=(1, 2, 3)), np.full(2000, 10))


def test_frames_that_nobody_holds_are_drawn_on_again() -> None:
    stage = by_time()
    stage.open()
    first = stage._pool.empty((4, 100), np.dtype(np.float32))
    place = first.ctypes.data
    second = stage._pool.empty((4, 100), np.dtype(np.float32))
    assert second.ctypes.data != place
    row = first[1:][0]
    del first
    third = stage._pool.empty((4, 100), np.dtype(np.float32))
    assert third.ctypes.data != place
    del row
    assert stage._pool.empty((2, 200), np.dtype(np.float32)).ctypes.data == place


@pytest.mark.parametrize("kind", KINDS[-3:], ids=["stream", "window", "decay"])
@pytest.mark.parametrize("stage_of", [by_time, by_count])
def test_a_reset_clears_what_frames_remember(stage_of: Any, kind: dict[str, Any]) -> None:
    events = events_from_columns([0, 4, 8, 11, 12, 13], [1, 2, 3, 4, 5, 6], [0] * 6, [1] * 6)
    messages: list[Message] = list(recording(events, [3]))
    messages.insert(2, control(Reset(stream="cam")))
    frames = rows(through([stage_of(**kind)], messages))
    assert np.flatnonzero(frames[-1, 1, 0]).tolist() == [4, 5, 6]


def test_a_voxel_grid_has_its_first_centre_at_the_start_and_its_last_at_the_end() -> None:
    events = events_from_columns([0, 25, 50, 60], [0, 1, 2, 3], [0] * 4, [1, 0, 1, 1])
    stage = by_time(window_us=100, frame="voxel", bins=3)
    frame = rows(through([stage], recording(events)))[0]
    np.testing.assert_allclose(
        frame[:, 0, :4], [[1, -0.5, 0, 0], [0, -0.5, 1, 0.8], [0, 0, 0, 0.2]], rtol=1e-6
    )


def test_a_bin_alone_sums_polarities() -> None:
    events = events_from_columns([0, 25, 50], [0, 0, 1], [0] * 3, [1, 1, 0])
    frames = rows(through([by_time(window_us=100, frame="voxel", bins=1)], recording(events)))
    assert frames[0, 0, 0, :2].tolist() == [2, -1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bins": 3}, 'has no meaning with frame = "counts", got 3'),
        ({"frame": "voxel", "tau_us": 5}, 'has no meaning with frame = "voxel", got 5'),
        (
            {"frame": "decay", "tau_us": 5, "memory": "window"},
            'has no meaning with frame = "decay", got window',
        ),
        ({"frame": "decay"}, 'is required with frame = "decay"'),
        ({"size": (0, 8)}, "height must be > 0, got 0"),
    ],
)
@pytest.mark.parametrize("stage_of", [by_time, by_count])
def test_options_that_do_not_fit_are_refused(
    stage_of: Any, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(PortError) as caught:
        stage_of(**options).port()
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("stage", "port", "text"),
    [
        (
            by_time(window_us=25_000),
            FramesPort(2, 6, 8, 25_000, 25_000),
            "frames (n, 2, 6, 8) of 25 ms",
        ),
        (
            by_time(window_us=20_000, step_us=5000, frame="signed"),
            FramesPort(1, 6, 8, 20_000, 5000, "signed"),
            "signed frames (n, 1, 6, 8) of 20 ms every 5 ms",
        ),
        (
            by_count(frame="voxel", size=(3, 4)),
            FramesPort(5, 3, 4, None, None, "voxel"),
            "voxel frames (n, 5, 3, 4) by count of events",
        ),
    ],
)
def test_ports_say_what_frames_will_come(
    stage: Transform[Any, Any], port: FramesPort, text: str
) -> None:
    assert stage.port() == port
    assert str(port) == text
