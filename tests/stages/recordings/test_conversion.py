"""Conversion: all events arrive in every format, and what cannot be done is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import disk_of
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import event_arrays

from pipeline.errors import RecordingError
from pipeline.events import EventArray, concatenate_events
from recordings import START_US, some_events, write_recording
from stages.formats import Policies, open_recording, writable_endings
from stages.recordings.conversion import Conversion, Part, convert

LENIENT = Policies(on_damage="drop")


def read(path: Path, on_damage: str = "raise") -> EventArray:
    with open_recording(path, Policies(on_damage=on_damage)) as reader:
        return concatenate_events([packet.events for packet in reader.packets()])


def converted(source: Path, target: Path, *policies: Policies, **more: Any) -> Conversion:
    return convert(source, target, *(policies or (Policies(),)), **more)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("conversion") / "some.aedat4", some_events())


@pytest.mark.parametrize("ending", writable_endings())
def test_there_and_back_again_nothing_is_lost(ending: str, path: Path, tmp_path: Path) -> None:
    # From zero, as not every format can hold the years since 1970.
    there, back = tmp_path / f"there{ending}", tmp_path / "back.aedat4"
    done = converted(path, there, part=Part(from_zero=True))
    assert done.events == len(some_events())
    assert done.format == writable_endings()[ending]
    assert done.quality.verdict == "good"
    with open_recording(there) as reader:
        assert reader.format == done.format
    again = converted(there, back, size=(128, 128))
    assert (again.events, again.width, again.height) == (len(some_events()), 128, 128)
    expected = some_events()
    expected["t"] -= expected["t"][0]
    np.testing.assert_array_equal(read(back), expected)


@settings(max_examples=40)
@given(
    events=event_arrays(span_us=100_000),
    start_us=st.integers(0, 110_000),
    length_us=st.none() | st.integers(1, 110_000),
    from_zero=st.booleans(),
)
def test_a_part_is_what_lies_within_it(
    events: EventArray,
    start_us: int,
    length_us: int | None,
    from_zero: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    events["t"] += START_US
    source = write_recording(folder / "whole.aedat4", events)
    stop_us = None if length_us is None else start_us + length_us
    part = Part(start_us, stop_us, from_zero)
    if start_us and not (len(events) and events["t"][-1] >= events["t"][0] + start_us):
        with pytest.raises(RecordingError, match="before the part that is to be taken"):
            converted(source, folder / "part.aedat4", part=part)
        return
    done = converted(source, folder / "part.aedat4", part=part)
    expected = events
    if len(events):
        t = events["t"] - events["t"][0]
        expected = events[(t >= start_us) & (t < (stop_us or 2**62))]
        expected["t"] -= from_zero * (events["t"][0] + start_us)
    np.testing.assert_array_equal(read(folder / "part.aedat4"), expected)
    assert done.events == len(expected)
    assert done.bytes == (folder / "part.aedat4").stat().st_size


def test_what_is_left_out_is_told(path: Path, tmp_path: Path) -> None:
    done = converted(path, tmp_path / "small.aedat4", size=(128, 100))
    outside = int((some_events()["x"] >= 100).sum())
    assert done.events == len(some_events()) - outside
    assert str(done.quality) == f"flawed: {outside:,} events outside the sensor"


def test_damage_ends_it_with_what_is_before_or_is_left_out(path: Path, tmp_path: Path) -> None:
    cut, target = tmp_path / "cut.aedat4", tmp_path / "out.aedat4"
    cut.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(RecordingError, match="is truncated at byte") as caught:
        converted(cut, target)
    events = read(target)
    assert f"; {target} holds the {len(events)} events before it" in str(caught.value)
    np.testing.assert_array_equal(events, some_events()[: len(events)])
    done = converted(cut, target, LENIENT)
    assert (done.events, done.quality.verdict) == (len(events), "damaged")


def test_a_full_disk_ends_it_with_what_fits(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.aedat4"
    with disk_of(25_000), pytest.raises(RecordingError, match="File too large") as caught:
        converted(path, target)
    events = read(target, "drop")
    assert f"; {target} holds the {len(events)} events before it" in str(caught.value)
    np.testing.assert_array_equal(events, some_events()[: len(events)])


def test_without_any_event_nothing_is_left(tmp_path: Path) -> None:
    cut, target = tmp_path / "cut.aedat4", tmp_path / "out.aedat4"
    plain = write_recording(tmp_path / "plain.aedat4", some_events(), compression="none")
    first = plain.read_bytes().index(some_events()[:1].tobytes())
    cut.write_bytes(plain.read_bytes()[: first + 40])
    with pytest.raises(RecordingError, match=r"out\.aedat4 was not written$"):
        converted(cut, target)
    assert not target.exists()


@pytest.mark.parametrize("ending", [".aedat4", ".npz", ".h5", ".csv"])
def test_a_failure_before_any_event_leaves_the_old_recording(ending: str, tmp_path: Path) -> None:
    cut, target = tmp_path / "cut.aedat4", tmp_path / f"old{ending}"
    plain = write_recording(tmp_path / "plain.aedat4", some_events(), compression="none")
    first = plain.read_bytes().index(some_events()[:1].tobytes())
    cut.write_bytes(plain.read_bytes()[: first + 40])
    target.write_bytes(b"precious")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RecordingError, match=r"was not written; the old one is as it was$"):
        converted(cut, target)
    assert target.read_bytes() == b"precious"
    assert sorted(tmp_path.iterdir()) == before


def test_times_that_the_format_cannot_hold_leave_the_old_recording(
    path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "old.es"
    target.write_bytes(b"precious")
    with pytest.raises(RecordingError, match="ES counts time from 0 and its first event is at"):
        converted(path, target)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [
        (target.name, b"precious")
    ]


@pytest.mark.parametrize("count", [0, 5_000])
def test_a_part_behind_the_end_is_an_error(count: int, tmp_path: Path) -> None:
    events = some_events(count)
    source = write_recording(tmp_path / "some.aedat4", events)
    ends_s = (events["t"][-1] - events["t"][0]) / 1e6 if count else 0
    text = rf"some\.aedat4: ends at {ends_s:.3f} s, before the part that is to be taken, from 10 s"
    with pytest.raises(RecordingError, match=text):
        converted(source, tmp_path / "part.aedat4", part=Part(10_000_000))
    assert [file.name for file in tmp_path.iterdir()] == ["some.aedat4"]
    # Its last event is within it.
    if count:
        last = Part(int(events["t"][-1] - events["t"][0]))
        assert converted(source, tmp_path / "part.aedat4", part=last).events >= 1


def test_what_the_format_has_no_place_for_is_told(path: Path, tmp_path: Path) -> None:
    zero = Part(from_zero=True)
    lost = {
        ending: converted(path, tmp_path / f"some{ending}", part=zero).lost
        for ending in writable_endings()
    }
    assert {ending: what for ending, what in lost.items() if what} == {
        ".npy": ("size", "source"),
        ".es": ("source",),
    }
    for ending, what in lost.items():
        with open_recording(tmp_path / f"some{ending}") as reader:
            assert bool(reader.source) == ("source" not in what)
            assert (reader.declared_size is None) == ("size" in what)


def test_what_the_format_cannot_hold_is_its_writer_s_error(path: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.aedat4"
    write_recording(wide, some_events(10), size=1000)
    with pytest.raises(RecordingError, match=r"AEDAT 2\.0 has no chip of 1000×1000 px"):
        converted(wide, tmp_path / "wide.aedat")
