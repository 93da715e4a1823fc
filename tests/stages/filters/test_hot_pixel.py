"""Hot pixels: masked by a list, a file, or what the first moments show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import account, event_arrays, recording, rows, through

from pipeline.errors import StageError
from pipeline.events import EventArray, events_from_columns
from pipeline.ports import EventsPort
from pipeline.stage import PortError
from stages.filters.hot_pixel import HotPixel, HotPixelConfig, hot_pixels


def hot_pixel(sensor: EventsPort | None = None, **options: Any) -> HotPixel:
    return HotPixel("mask", HotPixelConfig(**options), [sensor or EventsPort(8, 6)])


@given(event_arrays(), st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), max_size=9))
def test_masks_the_pixels_given(events: EventArray, pixels: list[tuple[int, int]]) -> None:
    out = rows(through([hot_pixel(pixels=pixels)], recording(events)))
    assert out.tolist() == [event for event in events.tolist() if event[1:3] not in pixels]


def learned(
    events: EventArray, learn_us: int, times: int, min_rate_hz: int
) -> set[tuple[int, int]]:
    """The slow way: the rule, pixel for pixel."""
    counts: dict[tuple[int, int], int] = {}
    for t, x, y, _ in events.tolist():
        if t >= events["t"][0] + learn_us:
            break
        counts[x, y] = counts.get((x, y), 0) + 1
    hot = set()
    for (x, y), count in counts.items():
        around = sorted(
            counts.get((column, row), 0)
            for column in (x - 1, x, x + 1)
            for row in (y - 1, y, y + 1)
            if (column, row) != (x, y)
        )
        if count > times * around[-2] and count * 1e6 > min_rate_hz * learn_us:
            hot.add((x, y))
    return hot


@given(
    event_arrays(max_events=100, ordered=False, width=4, height=4),
    st.integers(1, 400),
    st.integers(1, 3),
    st.sampled_from([0, 5_000, 20_000]),
)
def test_learns_as_the_slow_twin_does(
    events: EventArray, learn_us: int, times: int, min_rate_hz: int
) -> None:
    options = {"learn_us": learn_us, "times_neighbours": times, "min_rate_hz": min_rate_hz}
    out = rows(through([hot_pixel(**options)], recording(events)))
    if not len(events):
        return
    behind = np.flatnonzero(events["t"] >= events["t"][0] + learn_us)
    end = behind[0] if len(behind) else len(events)
    hot = learned(events, learn_us, times, min_rate_hz)
    listed = events.tolist()
    expected = listed[:end] + [event for event in listed[end:] if event[1:3] not in hot]
    assert out.tolist() == expected
    result = account(hot_pixel(**options), list(recording(events)))
    over = end < len(events)
    assert result.notes["hot pixels found"] == (len(hot) if over else 0)
    assert result.notes["ended while learning"] == (not over)


def test_a_fault_is_told_from_a_busy_scene() -> None:
    # A lamp lights a square at 400 Hz, a thin line flickers at 50 Hz, and in the dark two pixels
    # side by side fire at 1 kHz. The free end of the line is the price of finding those two.
    counts = np.zeros((6, 8), dtype=np.int64)
    counts[:3, :3] = 400
    counts[:, 3] = 50
    counts[4, 5:7] = 1000
    hot = hot_pixels(counts, 1_000_000, times_neighbours=10, min_rate_hz=10)
    assert np.argwhere(hot).tolist() == [[4, 5], [4, 6], [5, 3]]


def test_a_sensor_of_one_pixel_has_no_neighbours() -> None:
    assert hot_pixels(np.array([[20]]), 1_000_000, 10, 10).tolist() == [[True]]


def test_a_given_pixel_is_not_found_again() -> None:
    events = events_from_columns(range(40), [3] * 40, [3] * 40, [1] * 40)
    both = hot_pixel(pixels=[(3, 3)], learn_us=20)
    result = account(both, list(recording(events)))
    assert result.refused["from hot pixels"] == 40
    assert result.notes["hot pixels found"] == 0


def test_a_file_lists_pixels_and_remarks(tmp_path: Path) -> None:
    file = tmp_path / "hot.txt"
    file.write_text("# x, y\n3, 3\n\n0 5  # the corner\n7,0\n")
    events = events_from_columns(range(4), [3, 0, 7, 1], [3, 5, 0, 1], [1] * 4)
    out = rows(through([hot_pixel(file=file)], recording(events)))
    assert out["x"].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1, 2\n3\n", "line 2 must be a pixel such as 12, 7, got '3'"),
        ("-1, 2\n", "line 1 must be a pixel such as 12, 7, got '-1, 2'"),
        ("8, 0\n", r"\[8, 0\] is outside the sensor of 8×6"),
        (b"\xff\xfe", "is no text in UTF-8; name the right file"),
        (b"1" * (5 << 20), "has more than 4194304 bytes; name the right file"),
        (None, "cannot be read: No such file or directory; check the path"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str | bytes | None, problem: str) -> None:
    file = tmp_path / "hot.txt"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PortError, match=problem) as caught:
        hot_pixel(file=file).port()
    assert caught.value.key == "file"


def test_a_folder_is_no_list_of_pixels(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="is no file; name a file"):
        hot_pixel(file=tmp_path).port()


def test_pixels_outside_the_sensor_are_refused() -> None:
    with pytest.raises(PortError, match=r"\[3, 6\] is outside the sensor of 8×6") as caught:
        hot_pixel(pixels=[(3, 6)]).port()
    assert caught.value.key == "pixels"
    with pytest.raises(PortError, match=r"\[-1, 0\] is outside the sensor"):
        hot_pixel(EventsPort(None, None), pixels=[(-1, 0)]).port()
    stage = hot_pixel(EventsPort(None, None), pixels=[(3, 6)])
    stage.port()
    with pytest.raises(StageError, match=r"stage 'mask': pixels: \[3, 6\] is outside the sensor"):
        through([stage], recording(events_from_columns([0], [0], [0], [0])))


def test_something_to_mask_must_be_given() -> None:
    with pytest.raises(PortError, match="is missing, and so are pixels and file") as caught:
        hot_pixel().port()
    assert caught.value.key == "learn_us"


@settings(max_examples=20)
@given(event_arrays(max_events=60))
def test_a_new_recording_is_learned_anew(events: EventArray) -> None:
    options = {"learn_us": 50, "times_neighbours": 1, "min_rate_hz": 0}
    once = rows(through([hot_pixel(**options)], recording(events))).tolist()
    twice = rows(through([hot_pixel(**options)], [*recording(events), *recording(events)]))
    assert twice.tolist() == once * 2
