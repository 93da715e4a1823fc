"""Conversion: all events arrive in every format, and what cannot be done is said."""

from inspect import signature
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
from stages.formats import Policies, create_recording, open_recording, writable_endings, writer_of
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
    with pytest.raises(RecordingError, match=r"out\.aedat4 was not written"):
        converted(cut, target)
    assert not target.exists()


def test_what_the_format_cannot_hold_is_its_writer_s_error(path: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.aedat4"
    write_recording(wide, some_events(10), size=1000)
    with pytest.raises(RecordingError, match=r"AEDAT 2\.0 has no chip of 1000×1000 px"):
        converted(wide, tmp_path / "wide.aedat")


@pytest.mark.parametrize("ending", writable_endings())
def test_a_writer_takes_the_compressions_that_it_offers(ending: str, tmp_path: Path) -> None:
    writer = writer_of(f"some{ending}")
    assert bool(writer.compressions) == ("compression" in signature(writer).parameters)
    for compression in writer.compressions:
        path = tmp_path / f"{compression}{ending}"
        with create_recording(path, 128, 128, options={"compression": compression}) as made:
            made.write(some_events(10))
        assert len(read(path)) == 10
