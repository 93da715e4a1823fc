"""Refractory period: a pixel rests after each event that passes."""

from hypothesis import given
from hypothesis import strategies as st
from streams import account, event_arrays, recording, rows, through

from pipeline.events import EventArray, events_from_columns
from pipeline.ports import EventsPort
from stages.filters.refractory import Refractory, RefractoryConfig


def refractory(period_us: int) -> Refractory:
    return Refractory("rest", RefractoryConfig(period_us=period_us), [EventsPort(8, 6)])


@given(event_arrays(width=2, height=2, ordered=False), st.integers(1, 200))
def test_equals_the_slow_twin(events: EventArray, period_us: int) -> None:
    passed: dict[tuple[int, int], int] = {}
    expected = []
    for t, x, y, p in events.tolist():
        if (x, y) not in passed or abs(t - passed[x, y]) >= period_us:
            passed[x, y] = t
            expected.append((t, x, y, p))
    out = rows(through([refractory(period_us)], recording(events)))
    assert out.tolist() == expected


def test_a_refused_event_does_not_lengthen_the_period() -> None:
    events = events_from_columns([0, 6, 10, 15], [0] * 4, [0] * 4, [1] * 4)
    assert rows(through([refractory(10)], recording(events)))["t"].tolist() == [0, 10]
    refused = account(refractory(10), list(recording(events))).refused
    assert refused["in the refractory period"] == 2


def test_a_clock_that_is_set_back_silences_no_pixel() -> None:
    events = events_from_columns([1_000_000, 5, 9, 20], [0] * 4, [0] * 4, [1] * 4)
    assert rows(through([refractory(10)], recording(events)))["t"].tolist() == [1_000_000, 5, 20]


def test_the_first_event_passes_however_far_away_in_time() -> None:
    for t in (1 - 2**62, 0, 2**62 - 1):
        events = events_from_columns([t], [0], [0], [1])
        assert len(rows(through([refractory(3_600_000_000)], recording(events)))) == 1
