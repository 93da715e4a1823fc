"""Background activity: an event stays if its neighbours fired just now."""

from hypothesis import given
from hypothesis import strategies as st
from streams import account, event_arrays, recording, rows, through

from pipeline.events import EventArray, events_from_columns
from pipeline.ports import EventsPort
from stages.filters.background_activity import BackgroundActivity, BackgroundActivityConfig


def denoise(tau_us: int = 10, radius: int = 1, own_pixel: bool = False) -> BackgroundActivity:
    config = BackgroundActivityConfig(tau_us=tau_us, radius=radius, own_pixel=own_pixel)
    return BackgroundActivity("denoise", config, [EventsPort(8, 6)])


@given(event_arrays(ordered=False), st.integers(1, 100), st.integers(1, 3), st.booleans())
def test_equals_the_slow_twin(
    events: EventArray, tau_us: int, radius: int, own_pixel: bool
) -> None:
    expected = []
    before: list[tuple[int, int, int, int]] = []
    for t, x, y, p in events.tolist():
        near = [
            other
            for other, column, row, _ in before
            if abs(column - x) <= radius
            and abs(row - y) <= radius
            and (own_pixel or (column, row) != (x, y))
        ]
        if near and abs(t - near[-1]) <= tau_us:
            expected.append((t, x, y, p))
        before.append((t, x, y, p))
    out = rows(through([denoise(tau_us, radius, own_pixel)], recording(events)))
    assert out.tolist() == expected


def test_lonely_events_are_refused_and_still_support_others() -> None:
    # An edge moves right from (2, 2); noise is at (7, 5).
    events = events_from_columns([0, 5, 9, 14], [2, 3, 7, 4], [2, 2, 5, 3], [1] * 4)
    assert rows(through([denoise()], recording(events)))["t"].tolist() == [5, 14]
    refused = account(denoise(), list(recording(events))).refused
    assert refused["without a neighbour"] == 2


def test_a_hot_pixel_does_not_support_itself_unless_told_to() -> None:
    events = events_from_columns(range(5), [2] * 5, [2] * 5, [1] * 5)
    assert not len(rows(through([denoise()], recording(events))))
    assert len(rows(through([denoise(own_pixel=True)], recording(events)))) == 4


def test_opposite_edges_are_no_neighbours() -> None:
    events = events_from_columns([0, 1, 2, 3], [0, 7, 0, 7], [0, 0, 5, 5], [1] * 4)
    assert not len(rows(through([denoise()], recording(events))))
