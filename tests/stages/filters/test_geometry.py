"""Filters that move all events: `downsample` and `orient`."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import event_arrays, recording, rows, through

from pipeline.events import EventArray
from pipeline.ports import EventsPort
from stages.filters.downsample import Downsample, DownsampleConfig
from stages.filters.orient import Orient, OrientConfig

SENSOR = EventsPort(8, 6)


def downsample(factor_x: int, factor_y: int) -> Downsample:
    config = DownsampleConfig(factor_x=factor_x, factor_y=factor_y)
    return Downsample("coarse", config, [SENSOR])


def orient(**options: Any) -> Orient:
    return Orient("turned", OrientConfig(**options), [SENSOR])


@given(event_arrays(), st.integers(1, 9), st.integers(1, 9))
def test_blocks_of_pixels_become_one(events: EventArray, factor_x: int, factor_y: int) -> None:
    stage = downsample(factor_x, factor_y)
    out = rows(through([stage], recording(events)))
    expected = [(t, x // factor_x, y // factor_y, p) for t, x, y, p in events.tolist()]
    assert out.tolist() == expected


def test_a_block_cut_off_by_the_edge_is_a_pixel_too() -> None:
    assert downsample(3, 4).port() == EventsPort(3, 2)
    unknown = Downsample("coarse", downsample(3, 4).config, [EventsPort(None, None)])
    assert unknown.port() == EventsPort(None, None)


def picture(events: EventArray, width: int, height: int) -> NDArray[Any]:
    """For each pixel the number of the last event in it."""
    image = np.zeros((height, width), dtype=np.int64)
    for number, (_, x, y, _) in enumerate(events.tolist(), start=1):
        image[y, x] = number
    return image


@given(
    event_arrays(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 90, 180, 270]),
)
def test_the_picture_is_turned_as_numpy_turns_it(
    events: EventArray, flip_x: bool, flip_y: bool, transpose: bool, rotate: int
) -> None:
    stage = orient(flip_x=flip_x, flip_y=flip_y, transpose=transpose, rotate=rotate)
    port = stage.port()
    assert port.width is not None
    assert port.height is not None
    out = rows(through([stage], recording(events)))
    expected = picture(events, 8, 6)
    expected = expected[:, ::-1] if flip_x else expected
    expected = expected[::-1] if flip_y else expected
    expected = expected.T if transpose else expected
    expected = np.rot90(expected, -(rotate // 90))  # numpy turns anticlockwise
    np.testing.assert_array_equal(picture(out, port.width, port.height), expected)
    if len(events):
        assert np.array_equal(out["t"], events["t"])
        assert np.array_equal(out["p"], events["p"])


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"flip_x": True}, (8, 6)),
        ({"rotate": 90}, (6, 8)),
        ({"rotate": 180}, (8, 6)),
        ({"transpose": True}, (6, 8)),
        ({"transpose": True, "rotate": 270}, (8, 6)),
    ],
)
def test_the_size_follows(options: dict[str, Any], size: tuple[int, int]) -> None:
    assert orient(**options).port() == EventsPort(*size)
