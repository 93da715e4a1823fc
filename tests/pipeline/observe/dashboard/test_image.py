"""The picture: where events were, by polarity, fading, at any size."""

import numpy as np
import pytest
import watched_run as run
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.messages import Frames, Message, Windows, data
from pipeline.observe.dashboard.image import EventImage


def at(x: int, y: int, p: int, times: int = 1) -> Message:
    place = (np.full(times, each) for each in (x, y, p))
    return run.events(*place).message


def test_events_are_where_they_were_and_of_their_polarity() -> None:
    image = EventImage()
    image.resize(4, 2)
    image.take(at(0, 0, 0))
    image.take(at(3, 1, 1))
    off, on = np.array(image.pixels(4, 2))
    assert np.argwhere(off).tolist() == [[0, 0]]
    assert np.argwhere(on).tolist() == [[1, 3]]


def test_they_fade() -> None:
    image = EventImage()
    image.resize(4, 4)
    image.fade(0.0)
    image.take(at(1, 1, 1, times=8))
    image.fade(0.5)
    assert 0 < np.max(image.pixels(4, 4)) < 8 + 1
    image.fade(10.0)
    assert not np.any(image.pixels(4, 4))


def test_where_nothing_fades_only_the_time_of_events_goes_on() -> None:
    image = EventImage()
    image.resize(4, 4)
    image.take(at(1, 1, 1, times=8))
    image.fade(10.0, stays=True)
    assert np.argwhere(image.pixels(4, 4)).tolist() == [[1, 1, 1]]
    step = at(2, 2, 0)
    image.take(step._replace(header=replace(step.header, t_first_us=0, t_last_us=2_000_000)))
    assert np.argwhere(image.pixels(4, 4)).tolist() == [[0, 2, 2]]
    image.fade(10.1)  # as long as since then, and no longer
    assert np.any(image.pixels(4, 4))


def test_a_hot_pixel_does_not_darken_the_others() -> None:
    image = EventImage()
    image.resize(32, 32)
    image.take(at(0, 0, 1, times=5000))
    for k in range(1, 31):
        image.take(at(k, k, 1))
    assert np.array(image.pixels(32, 32))[1, 5, 5] == 8


def test_events_outside_the_sensor_are_left_out() -> None:
    image = EventImage()
    image.resize(4, 4)
    image.take(at(9, 0, 1))
    image.take(at(-1, 0, 1))
    assert not np.any(image.pixels(4, 4))


@given(
    width=st.integers(1, 2000),
    height=st.integers(1, 2000),
    columns=st.integers(1, 90),
    rows=st.integers(1, 60),
)
def test_it_has_the_size_asked_for_whatever_the_sensor(
    width: int, height: int, columns: int, rows: int
) -> None:
    image = EventImage()
    image.resize(width, height)
    image.take(at(width - 1, height - 1, 1))
    pixels = np.array(image.pixels(columns, rows))
    assert pixels.shape == (2, rows, columns)
    assert pixels[1, -1, -1] == 8


def test_before_the_size_is_known_it_is_empty() -> None:
    assert np.array(EventImage().pixels(3, 2)).tolist() == np.zeros((2, 2, 3)).tolist()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_last_of_some_frames_is_shown(channels: int) -> None:
    frames = np.zeros((2, channels, 3, 4), np.uint8)
    frames[0], frames[1, -1, 1, 2] = 7, 9
    windows = Windows(0, 0, 10, 10, (None, None))
    image = EventImage()
    image.take(data(Frames, frames, stream="a", t_first_us=0, t_last_us=1, windows=windows))
    assert image.size == (4, 3)
    assert np.argwhere(image.pixels(4, 3)).tolist() == [[1, 1, 2]]
