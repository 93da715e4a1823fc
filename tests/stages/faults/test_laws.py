"""What holds for every fault: cuts change nothing, every row is accounted for, none is invented."""

from typing import Any

import numpy as np
import pytest
from doubles import predictions
from frame_streams import STEP_US, frame_recording, spans_us
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import account, cuts, event_arrays, recording, rows, through

from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.events import EventArray, empty_events, events_from_columns
from pipeline.messages import EndRecording, Events, Message, Reset, control
from pipeline.ports import EventsPort, FramesPort, PredictionsPort
from pipeline.registry import BUILT_IN, load_stage
from stages.binning.time_bin import TimeBin, TimeBinConfig

SENSOR = EventsPort(8, 6)
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "fault_drop": [{"probability": 0.3}, {"probability": 1, "from_us": 100, "until_us": 200}],
    "fault_duplicate": [{"probability": 0.3}],
    "fault_reorder": [{"probability": 0.3}, {"probability": 0.5, "by": 7}],
    "fault_delay": [{"probability": 0.3, "delay_us": 20}, {"probability": 0.1, "delay_us": 9999}],
    "fault_corrupt": [{"probability": 0.3}, {"probability": 0.5, "fields": ["t"]}],
    "fault_slow": [{"sleep_us": 1e-3}],
}
CASES = [
    pytest.param(name, options, id=f"{name}-{number}")
    for name, several in OPTIONS.items()
    for number, options in enumerate(several)
]
ONCE = {"fault_kill", "fault_hang", "fault_raise", "fault_full_disk"}
"""Faults that change nothing of what they pass on; see test_few.py."""


def make(name: str, options: dict[str, Any], port: Any = SENSOR) -> Any:
    found = load_stage(name)
    return found(name, found.Config(**options), [port])


every = pytest.mark.parametrize(("name", "options"), CASES)
seeds = st.integers(0, 2**63 - 1)


def test_every_fault_is_held_to_these_laws() -> None:
    faults = {name for name, place in BUILT_IN.items() if place.startswith("stages.faults.")}
    assert faults == set(OPTIONS) | ONCE


@every
@settings(max_examples=20)
@given(events=event_arrays(ordered=False), where=cuts(), seed=seeds)
def test_cuts_change_nothing(
    name: str, options: dict[str, Any], events: EventArray, where: list[int], seed: int
) -> None:
    stage = make(name, options | {"seed": seed})
    whole = through([stage], recording(events))
    assert rows(through([stage], recording(events, where))).tobytes() == rows(whole).tobytes()


@every
@settings(max_examples=20)
@given(events=event_arrays(), where=cuts(), seed=seeds)
def test_cuts_do_not_show_in_the_bins_behind(
    name: str, options: dict[str, Any], events: EventArray, where: list[int], seed: int
) -> None:
    if options.get("fields"):
        events = events[:0]  # one wrong time may be centuries ahead, which ends a run
    bins = TimeBin("bins", TimeBinConfig(window_us=30), [SENSOR])
    fault = make(name, options | {"seed": seed})
    whole = rows(through([fault, bins], recording(events)))
    np.testing.assert_array_equal(rows(through([fault, bins], recording(events, where))), whole)


@every
@settings(max_examples=20)
@given(events=event_arrays(), where=cuts(), seed=seeds)
def test_every_row_is_accounted_for(
    name: str, options: dict[str, Any], events: EventArray, where: list[int], seed: int
) -> None:
    stage = make(name, options | {"seed": seed})
    made = len(rows(through([stage], recording(events, where))))
    told = account(stage, recording(events, where))
    assert told.taken == len(events) == told.used + sum(told.refused.values())
    assert told.made == told.due == made


@every
@settings(max_examples=20)
@given(events=event_arrays(), where=cuts(), seed=seeds)
def test_no_event_comes_behind_the_watermark(
    name: str, options: dict[str, Any], events: EventArray, where: list[int], seed: int
) -> None:
    stage = make(name, options | {"seed": seed})
    reached = -(2**63)
    for message in through([stage], recording(events, where)):
        if isinstance(message.header, Events):
            assert (message.array["t"] >= reached).all()
            reached = max(reached, message.header.watermark_us)


