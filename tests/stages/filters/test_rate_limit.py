"""Rate limit: of each interval a fair sample passes, and never more than may."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import account, event_arrays, recording, rows, through

from pipeline.events import EventArray, empty_events, events_from_columns
from pipeline.messages import EndRecording, Events, Message, Reset, control, data
from pipeline.ports import EventsPort
from pipeline.stage import PortError
from stages.filters.rate_limit import RateLimit, RateLimitConfig


def rate_limit(allowed: int = 5, interval_us: int = 100) -> RateLimit:
    """A stage that lets ``allowed`` events pass in each interval."""
    per_s = -(-allowed * 1_000_000 // interval_us)
    config = RateLimitConfig(max_events_per_s=per_s, interval_us=interval_us)
    return RateLimit("limit", config, [EventsPort(8, 6)])


def mix(value: int) -> int:
    """SplitMix64's finaliser, as a signed number."""
    bits = value * 0x9E3779B97F4A7C15 % 2**64
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
    bits ^= bits >> 31
    return bits - 2**64 if bits >= 2**63 else bits


def twin(events: EventArray, allowed: int, interval_us: int) -> list[Any]:
    """The slow way: intervals as lists, and the smallest keys of each."""
    intervals: list[tuple[int, list[Any]]] = []
    for event in events.tolist():
        ahead_us = event[0] - intervals[-1][0] if intervals else interval_us
        if ahead_us >= interval_us or ahead_us <= -1_000_000:
            intervals.append((event[0] // interval_us * interval_us, []))
        intervals[-1][1].append(event)
    passed = []
    for start_us, held in intervals:
        keys = [mix(number ^ mix(start_us)) for number in range(len(held))]
        largest = sorted(keys)[:allowed][-1]
        passed += [event for event, key in zip(held, keys, strict=True) if key <= largest]
    return passed


@given(event_arrays(max_events=100, ordered=False), st.integers(1, 20), st.sampled_from([30, 100]))
def test_equals_the_slow_twin(events: EventArray, allowed: int, interval_us: int) -> None:
    per_s = allowed * 1_000_000 // interval_us
    allowed = per_s * interval_us // 1_000_000
    if not allowed:
        return
    config = RateLimitConfig(max_events_per_s=per_s, interval_us=interval_us)
    stage = RateLimit("limit", config, [EventsPort(8, 6)])
    out = rows(through([stage], recording(events)))
    assert out.tolist() == twin(events, allowed, interval_us)


def test_an_interval_gives_all_that_may_pass_and_says_what_did_not() -> None:
    t = [*range(0, 100, 2), *range(100, 200, 33)]
    events = events_from_columns(t, [0] * len(t), [0] * len(t), [1] * len(t))
    out = rows(through([rate_limit(allowed=5)], recording(events)))
    assert np.count_nonzero(out["t"] < 100) == 5
    assert np.count_nonzero(out["t"] >= 100) == 4
    refused = account(rate_limit(allowed=5), list(recording(events))).refused
    assert refused == {"of impossible time": 0, "above the rate limit": 45}


def test_no_place_and_no_moment_is_favoured() -> None:
    # 2000 intervals in which each pixel fires once, row after row, as a sensor is read out.
    intervals, pixels = 2000, 48
    t = np.repeat(np.arange(intervals) * 100, pixels) + np.tile(np.arange(pixels), intervals)
    place = np.tile(np.arange(pixels), intervals)
    events = events_from_columns(t, place % 8, place // 8, place % 2)
    out = rows(through([rate_limit(allowed=12)], recording(events)))
    counts = np.bincount(out["y"] * 8 + out["x"], minlength=pixels)
    assert counts.sum() == intervals * 12
    expected = intervals * 12 / pixels
    deviation = (counts - expected) / np.sqrt(expected * (1 - 12 / pixels))
    assert np.abs(deviation).max() < 4.5
    assert 0.5 < np.square(deviation).mean() < 1.7
    # Neither does one event's fate depend on its neighbour's.
    passed = np.zeros((intervals, pixels), dtype=bool)
    passed[out["t"] // 100, out["y"] * 8 + out["x"]] = True
    together = np.mean(passed[:, :-1] & passed[:, 1:])
    assert together == pytest.approx(12 / 48 * 11 / 47, rel=0.05)


def idle(watermark_us: int) -> Message:
    times = {"t_first_us": 0, "t_last_us": 0, "watermark_us": watermark_us}
    return data(Events, empty_events(), stream="cam", **times)


def sent(messages: list[Message]) -> NDArray[Any]:
    return np.array([len(m.array) for m in messages if isinstance(m.header, Events)])


def test_a_watermark_closes_the_interval_of_an_idle_stream() -> None:
    start, first, *_ = recording(events_from_columns([3, 50], [0, 1], [0, 0], [1, 1]))
    out = through([rate_limit()], [start, first, idle(99), idle(100)])
    assert sent(out).tolist() == [0, 0, 0, 2]
    # What is held back is not promised to have passed.
    watermarks = [m.header.watermark_us for m in out if isinstance(m.header, Events)]
    assert watermarks == [3, 3, 3, 100]


def test_a_reset_and_the_end_let_go_of_what_is_held() -> None:
    start, first, second, end = recording(events_from_columns([3, 50], [0, 1], [0, 0], [1, 1]), [1])
    out = through([rate_limit()], [start, first, control(Reset(stream="cam")), second, end])
    assert [len(m.array) or type(m.header).__name__ for m in out] == [
        "Start",
        "Events",
        1,
        "Reset",
        "Events",
        1,
        "EndRecording",
    ]
    assert isinstance(out[-1].header, EndRecording)


def test_a_limit_below_one_event_an_interval_is_refused() -> None:
    config = RateLimitConfig(max_events_per_s=999, interval_us=1000)
    with pytest.raises(PortError, match=r"no event fits into 1000 µs.*must be >= 1002") as caught:
        RateLimit("limit", config, [EventsPort(8, 6)]).port()
    assert caught.value.key == "interval_us"


def test_a_limit_that_would_hold_too_much_is_refused() -> None:
    config = RateLimitConfig(max_events_per_s=100_000_000, interval_us=1_000_000)
    with pytest.raises(PortError, match=r"100000000 events may pass in 1000000 µs.*shorter"):
        RateLimit("limit", config, [EventsPort(8, 6)]).port()
