"""Time shift: events, watermarks and clocks moved by one amount."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import account, cuts, event_arrays, recording, rows, through

from pipeline.events import EventArray, empty_events, events_from_columns
from pipeline.messages import Clock, Events, Message, Retime, Start, control, data
from pipeline.ports import EventsPort
from pipeline.stage import PortError
from stages.filters.time_shift import TimeShift, TimeShiftConfig

LIMIT_US = 2**62
AMOUNT_US = st.one_of(
    st.integers(-1000, 1000), st.sampled_from([1 - LIMIT_US, LIMIT_US - 1, LIMIT_US // 2])
)


def time_shift(**options: Any) -> TimeShift:
    return TimeShift("shift", TimeShiftConfig(**options), [EventsPort(8, 6)])


@given(event_arrays(ordered=False), AMOUNT_US)
def test_adds_the_shift_to_what_stays_possible(events: EventArray, shift_us: int) -> None:
    out = rows(through([time_shift(shift_us=shift_us)], recording(events)))
    shifted = [(t + shift_us, *rest) for t, *rest in events.tolist()]
    assert out.tolist() == [event for event in shifted if abs(event[0]) < LIMIT_US]
    refused = account(time_shift(shift_us=shift_us), list(recording(events))).refused
    assert refused == {"of impossible time": len(events) - len(out)}


@given(event_arrays(ordered=False), AMOUNT_US, cuts(), st.booleans())
def test_starts_at_a_given_time(
    events: EventArray, start_us: int, where: list[int], told: bool
) -> None:
    start, *others = recording(events, where)
    if not told:
        start = control(Start(stream="cam", width=8, height=6, source="test"))
    out = rows(through([time_shift(start_us=start_us)], [start, *others]))
    shifted = [(t - int(events["t"][0]) + start_us, *rest) for t, *rest in events.tolist()]
    assert out.tolist() == [event for event in shifted if abs(event[0]) < LIMIT_US]


def header_of(message: Message) -> Any:
    return message.header


def test_the_start_and_every_clock_are_shifted() -> None:
    clock = Clock(t_us=1000, at_ns=5, speed=1.0)
    start = Start(stream="cam", width=8, height=6, source="test", t_first_us=1000, clock=clock)
    later = Retime(stream="cam", clock=Clock(t_us=1500, at_ns=9, speed=2.0))
    out = through([time_shift(start_us=0)], [control(start), control(later)])
    assert header_of(out[0]).t_first_us == 0
    assert header_of(out[0]).clock == Clock(t_us=0, at_ns=5, speed=1.0)
    assert header_of(out[1]).clock == Clock(t_us=500, at_ns=9, speed=2.0)


def test_nothing_is_promised_before_the_shift_is_known() -> None:
    def message(t: list[int], watermark_us: int) -> Message:
        events = events_from_columns(t, [0] * len(t), [0] * len(t), [1] * len(t))
        times = {"t_first_us": 0, "t_last_us": 0, "watermark_us": watermark_us}
        return data(Events, events if t else empty_events(), stream="cam", **times)

    start = control(Start(stream="cam", width=8, height=6, source="a camera"))
    live = [start, message([], 70), message([90, 95], 95), message([], 120)]
    out = through([time_shift(start_us=0)], live)
    assert [header_of(m).watermark_us for m in out[1:]] == [-(2**63), 5, 30]
    assert header_of(out[2]).t_first_us == 0
    assert header_of(out[2]).t_last_us == 5


@pytest.mark.parametrize(
    ("options", "problem"),
    [({}, "neither is given"), ({"shift_us": 1, "start_us": 2}, "both are given")],
)
def test_one_of_the_two_must_be_given(options: dict[str, int], problem: str) -> None:
    with pytest.raises(PortError, match=f"{problem}; give either shift_us or start_us") as caught:
        time_shift(**options).port()
    assert caught.value.key == "shift_us"
