"""Frame difference: a video as an event camera would have seen it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from frame_streams import STEP_US, frame_messages, frame_recording, spans_us
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import account, cuts, rows, through

from pipeline.errors import StageError
from pipeline.messages import EndRecording, Frames, Message, Reset, Start, control
from pipeline.ports import FramesPort
from pipeline.stage import PortError
from stages.frames.frame_difference import FrameDifference, FrameDifferenceConfig

GREY = FramesPort(1, 3, 4, STEP_US, STEP_US, "grey")


def difference(port: FramesPort = GREY, **options: Any) -> FrameDifference:
    return FrameDifference("events", FrameDifferenceConfig(**options), [port])


def frames(count: int = 6) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, 1, 3, 4), np.uint8)


def row(*pixels: int) -> NDArray[np.uint8]:
    return np.array(pixels, np.uint8).reshape(1, 1, 1, -1)


def test_a_pixel_counts_that_changed_by_more_than_the_threshold() -> None:
    before, after = row(100, 100, 100, 100, 0, 255), row(110, 111, 90, 89, 255, 0)
    messages = through([difference(threshold=10)], frame_recording(np.concatenate([before, after])))
    (message,) = (m for m in messages if isinstance(m.header, Frames))
    assert message.array.dtype == np.uint8
    off, on = message.array[0, :, 0].tolist()
    assert on == [0, 1, 0, 0, 1, 0]
    assert off == [0, 0, 0, 1, 0, 1]


def test_a_difference_is_of_the_time_between_its_frames() -> None:
    messages = through([difference()], frame_recording(frames(3)))
    assert spans_us(messages) == [(0, STEP_US), (STEP_US, 2 * STEP_US)]
    (header,) = (m.header for m in messages if isinstance(m.header, Frames))
    assert header.windows.last_event_us == (STEP_US, 2 * STEP_US)
    assert (header.t_first_us, header.t_last_us) == (0, 2 * STEP_US)


def test_its_frames_are_windows_of_events_of_the_same_step() -> None:
    assert difference().port() == FramesPort(2, 3, 4, STEP_US, STEP_US, "binary")
    of_eight = FramesPort(1, 3, 4, STEP_US, STEP_US, "grey", "video", 8)
    assert difference(of_eight).port() == FramesPort(
        2, 3, 4, STEP_US, STEP_US, "binary", "video", 7
    )


@given(cut=cuts(6), threshold=st.integers(0, 100))
def test_cuts_change_nothing(cut: list[int], threshold: int) -> None:
    stage = difference(threshold=threshold)
    whole = through([stage], frame_recording(frames()))
    messages = through([stage], frame_recording(frames(), cut))
    np.testing.assert_array_equal(rows(messages), rows(whole))
    assert len(rows(messages)) == 5
    assert spans_us(messages) == spans_us(whole)
    firsts = [m.header.windows.first for m in messages if isinstance(m.header, Frames)]
    lengths = [len(m.array) for m in messages if isinstance(m.header, Frames)]
    assert firsts == [sum(lengths[:k]) for k in range(len(lengths))]


def with_reset() -> Iterator[Message]:
    yield control(Start(stream="cam", width=4, height=3, source="a test"))
    yield from frame_messages(frames(3))
    yield control(Reset(stream="cam"))
    yield from frame_messages(frames(2))
    yield control(EndRecording(stream="cam"))


def test_after_a_reset_there_is_no_frame_before() -> None:
    messages = through([difference()], with_reset())
    assert [len(m.array) for m in messages if isinstance(m.header, Frames)] == [2, 1]
    done = account(difference(), with_reset())
    assert (done.taken, done.used, done.made, done.due) == (5, 5, 3, 3)


def test_recordings_have_nothing_to_do_with_each_other() -> None:
    twice = [*frame_recording(frames(3)), *frame_recording(frames(3), epoch=1)]
    messages = through([difference()], twice)
    first, second = (m.array for m in messages if isinstance(m.header, Frames))
    np.testing.assert_array_equal(first, second)


def test_what_is_not_grey_is_refused() -> None:
    with pytest.raises(PortError) as caught:
        difference(FramesPort(3, 3, 4, STEP_US, STEP_US, "rgb")).port()
    assert str(caught.value) == (
        'takes grey frames, its input gives 3 channels of rgb; set colour = "grey" in the source'
    )


def test_frames_of_two_sizes_have_no_difference() -> None:
    def stream() -> Iterator[Message]:
        yield from list(frame_recording(frames(1)))[:-1]
        yield from frame_messages(frames(1)[..., :2])

    with pytest.raises(StageError, match=r"a frame of \(3, 2\) follows one of \(3, 4\)"):
        through([difference()], stream())
