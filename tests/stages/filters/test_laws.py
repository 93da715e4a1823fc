"""What holds for every filter: cuts change nothing, every event is accounted for, inputs stay."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import account, cuts, recording, rows, through

from pipeline.errors import StageError
from pipeline.events import EventArray, empty_events, events_from_columns
from pipeline.messages import EndRecording, Events, Reset, Start, control, data
from pipeline.offline import run_chain
from pipeline.ports import EventsPort
from pipeline.registry import BUILT_IN, load_stage

SENSOR = EventsPort(8, 6)

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "roi": [
        {"x": 2, "y": 1, "width": 4, "height": 5},
        {"x": 2, "y": 1, "width": 4, "height": 5, "rebase": True},
    ],
    "polarity": [{"mode": "on"}, {"mode": "invert"}],
    "downsample": [{"factor_x": 3, "factor_y": 2}],
    "orient": [{"flip_x": True}, {"rotate": 90}],
    "refractory": [{"period_us": 30}],
    "background_activity": [{"tau_us": 5}, {"tau_us": 3, "radius": 2, "own_pixel": True}],
    "hot_pixel": [
        {"pixels": [(3, 3), (0, 5)]},
        {"learn_us": 100, "times_neighbours": 2, "min_rate_hz": 0},
    ],
    "rate_limit": [
        {"max_events_per_s": 100_000, "interval_us": 50},
        {"max_events_per_s": 20_000, "interval_us": 50},
    ],
    "time_shift": [{"shift_us": -1000}, {"start_us": 0}],
    "undistort": [{"file": Path(__file__).with_name("lens.json")}],
}
CASES = [
    pytest.param(name, options, id=f"{name}-{number}")
    for name, several in OPTIONS.items()
    for number, options in enumerate(several)
]
NOT_BY_PLACE = {"polarity", "rate_limit", "time_shift"}
"""Filters that do not look at coordinates."""


def make(name: str, options: dict[str, Any]) -> Any:
    found = load_stage(name)
    return found(name, found.Config(**options), [SENSOR])


EXTREME_US = [-(2**63), -(2**62), 1 - 2**62, 2**62 - 1, 2**62, 2**63 - 1]


def wild(ordered: bool = False) -> st.SearchStrategy[EventArray]:
    """Events in any order, some of them outside the sensor of 8×6, some of impossible time."""

    def build(seed: int, count: int, extremes: int) -> EventArray:
        rng = np.random.default_rng(seed)
        t = rng.integers(0, 400, count)
        t[rng.integers(0, count, extremes) if count else t] = rng.choice(EXTREME_US)
        x, y, p = (rng.integers(low, high, count) for low, high in ((-1, 9), (-1, 7), (0, 2)))
        return events_from_columns(np.sort(t) if ordered else t, x, y, p)

    extremes = st.just(0) if ordered else st.integers(0, 2)
    return st.builds(build, st.integers(0, 2**32), st.integers(0, 80), extremes)


every = pytest.mark.parametrize(("name", "options"), CASES)


def test_every_filter_is_held_to_these_laws() -> None:
    filters = {name for name, place in BUILT_IN.items() if place.startswith("stages.filters.")}
    assert filters == set(OPTIONS)


@every
@settings(max_examples=30)
@given(events=wild(), where=cuts(80))
def test_cuts_never_change_what_passes(
    name: str, options: dict[str, Any], events: EventArray, where: list[int]
) -> None:
    whole = rows(through([make(name, options)], recording(events)))
    cut = rows(through([make(name, options)], recording(events, where)))
    assert whole.tobytes() == cut.tobytes()


@every
@settings(max_examples=30)
@given(events=wild(), where=cuts(80))
def test_every_event_is_accounted_for(
    name: str, options: dict[str, Any], events: EventArray, where: list[int]
) -> None:
    messages = list(recording(events, where))
    out = rows(through([make(name, options)], messages))
    result = account(make(name, options), messages)
    assert result.taken == len(events)
    assert result.used == result.made == len(out)
    assert result.taken == result.used + sum(result.refused.values())


@every
@settings(max_examples=30)
@given(events=wild(ordered=True), where=cuts(80))
def test_headers_tell_what_is_in_the_messages(
    name: str, options: dict[str, Any], events: EventArray, where: list[int]
) -> None:
    stage = make(name, options)
    out = through([stage], recording(events, where))
    start = out[0].header
    port = stage.port()
    assert isinstance(start, Start)
    assert (start.width, start.height) == (port.width, port.height)
    watermark_us = -(2**63)
    for message in out:
        if isinstance(message.header, Events):
            # What one message promises the next ones keep.
            assert (message.array["t"] >= watermark_us).all()
            assert message.header.watermark_us >= watermark_us
            watermark_us = message.header.watermark_us
    # In the end nothing is held back any more.
    if len(events):
        shift_us = options.get("shift_us", -int(events["t"][0]) if "start_us" in options else 0)
        assert watermark_us == events["t"][-1] + shift_us


@every
@settings(max_examples=30)
@given(events=wild(ordered=True))
def test_every_event_that_passes_is_on_the_sensor_that_was_announced(
    name: str, options: dict[str, Any], events: EventArray
) -> None:
    stage = make(name, options)
    passed = rows(through([stage], recording(events)))
    if name in NOT_BY_PLACE or not len(passed):
        return
    port = stage.port()
    assert 0 <= passed["x"].min() <= passed["x"].max() < port.width
    assert 0 <= passed["y"].min() <= passed["y"].max() < port.height


@every
def test_an_event_outside_the_sensor_is_refused_by_whoever_looks_at_its_place(
    name: str, options: dict[str, Any]
) -> None:
    x, y = [8, -1, 0, 0, -(2**15), 2**15 - 1], [0, 0, 6, -1, -(2**15), 2**15 - 1]
    events = events_from_columns(range(6), x, y, [1] * 6)
    refused = account(make(name, options), list(recording(events))).refused
    if name not in NOT_BY_PLACE:
        assert refused["outside the sensor"] == 6
    else:
        assert "outside the sensor" not in refused


@every
def test_what_was_sent_is_not_written_to_later(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    t = np.sort(rng.integers(0, 1000, 300))
    events = events_from_columns(t, rng.integers(0, 8, 300), rng.integers(0, 6, 300), t % 2)
    stage = make(name, options)
    flow = run_chain(recording(events, range(0, 300, 20)), [stage])
    sent = [(message, message.array.tobytes()) for message in flow]
    assert all(message.array.tobytes() == then for message, then in sent)
    assert not any(message.array.flags.writeable for message, _ in sent)


@every
def test_an_empty_message_passes_with_its_watermark_and_epoch(
    name: str, options: dict[str, Any]
) -> None:
    start = Start(stream="cam", epoch=3, width=8, height=6, source="test", t_first_us=0)
    times = {"t_first_us": 0, "t_last_us": 0, "watermark_us": 4_000_000}
    empty = data(Events, empty_events(), stream="cam", epoch=3, **times)
    end = control(EndRecording(stream="cam", epoch=3))
    shift_us = options.get("shift_us", 0)
    out = through([make(name, options)], [control(start), empty, end])
    (header,) = (m.header for m in out if isinstance(m.header, Events))
    assert header.watermark_us == 4_000_000 + shift_us
    assert [m.header.epoch for m in out] == [3, 3, 3]


@every
@settings(max_examples=30)
@given(events=wild(ordered=True), cut=st.integers(0, 80))
def test_after_a_reset_a_filter_is_as_new(
    name: str, options: dict[str, Any], events: EventArray, cut: int
) -> None:
    if name == "time_shift":
        return  # its shift is no memory of events
    start, first, second, end = recording(events, [cut])
    reset = control(Reset(stream="cam"))
    out = through([make(name, options)], [start, first, reset, second, end])
    apart = [
        rows(through([make(name, options)], [start, part, end])).tobytes()
        for part in (first, second)
    ]
    assert rows(out).tobytes() == b"".join(apart)
    places = [type(m.header).__name__ for m in out]
    assert places.count("Reset") == 1


@pytest.mark.parametrize("size", [(0, 6), (32_769, 6), (32_768, 32_768)])
@pytest.mark.parametrize("name", ["polarity", "refractory"])
def test_no_memory_is_taken_for_a_sensor_of_impossible_size(
    name: str, size: tuple[int, int]
) -> None:
    start, *_ = recording(empty_events(), width=size[0], height=size[1])
    with pytest.raises(StageError, match=rf"the size of the sensor is {size[0]}×{size[1]}, must"):
        through([make(name, OPTIONS[name][0])], [start])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("roi", {"x": 0, "y": 0, "width": 8, "height": 6}),
        ("polarity", {"mode": "on"}),
        ("downsample", {"factor_x": 1, "factor_y": 1}),
        ("orient", {}),
        ("refractory", {"period_us": 1}),
        ("hot_pixel", {"pixels": [(7, 5)]}),
    ],
)
def test_events_that_all_stay_are_not_copied(name: str, options: dict[str, Any]) -> None:
    events = events_from_columns(range(0, 50, 5), [1] * 10, [2] * 10, [1] * 10)
    start, message, _ = recording(events)
    assert through([make(name, options)], [start, message])[1] is message
