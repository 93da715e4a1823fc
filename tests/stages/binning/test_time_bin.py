"""Time bins: a fixed grid of half-open windows in which every event is found once."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from numpy.typing import NDArray
from streams import account, cuts, event_arrays, recording, rows, through

from pipeline.errors import StageError
from pipeline.events import EventArray, empty_events, events_from_columns
from pipeline.messages import EndRecording, Events, Frames, Message, Start, control, data
from pipeline.offline import run_chain
from pipeline.ports import EventsPort
from pipeline.stage import PortError
from stages.binning.time_bin import TimeBin, TimeBinConfig

SENSOR = EventsPort(8, 6)


def bins(**options: Any) -> TimeBin:
    return TimeBin("bins", TimeBinConfig(**{"window_us": 10, **options}), [SENSOR])


def twin(
    events: EventArray, window_us: int, size: tuple[int, int] = (6, 8), origin_us: int | None = None
) -> tuple[NDArray[Any], int]:
    """The slow way: one event after the other, in Python. Returns frames and late events."""
    if not len(events):
        return np.zeros((0, 2, *size), np.uint16), 0
    origin = int(events["t"][0]) if origin_us is None else origin_us
    frames: dict[int, NDArray[Any]] = {}
    newest, late = 0, 0
    for t, x, y, p in events.tolist():
        window = (t - origin) // window_us
        if window < newest or t < origin:
            late += 1
            continue
        newest = window
        frame = frames.setdefault(window, np.zeros((2, *size), np.uint16))
        frame[p, y * size[0] // 6, x * size[1] // 8] += 1
    if not frames:
        return np.zeros((0, 2, *size), np.uint16), late
    empty = np.zeros((2, *size), np.uint16)
    return np.stack([frames.get(window, empty) for window in range(newest + 1)]), late


@given(event_arrays(), st.integers(1, 90), st.sampled_from([(6, 8), (3, 4), (2, 5), (1, 1)]))
def test_equals_the_slow_twin(events: EventArray, window_us: int, size: tuple[int, int]) -> None:
    out = through([bins(window_us=window_us, size=size)], recording(events))
    expected, _ = twin(events, window_us, size)
    if len(expected):
        np.testing.assert_array_equal(rows(out), expected)
    else:
        assert not len(rows(out))


@given(event_arrays(ordered=False), cuts())
def test_cuts_and_disorder_never_change_the_frames(events: EventArray, where: list[int]) -> None:
    whole = through([bins()], recording(events))
    cut = through([bins()], recording(events, where))
    np.testing.assert_array_equal(rows(whole), rows(cut))
    expected, late = twin(events, 10)
    if len(expected):
        np.testing.assert_array_equal(rows(cut), expected)
    assert account(bins(), list(recording(events, where))).refused["late"] == late


@given(event_arrays(max_events=200, ordered=False), cuts(200), st.integers(1, 50))
def test_conservation(events: EventArray, where: list[int], window_us: int) -> None:
    stage = bins(window_us=window_us)
    messages = list(recording(events, where))
    counted = int(rows(through([stage], messages)).sum())
    result = account(bins(window_us=window_us), messages)
    assert result.taken == len(events) == result.used + sum(result.refused.values())
    assert counted == result.used
    assert result.made == result.due


def test_windows_are_half_open_and_empty_ones_are_windows() -> None:
    events = events_from_columns([0, 9, 10, 39], [0, 1, 2, 3], [0] * 4, [1] * 4)
    out = through([bins()], recording(events))
    assert rows(out).sum(axis=(1, 2, 3)).tolist() == [2, 1, 0, 1]
    windows = [m.header.windows for m in out if isinstance(m.header, Frames)]
    assert [w.first for w in windows] == [0, 3]
    assert windows[0].last_event_us == (9, 10, None)
    assert [w.partial for w in windows] == [False, True]
    assert windows[1].span_us(0) == (30, 40)


def test_the_grid_is_anchored_where_told() -> None:
    events = events_from_columns([103, 112, 131], [0] * 3, [0] * 3, [0] * 3)
    out = through([bins(origin_us=90)], recording(events))
    assert rows(out).sum(axis=(1, 2, 3)).tolist() == [0, 1, 1, 0, 1]
    before = account(bins(origin_us=110), list(recording(events)))
    assert before.refused["late"] == 1


def test_channel_1_holds_on_events_and_scaling_is_exact() -> None:
    # 128 columns onto 40: column x goes to floor(x * 40 / 128), which floats get wrong in places.
    stage = TimeBin("bins", TimeBinConfig(window_us=10, size=(40, 40)), [EventsPort(128, 128)])
    x = np.arange(128)
    events = events_from_columns(np.zeros(128), x, x[::-1], x % 2)
    frame = rows(through([stage], recording(events, width=128, height=128)))[0]
    for column in range(128):
        assert frame[column % 2, (127 - column) * 40 // 128, column * 40 // 128] > 0
    assert frame.sum() == 128


def test_counts_take_the_dtype_they_need_and_saturate_visibly() -> None:
    for count, dtype in ((255, np.uint8), (256, np.uint16)):
        events = events_from_columns(np.zeros(count), *np.zeros((3, count), int))
        (frames,) = (m.array for m in through([bins()], recording(events)) if len(m.array))
        assert frames.dtype == dtype
        assert frames.max() == count
    many = events_from_columns(np.zeros(70_000), *np.zeros((3, 70_000), int))
    messages = list(recording(many))
    assert rows(through([bins()], messages)).max() == 65_535
    assert account(bins(), messages).notes["counts cut at 65535"] == 70_000 - 65_535


def test_events_outside_the_sensor_and_of_impossible_time_are_refused_and_counted() -> None:
    t = [-(2**63), 5, 6, 2**63 - 1, 7]
    events = events_from_columns(t, [0, 8, -1, 0, 7], [0, 0, 0, 0, 5], [1] * 5)
    result = account(bins(), list(recording(events[:4])))
    assert result.refused == {"late": 0, "outside the sensor": 2, "of impossible time": 2}
    assert result.made == result.due == 1


def test_a_watermark_closes_windows_of_an_idle_stream() -> None:
    def idle(watermark_us: int) -> Message:
        times = {"t_first_us": 0, "t_last_us": 0, "watermark_us": watermark_us}
        return data(Events, empty_events(), stream="cam", **times)

    start, first, *_ = recording(events_from_columns([3], [0], [0], [1]))
    messages = [start, first, idle(12), idle(13), idle(45), control(EndRecording(stream="cam"))]
    sent = [len(m.array) for m in through([bins()], messages) if isinstance(m.header, Frames)]
    assert sent == [1, 3]
    assert account(bins(), messages).due == 4


def test_a_long_gap_is_sent_in_messages_of_bounded_size() -> None:
    events = events_from_columns([0, 100_000], [0, 0], [0, 0], [1, 1])
    out = [m for m in through([bins()], recording(events)) if isinstance(m.header, Frames)]
    assert sum(len(m.array) for m in out) == 10_001
    assert max(len(m.array) for m in out) <= 256


def test_a_broken_clock_ends_the_run_with_what_came_before_it() -> None:
    stage = bins(max_gap_us=1000)
    flow = run_chain(recording(events_from_columns([0, 15, 2000], *[[0] * 3] * 3)), [stage])
    assert isinstance(next(flow).header, Start)
    assert next(flow).array.sum() == 1
    with pytest.raises(StageError, match="event time jumps to 2000 µs, 0 s ahead; a gap must not"):
        next(flow)


def test_a_watermark_far_ahead_is_a_broken_clock_too() -> None:
    events = events_from_columns([0, 2**61], [0, 0], [0, 0], [1, 1])
    with pytest.raises(StageError, match="event time jumps"):
        through([bins()], recording(events, [1]))


def test_a_new_recording_starts_a_new_grid() -> None:
    events = events_from_columns([50, 61], [0, 0], [0, 0], [1, 1])
    messages = [*recording(events), *recording(events_from_columns([7], [0], [0], [0]))]
    firsts = [
        (m.header.windows.first, m.header.windows.start_us)
        for m in through([bins()], messages)
        if isinstance(m.header, Frames)
    ]
    assert firsts == [(0, 50), (1, 60), (0, 7)]


def test_no_events_no_windows() -> None:
    messages = list(recording(empty_events()))
    assert not len(rows(through([bins()], messages)))
    assert account(bins(), messages).due == 0


def test_bins_finer_than_the_sensor_are_refused() -> None:
    with pytest.raises(PortError, match=r"height must be <= 6, the sensor's, got 12"):
        bins(size=(12, 8)).port()
    start = Start(stream="cam", width=4, height=4, source="small.aedat4")
    stage = bins(size=(6, 8))
    stage.open()
    with pytest.raises(StageError, match=r"finer than the sensor \(4, 4\) of small.aedat4"):
        stage.start(start)


@pytest.mark.parametrize("live", [False, True])
def test_a_gap_is_one_whether_watermarks_step_through_it_or_not(live: bool) -> None:
    def idle(watermark_us: int) -> Message:
        times = {"t_first_us": 0, "t_last_us": 0, "watermark_us": watermark_us}
        return data(Events, empty_events(), stream="cam", **times)

    start, first, *_ = recording(events_from_columns([3], [0], [0], [1]))
    stage = TimeBin(
        "bins", TimeBinConfig(window_us=10, max_gap_us=100), [EventsPort(8, 6, live=live)]
    )
    stepped = [start, first, *(idle(t) for t in range(10, 200, 10))]
    if live:
        assert len(rows(through([stage], stepped))) == 18
    else:
        with pytest.raises(StageError, match="event time jumps to 120 µs"):
            through([stage], stepped)


def test_overlapping_windows_share_events_which_count_once() -> None:
    events = events_from_columns([0, 4, 9, 12, 21], *[[0] * 5] * 3)
    stage = bins(window_us=10, step_us=5)
    out = through([stage], recording(events))
    assert rows(out).sum(axis=(1, 2, 3)).tolist() == [3, 2, 1, 1]
    windows = [m.header.windows for m in out if isinstance(m.header, Frames)]
    assert windows[-1].span_us(0) == (15, 25)
    assert [w.partial for w in windows] == [False, True]
    result = account(bins(window_us=10, step_us=5), list(recording(events)))
    assert (result.taken, result.used, result.made, result.due) == (5, 5, 4, 4)


def test_an_event_is_late_when_one_of_its_windows_has_closed() -> None:
    # At 10 the first window [0, 10) closes; 7 would be in it and in [5, 15), which is open.
    events = events_from_columns([0, 10, 7, 10], *[[0] * 4] * 3)
    result = account(bins(window_us=10, step_us=5), list(recording(events)))
    assert result.refused["late"] == 1
    assert result.used == 3


def test_events_between_windows_are_refused_and_counted() -> None:
    events = events_from_columns([0, 9, 10, 24, 25, 49], *[[0] * 6] * 3)
    stage = bins(window_us=10, step_us=25)
    assert rows(through([stage], recording(events))).sum(axis=(1, 2, 3)).tolist() == [2, 1]
    result = account(bins(window_us=10, step_us=25), list(recording(events)))
    assert result.refused["between windows"] == 3
    assert (result.used, result.made, result.due) == (3, 2, 2)


@given(
    event_arrays(), cuts(), st.integers(1, 40), st.integers(1, 60), st.lists(st.integers(0, 300))
)
def test_idle_watermarks_close_each_window_once(
    events: EventArray, where: list[int], window_us: int, step_us: int, ahead_us: list[int]
) -> None:
    messages: list[Message] = []
    for message in recording(events, where):
        header, extra = message.header, ahead_us[len(messages) :][:1]
        if isinstance(header, Events) and extra:
            message = message._replace(
                header=structs.replace(header, watermark_us=max(0, header.watermark_us) + extra[0])
            )
        messages.append(message)
    options = {"window_us": window_us, "step_us": step_us}
    frames = [
        m.header for m in through([bins(**options)], messages) if isinstance(m.header, Frames)
    ]
    starts = [one.windows.span_us(k)[0] for one in frames for k in range(len(one.windows))]
    first_us = int(events["t"][0]) if len(events) else 0
    assert starts == list(range(first_us, first_us + len(starts) * step_us, step_us))
    result = account(bins(**options), messages)
    assert result.taken == result.used + sum(result.refused.values())
    assert result.made == result.due == len(starts)


def test_so_many_windows_must_not_be_open_at_a_time() -> None:
    with pytest.raises(
        PortError, match="5000 windows of 96 bytes would be open at a time, allowed"
    ):
        bins(window_us=5000, step_us=1).port()
    stage = TimeBin("bins", TimeBinConfig(window_us=400, step_us=1), [EventsPort(None, None)])
    stage.port()
    stage.open()
    with pytest.raises(StageError, match="400 windows of 1843200 bytes would be open at a time"):
        stage.start(Start(stream="cam", width=1280, height=720, source="large.raw"))
