"""Count bins: so many events to a window, whatever time they take."""

from typing import Any

from streams import account, recording, rows, through

from pipeline.events import empty_events, events_from_columns
from pipeline.messages import Frames, Windows
from pipeline.ports import EventsPort
from stages.binning.count_bin import CountBin, CountBinConfig


def bins(**options: Any) -> CountBin:
    return CountBin("bins", CountBinConfig(**options), [EventsPort(8, 6)])


def windows(stage: CountBin, t: list[int], cuts: list[int] | None = None) -> list[Windows]:
    events = events_from_columns(t, *[[0] * len(t)] * 3)
    out = through([stage], recording(events, cuts or []))
    return [m.header.windows for m in out if isinstance(m.header, Frames)]


def test_a_window_closes_with_its_last_event_and_tells_its_span() -> None:
    first, rest = windows(bins(events=2), [5, 7, 7, 30, 31], cuts=[2, 4])[:2]
    assert (first.first, first.spans_us, first.last_event_us) == (0, ((5, 8),), (7,))
    assert (rest.first, rest.spans_us, rest.last_event_us) == (1, ((7, 31),), (30,))


def test_the_last_window_is_partial_if_it_holds_what_no_other_does() -> None:
    assert [w.partial for w in windows(bins(events=2), [1, 2, 3])] == [False, True]
    assert [w.partial for w in windows(bins(events=2), [1, 2, 3, 4])] == [False]
    assert [w.partial for w in windows(bins(events=4, step=2), [1, 2, 3, 4])] == [False]
    overlapping = windows(bins(events=4, step=2), [1, 2, 3, 4, 5])
    assert [(w.spans_us, w.partial) for w in overlapping] == [
        (((1, 5),), False),
        (((3, 6),), True),
    ]


def test_events_between_windows_are_refused_and_counted() -> None:
    t = list(range(12))
    messages = list(recording(events_from_columns(t, *[[0] * 12] * 3), [1, 4, 5, 9]))
    result = account(bins(events=2, step=5), messages)
    assert result.refused["between windows"] == 6
    assert (result.taken, result.used, result.made, result.due) == (12, 6, 3, 3)


def test_only_events_of_the_sensor_and_of_a_possible_time_count() -> None:
    t = [1, -(2**63), 2, 3, 4, 2**62]
    events = events_from_columns(t, [0, 0, 8, 1, -1, 1], [0] * 6, [1] * 6)
    stage = bins(events=2)
    assert rows(through([stage], recording(events)))[:, 1, 0, :2].tolist() == [[1, 1]]
    result = account(bins(events=2), list(recording(events)))
    assert result.refused == {"outside the sensor": 2, "of impossible time": 2}
    assert (result.used, result.made, result.due) == (2, 1, 1)


def test_no_events_no_windows() -> None:
    messages = list(recording(empty_events()))
    result = account(bins(events=5), messages)
    assert (result.taken, result.made, result.due) == (0, 0, 0)


def test_time_going_back_does_not_end_a_window_before_the_one_before() -> None:
    decay = bins(events=2, frame="decay", tau_us=10)
    events = events_from_columns([100, 200, 50, 60], [0] * 4, [0] * 4, [1] * 4)
    out = through([decay], recording(events))
    (only,) = (m.header.windows for m in out if isinstance(m.header, Frames))
    assert only.spans_us == ((100, 201), (50, 201))
    assert rows(out).max() < 2
