"""Steps: each recording cut or filled up to the same number of frames."""

from dataclasses import replace

import numpy as np
import pytest
from frame_streams import STEP_US, frame_messages, frame_recording, spans_us
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import account, cuts, rows, through

from pipeline.messages import EndRecording, Frames, Message, Start, Windows, control, data
from pipeline.ports import FramesPort
from stages.datasets.examples import fit
from stages.frames.steps import Steps, StepsConfig

PORT = FramesPort(2, 3, 4, STEP_US, STEP_US)


def steps(count: int) -> Steps:
    return Steps("steps", StepsConfig(count=count), [PORT])


def frames(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(1, 256, (count, 2, 3, 4), np.uint8)


def test_the_port_says_how_many_there_will_be() -> None:
    assert steps(5).port() == replace(PORT, steps=5)


@given(length=st.integers(1, 12), count=st.integers(1, 12), cut=cuts(12))
def test_frames_are_cut_or_filled_up_as_for_training(
    length: int, count: int, cut: list[int]
) -> None:
    x = frames(length)
    out = through([steps(count)], frame_recording(x, cut))
    np.testing.assert_array_equal(rows(out), fit(x, count))
    assert spans_us(out) == [(k * STEP_US, (k + 1) * STEP_US) for k in range(count)]
    windows = [m.header.windows for m in out if isinstance(m.header, Frames)]
    assert [one.first + k for one in windows for k in range(len(one))] == list(range(count))
    result = account(steps(count), list(frame_recording(x, cut)))
    assert result.taken == length == result.used + result.refused["behind the last step"]
    assert result.made == result.due == count
    assert result.notes == {"empty steps filled up with": max(0, count - length)}


def test_what_is_filled_up_has_no_event() -> None:
    out = through([steps(3)], frame_recording(frames(1)))
    last = [t for m in out if isinstance(m.header, Frames) for t in m.header.windows.last_event_us]
    assert last == [0, None, None]


def test_every_recording_is_counted_anew() -> None:
    both = [*frame_recording(frames(5)), *frame_recording(frames(2), epoch=1)]
    assert len(rows(through([steps(3)], both))) == 6


def test_a_recording_without_frames_stays_without() -> None:
    out = through([steps(3)], frame_recording(frames(0)))
    assert [type(m.header) for m in out] == [Start, EndRecording]
    result = account(steps(3), list(frame_recording(frames(0))))
    assert (result.taken, result.made, result.due) == (0, 0, 0)


def test_frames_are_passed_on_as_they_come() -> None:
    stage = steps(4)
    stage.open()
    state = stage.start(Start(stream="cam", width=4, height=3, source="a test"))
    (message,) = frame_messages(frames(2))
    assert len(next(stage.process(state, message)).array) == 2


def spanned(spans: list[tuple[int, int]]) -> list[Message]:
    windows = Windows(0, spans[0][0], 0, 0, (None,) * len(spans), True, tuple(spans))
    x = frames(len(spans))
    return [
        control(Start(stream="cam", width=4, height=3, source="a test")),
        data(Frames, x, stream="cam", t_first_us=0, t_last_us=0, windows=windows),
        control(EndRecording(stream="cam")),
    ]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [(0, 7)]), (2, [(0, 7), (7, 19)]), (4, [(0, 7), (7, 19), (19, 19), (19, 19)])],
)
def test_windows_without_a_grid_keep_their_spans(
    count: int, expected: list[tuple[int, int]]
) -> None:
    out = through([steps(count)], spanned([(0, 7), (7, 19)]))
    assert spans_us(out) == expected
    partial = [m.header.windows.partial for m in out if isinstance(m.header, Frames)]
    assert partial[0] == (count > 1), "the last window was closed by the end, the first was not"
