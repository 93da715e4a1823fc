"""Late events: put out beside the windows, each once, and never into a window that was sent."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs
from streams import account, cuts, event_arrays, recording, through

from pipeline.events import EventArray, concatenate_events, events_from_columns
from pipeline.messages import Events, Frames, Message
from pipeline.ports import EventsPort
from stages.binning.time_bin import TimeBin, TimeBinConfig


def bins(asked: bool = True, **options: Any) -> TimeBin:
    config = TimeBinConfig(**{"window_us": 10, **options})
    stage = TimeBin("bins", config, [EventsPort(8, 6, live=True)])
    stage.taken_outputs = frozenset({"late"} if asked else ())
    return stage


def running_ahead(messages: Iterable[Message], ahead_us: Iterable[int]) -> list[Message]:
    """As of a live source that passed time on, and whose device then hands over what is older."""
    ahead, found = iter(ahead_us), list(messages)
    for k, message in enumerate(found):
        if isinstance(message.header, Events):
            mark_us = max(message.header.watermark_us, 0) + next(ahead, 0)
            found[k] = message._replace(
                header=structs.replace(message.header, watermark_us=mark_us)
            )
    return found


def late_of(messages: Iterable[Message]) -> EventArray:
    return concatenate_events([message.array for message in messages if message.output == "late"])


def late_by_hand(
    messages: Iterable[Message], window_us: int, step_us: int
) -> list[tuple[int, int, int, int]]:
    """One event after the other: late is what lies before the end of a window that is closed."""
    late, origin_us, closed_us = [], None, -(2**63)

    def close(t_us: int) -> int:
        # The latest end of a window that is not after the time that is reached.
        assert origin_us is not None
        count = (t_us - origin_us - window_us) // step_us + 1
        return max(closed_us, origin_us + (count - 1) * step_us + window_us if count > 0 else 0)

    for message in messages:
        if not isinstance(message.header, Events):
            continue
        for event in message.array.tolist():
            if origin_us is None:
                origin_us = closed_us = event[0]
            if event[0] < closed_us:
                late.append(event)
            else:
                closed_us = close(event[0])
        if origin_us is not None:
            closed_us = close(message.header.watermark_us)
    return late


@given(
    event_arrays(ordered=False),
    cuts(),
    st.lists(st.integers(0, 40), max_size=10),
    st.sampled_from([(10, 10), (10, 5), (10, 25), (20, 7)]),
)
@example(events_from_columns([20, 5, 31, 29], [0] * 4, [0] * 4, [1] * 4), [2], [7], (10, 10))
def test_a_window_is_sent_once_and_what_comes_behind_it_is_put_out_as_late(
    events: EventArray, where: list[int], ahead_us: list[int], grid: tuple[int, int]
) -> None:
    window_us, step_us = grid
    messages = running_ahead(recording(events, where), ahead_us)
    out = through([bins(window_us=window_us, step_us=step_us)], messages)
    windows = [m.header.windows for m in out if isinstance(m.header, Frames)]
    spans = [(w.first + k, w.span_us(k)) for w in windows for k in range(len(w))]
    assert [number for number, _ in spans] == [*range(len(spans))]
    assert all(start == spans[0][1][0] + k * step_us for k, (start, _) in spans)
    late = late_of(out)
    assert late.tolist() == late_by_hand(messages, window_us, step_us)
    # Nothing is lost and nothing is there twice.
    result = account(bins(window_us=window_us, step_us=step_us), messages)
    assert result.taken == len(events) == result.used + sum(result.refused.values())
    assert result.refused["late"] == len(late)
    assert result.made == result.due == len(spans)
    if step_us == window_us:
        drawn = sum(int(m.array.sum()) for m in out if isinstance(m.header, Frames))
        assert drawn + len(late) == len(events)


@given(event_arrays(ordered=False), cuts(), st.lists(st.integers(0, 40), max_size=10))
def test_whether_late_events_are_taken_changes_no_frame(
    events: EventArray, where: list[int], ahead_us: list[int]
) -> None:
    messages = running_ahead(recording(events, where), ahead_us)
    asked, alone = through([bins()], messages), through([bins(asked=False)], messages)
    kept = [message for message in asked if not message.output]
    assert [message.header for message in kept] == [message.header for message in alone]
    for one, other in zip(kept, alone, strict=True):
        np.testing.assert_array_equal(one.array, other.array)


@given(event_arrays(ordered=False), cuts())
def test_the_cut_of_the_stream_never_changes_what_is_late(
    events: EventArray, where: list[int]
) -> None:
    whole, cut = (through([bins()], recording(events, at)) for at in ([], where))
    assert late_of(whole).tolist() == late_of(cut).tolist()


def test_late_events_are_a_stream_that_can_be_binned_again() -> None:
    """Each message passes the watermark on, those without late events too."""
    events = events_from_columns([0, 30, 5, 70, 8], range(5), [0] * 5, [1] * 5)
    first = through([bins()], recording(events, [2, 4]))
    again = [
        message._replace(output="") for message in first if message.output or message.is_control
    ]
    marks = [m.header.watermark_us for m in again if isinstance(m.header, Events)]
    assert marks == [30, 70, 70]
    (frames,) = (m for m in through([bins(False, window_us=100)], again) if len(m.array))
    assert frames.array.sum() == 2
    assert isinstance(frames.header, Frames)
    assert frames.header.windows.start_us == 5


def test_what_is_late_has_the_port_of_what_is_taken() -> None:
    assert bins().side_port("late") == EventsPort(8, 6, live=True)
    assert TimeBin.side_outputs == ("late",)


@pytest.mark.parametrize("asked", [False, True])
def test_events_outside_the_sensor_are_not_late(asked: bool) -> None:
    events = events_from_columns([0, 20, 3, 21], [0, 8, 1, 9], [0] * 4, [1] * 4)
    out = through([bins(asked)], recording(events))
    assert late_of(out)["x"].tolist() == ([1] if asked else [])
