"""Polarity: one kept, or the two swapped."""

from hypothesis import given
from hypothesis import strategies as st
from streams import account, event_arrays, recording, rows, through

from pipeline.events import EventArray, events_from_columns
from pipeline.ports import EventsPort
from stages.filters.polarity import Polarity, PolarityConfig


def polarity(mode: str) -> Polarity:
    config = PolarityConfig.model_validate({"mode": mode})
    return Polarity("polarity", config, [EventsPort(8, 6)])


@given(event_arrays(), st.sampled_from(["on", "off"]))
def test_keeps_one(events: EventArray, mode: str) -> None:
    out = rows(through([polarity(mode)], recording(events)))
    assert out.tolist() == [event for event in events.tolist() if event[3] == (mode == "on")]
    refused = account(polarity(mode), list(recording(events))).refused
    assert refused == {"of the other polarity": len(events) - len(out)}


@given(event_arrays())
def test_swaps_the_two(events: EventArray) -> None:
    out = rows(through([polarity("invert")], recording(events)))
    assert out.tolist() == [(t, x, y, 1 - p) for t, x, y, p in events.tolist()]


def test_any_polarity_but_zero_is_on() -> None:
    events = events_from_columns([0, 1, 2], [0] * 3, [0] * 3, [0] * 3)
    events["p"] = [1, -1, 0]
    assert rows(through([polarity("on")], recording(events)))["p"].tolist() == [1, -1]
    assert rows(through([polarity("invert")], recording(events)))["p"].tolist() == [0, 0, 1]
