"""Region of interest: a rectangle, with or without a new origin."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import account, event_arrays, recording, rows, through

from pipeline.errors import StageError
from pipeline.events import EventArray, events_from_columns
from pipeline.ports import EventsPort
from pipeline.stage import PortError
from stages.filters.roi import Roi, RoiConfig


def roi(sensor: EventsPort | None = None, **options: Any) -> Roi:
    rectangle = {"x": 2, "y": 1, "width": 4, "height": 3}
    return Roi("roi", RoiConfig(**{**rectangle, **options}), [sensor or EventsPort(8, 6)])


@given(event_arrays(), st.integers(0, 3), st.integers(0, 2), st.booleans())
def test_equals_the_slow_twin(events: EventArray, x: int, y: int, rebase: bool) -> None:
    out = rows(through([roi(x=x, y=y, rebase=rebase)], recording(events)))
    expected = [
        (t, column - x * rebase, row - y * rebase, p)
        for t, column, row, p in events.tolist()
        if x <= column < x + 4 and y <= row < y + 3
    ]
    assert out.tolist() == expected


def test_what_is_outside_the_region_is_counted() -> None:
    events = events_from_columns(range(4), [1, 2, 5, 6], [1, 1, 3, 3], [1] * 4)
    result = account(roi(), list(recording(events)))
    assert result.refused == {"outside the sensor": 0, "outside the region": 2}


def test_a_re_based_region_is_the_sensor_of_the_stages_behind() -> None:
    assert roi().port() == EventsPort(8, 6)
    assert roi(rebase=True).port() == EventsPort(4, 3)
    assert roi(EventsPort(None, None, live=True), rebase=True).port() == EventsPort(4, 3, True)


def test_a_region_beyond_the_sensor_is_refused() -> None:
    with pytest.raises(PortError, match=r"x \+ width must be <= 8, the sensor's, got 6 \+ 4") as e:
        roi(x=6).port()
    assert e.value.key == "width"
    with pytest.raises(PortError, match=r"y \+ height must be <= 6, the sensor's, got 4 \+ 3"):
        roi(y=4).port()
    # Of a camera that is not connected yet the size is known only when it starts.
    stage = roi(EventsPort(None, None), x=6)
    stage.port()
    expected = "stage 'roi': width: x \\+ width must be <= 8.*; the recording is test"
    with pytest.raises(StageError, match=expected):
        through([stage], recording(events_from_columns([0], [0], [0], [0])))