def steps(stage: Any, messages: list[Message], at: int | None) -> bytes:
    """What comes out, where the stage's state has been through a checkpoint in front of ``at``."""
    stage.open()
    state: Any = None
    out = []
    for number, message in enumerate(messages):
        if number == at:
            saved = pack(stage.snapshot(state))
            stage = make(stage.name, stage.config.model_dump(), *stage.inputs)
            stage.open()
            state = stage.restore(unpack(saved, classes_of(type(stage))))
        turn = stage.step(state, message)
        while True:
            try:
                out.append(next(turn))
            except StopIteration as end:
                state = end.value
                break
    return rows(out).tobytes()


@every
@settings(max_examples=20)
@given(events=event_arrays(), where=cuts(), seed=seeds, at=st.integers(0, 11))
def test_a_checkpoint_changes_nothing(
    name: str, options: dict[str, Any], events: EventArray, where: list[int], seed: int, at: int
) -> None:
    stage = make(name, options | {"seed": seed})
    messages = list(recording(events, where))
    assert steps(stage, messages, at) == steps(stage, messages, None)


@every
@settings(max_examples=20)
@given(ends=st.lists(st.integers(1, 400), max_size=20), where=cuts(20), seed=seeds)
def test_predictions_are_struck_as_events_are(
    name: str, options: dict[str, Any], ends: list[int], where: list[int], seed: int
) -> None:
    start, *_, end = recording(empty_events())
    ends.sort()
    parts = np.split(np.array(ends, int), sorted(min(cut, len(ends)) for cut in where))
    stage = make(name, options | {"seed": seed}, PredictionsPort(("only",)))
    cut = [start, *(predictions(part.tolist()) for part in parts), end]
    whole = through([stage], [start, predictions(ends), end])
    assert rows(through([stage], cut)).tobytes() == rows(whole).tobytes()
    for message in whole:
        if not message.is_control:
            spans = message.header.spans  # type: ignore[attr-defined]
            assert len(spans) == len(message.array)
            if name != "fault_corrupt":
                assert [float(span.window) for span in spans] == message.array[:, 0].tolist()
    told = account(stage, cut)
    assert told.made == told.due == len(rows(whole))
    assert told.unit_in == "predictions"


@every
@settings(max_examples=20)
@given(count=st.integers(0, 12), where=cuts(12), seed=seeds)
def test_frames_keep_their_windows(
    name: str, options: dict[str, Any], count: int, where: list[int], seed: int
) -> None:
    frames = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    stage = make(name, options | {"seed": seed}, FramesPort(1, 1, 1, STEP_US, STEP_US))
    whole = through([stage], frame_recording(frames))
    cut = through([stage], frame_recording(frames, where))
    assert rows(cut).tobytes() == rows(whole).tobytes()
    assert spans_us(cut) == spans_us(whole)
    if name != "fault_corrupt":
        numbers = rows(whole).reshape(-1).astype(int)
        assert spans_us(whole) == [(int(k) * STEP_US, int(k + 1) * STEP_US) for k in numbers]
    told = account(stage, frame_recording(frames, where))
    assert (told.made, told.due, told.unit_in) == (len(rows(whole)), len(rows(whole)), "windows")


def test_what_is_held_leaves_before_a_reset() -> None:
    t = np.arange(1000)
    stage = make("fault_delay", {"probability": 1, "delay_us": 10_000})
    start, events, end = recording(events_from_columns(t, t % 8, t % 6, t % 2))
    out = through([stage], [start, events, control(Reset(stream="cam")), end])
    kinds = [type(message.header) for message in out]
    assert kinds.index(Reset) == len(kinds) - 2
    assert len(rows(out[: kinds.index(Reset)])) == 1000
    assert kinds[-1] is EndRecording
