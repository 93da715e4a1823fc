"""Resize: frames of another size."""

from typing import Any

import cv2
import numpy as np
import pytest
from frame_streams import frame_recording, spans_us
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import account, cuts, rows, through

from pipeline.errors import StageError
from pipeline.messages import Frames
from pipeline.ports import FramesPort
from pipeline.stage import PortError
from stages.frames.resize import Resize, ResizeConfig
from stages.frames.scaling import scale


def resize(frame: str = "grey", channels: int = 1, **options: Any) -> Resize:
    port = FramesPort(channels, None, None, 40_000, 40_000, frame)
    return Resize("size", ResizeConfig(**options), [port])


def frames(count: int = 5, channels: int = 1, size: tuple[int, int] = (6, 9)) -> NDArray[Any]:
    return np.random.default_rng(count).integers(0, 256, (count, channels, *size), np.uint8)


def scaled(stage: Resize, given: NDArray[Any]) -> NDArray[Any]:
    arrays = [m.array for m in through([stage], frame_recording(given)) if len(m.array)]
    return np.concatenate(arrays)


def test_the_port_keeps_all_but_the_size() -> None:
    stage = resize("rgb", 3, size=(4, 5))
    assert stage.port() == FramesPort(3, 4, 5, 40_000, 40_000, "rgb")


@given(cut=cuts(6), method=st.sampled_from(["area", "bilinear", "nearest"]))
def test_cuts_change_nothing(cut: list[int], method: str) -> None:
    given_frames = frames()
    stage = resize(size=(4, 4), method=method, fit="crop")
    whole = through([stage], frame_recording(given_frames))
    messages = through([stage], frame_recording(given_frames, cut))
    np.testing.assert_array_equal(rows(messages), rows(whole))
    assert spans_us(messages) == spans_us(whole)


@pytest.mark.parametrize("method", ["area", "bilinear", "nearest"])
def test_light_stays_bytes(method: str) -> None:
    given_frames = frames(3, 3, (12, 16))
    out = scaled(resize("bgr", 3, size=(5, 7), method=method), given_frames)
    assert out.dtype == np.uint8
    assert out.shape == (3, 3, 5, 7)
    interpolation = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "nearest": 0}[method]
    expected = [
        cv2.resize(f.transpose(1, 2, 0), (7, 5), interpolation=interpolation).transpose(2, 0, 1)
        for f in given_frames
    ]
    # OpenCV rounds what it weighs bytes with.
    assert np.abs(out.astype(int) - np.array(expected).astype(int)).max() <= 1


def test_what_events_make_becomes_float_without_rounding() -> None:
    given_frames = frames(2, 2)
    out = scaled(resize("counts", 2, size=(4, 4), method="bilinear"), given_frames)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, scale(given_frames, (4, 4), "bilinear"))
    kept = scaled(resize("counts", 2, size=(3, 3), method="nearest"), given_frames)
    np.testing.assert_array_equal(kept, given_frames[:, :, ::2, ::3])


def test_a_frame_is_cropped_to_its_middle() -> None:
    given_frames = frames(1, 1, (4, 8))
    out = scaled(resize(size=(2, 2), fit="crop"), given_frames)
    middle = given_frames[:, :, :, 2:6].reshape(1, 1, 2, 2, 2, 2).mean(axis=(3, 5))
    np.testing.assert_array_equal(out, np.rint(middle))
    tall = scaled(resize(size=(2, 2), fit="crop"), given_frames.transpose(0, 1, 3, 2))
    np.testing.assert_array_equal(tall, out.transpose(0, 1, 3, 2))


def test_nothing_is_made_of_nothing() -> None:
    messages = through([resize(size=(4, 4))], frame_recording(frames(1)[:0]))
    assert not [m for m in messages if isinstance(m.header, Frames)]


def test_its_account() -> None:
    done = account(resize(size=(4, 4)), frame_recording(frames(5), [2]))
    assert (done.taken, done.used, done.made, done.due) == (5, 5, 5, 5)


def test_words_have_no_size() -> None:
    with pytest.raises(PortError) as caught:
        resize("tokens", size=(4, 4)).port()
    assert str(caught.value) == "takes frames of pixels, its input gives tokens"


def test_sums_of_event_frames_are_counts() -> None:
    stage = resize("binary", 2, size=(3, 3), method="sum")
    assert stage.port() == FramesPort(2, 3, 3, 40_000, 40_000, "counts")
    given_frames = frames(2, 2) % 2
    out = scaled(stage, given_frames)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, given_frames.reshape(2, 2, 3, 2, 3, 3).sum(axis=(3, 5)))


def test_light_has_no_sum_and_a_sum_no_finer_size() -> None:
    with pytest.raises(PortError) as caught:
        resize("grey", size=(3, 3), method="sum").port()
    problem = '"sum" is for frames of counts, binary, signed, the input gives grey'
    assert (caught.value.key, str(caught.value)) == ("method", problem)
    fine = resize("counts", size=(6, 10), method="sum")
    with pytest.raises(StageError, match=r"frames of \(6, 9\) cannot be summed to the finer size"):
        scaled(fine, frames())
    port = FramesPort(2, 6, 9, None, None, "counts")
    with pytest.raises(PortError, match=r"must be <= \(6, 9\) to be summed, got \(6, 10\)"):
        Resize("size", ResizeConfig(size=(6, 10), method="sum"), [port]).port()
