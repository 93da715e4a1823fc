"""The AEDAT4 writer: our reader and dv-processing read exactly what was written."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dv_processing
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from round_trip import write_in_batches

from pipeline.errors import RecordingError
from pipeline.events import (
    EVENT,
    EventArray,
    concatenate_events,
    empty_events,
    events_from_columns,
)
from recordings import some_events
from stages.formats import open_recording
from stages.formats.aedat.aedat4 import Aedat4Reader
from stages.formats.aedat.aedat4_writer import Aedat4Writer
from stages.formats.aedat.compression import NAMES

WIDTH, HEIGHT = 64, 33
US = st.integers(0, 2**50)
EVENTS = st.lists(
    st.tuples(US, st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(0, 1)),
    max_size=60,
).map(
    lambda rows: events_from_columns(*zip(*sorted(rows), strict=True)) if rows else empty_events()
)


def read(path: Path) -> EventArray:
    with open_recording(path) as reader:
        return concatenate_events([packet.events for packet in reader.packets()])


def read_dv(path: Path) -> EventArray:
    recording = dv_processing.io.MonoCameraRecording(str(path))
    batches = []
    while (batch := recording.getNextEventBatch()) is not None:
        batches.append(as_events(batch))
    return concatenate_events(batches)


def as_events(store: dv_processing.EventStore) -> EventArray:
    columns = store.numpy()
    return events_from_columns(*(columns[name] for name in ("timestamp", "x", "y", "polarity")))


def write(path: Path, events: EventArray, cuts: list[int], compression: str = "lz4") -> None:
    writer = Aedat4Writer(path, WIDTH, HEIGHT, "camera", compression, {"note": "a < b"})
    write_in_batches(writer, events, cuts)


@settings(max_examples=60)
@given(
    events=EVENTS,
    cuts=st.lists(st.integers(0, 60), max_size=5),
    compression=st.sampled_from(NAMES),
)
def test_both_readers_read_what_was_written(
    events: EventArray,
    cuts: list[int],
    compression: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.aedat4"
    write(path, events, cuts, compression)
    np.testing.assert_array_equal(read(path), events)
    np.testing.assert_array_equal(read_dv(path), events)


@pytest.mark.parametrize("compression", NAMES)
def test_dv_processing_takes_the_file_for_its_own(compression: str, tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    events = some_events(30_000, size=30)
    write(path, events, [10_000], compression)
    recording = dv_processing.io.MonoCameraRecording(str(path))
    assert recording.getEventResolution() == (WIDTH, HEIGHT)
    assert recording.getCameraName() == "camera"
    assert recording.getTimeRange() == (events["t"][0], events["t"][-1])
    assert recording.getStreamMetadata("events")["note"] == "a < b"
    t = events["t"]
    begin, end = int(t[7_000]), int(t[21_000])
    found = as_events(recording.getEventsTimeRange(begin, end))
    np.testing.assert_array_equal(found, events[(t >= begin) & (t < end)])


def test_packets_are_short_in_events_and_in_time(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    crowd = np.zeros(20_000, np.int64)
    t = np.concatenate([crowd, np.arange(0, 100_000, 500)])
    zeros = np.zeros(len(t), np.int16)
    write(path, events_from_columns(t, zeros, zeros, zeros), [])
    with Aedat4Reader(path) as reader:
        packets = reader._index
    assert packets is not None
    assert packets["count"].sum() == len(t)
    assert packets["count"].max() == 8192
    assert np.max(packets["last_us"] - packets["first_us"]) < 10_000
    assert len(packets) == 3 + 9


def test_the_same_events_give_the_same_file(tmp_path: Path) -> None:
    events = some_events(100, size=30)
    dirty = np.frombuffer(bytes([255]) * events.nbytes, EVENT).copy()
    for name in ("t", "x", "y", "p"):
        dirty[name] = events[name]
    write(tmp_path / "clean", events, [])
    write(tmp_path / "dirty", dirty, [])
    write(tmp_path / "strided", np.repeat(events, 2)[::2], [])
    clean = (tmp_path / "clean").read_bytes()
    assert (tmp_path / "dirty").read_bytes() == clean
    assert (tmp_path / "strided").read_bytes() == clean


ROW = (5, 1, 2, 1)
WRONG = {
    "back within": ([(5, 1, 2, 1), (4, 1, 2, 1)], "events must be in order of time; sort them"),
    "back across": ([(2, 1, 2, 1)], "events must be in order of time; sort them first"),
    "too late": ([(2**62, 1, 2, 1)], r"times must be within ±2\*\*62 µs, got 4611686018427387904"),
    "x": ([ROW, (5, 64, 2, 1)], "x must be 0 to 63, got 64"),
    "x below": ([ROW, (5, -1, 2, 1)], "x must be 0 to 63, got -1"),
    "y": ([ROW, (5, 1, 33, 1)], "y must be 0 to 32, got 33"),
}


@pytest.mark.parametrize(("rows", "error"), WRONG.values(), ids=WRONG.keys())
def test_wrong_events_are_refused_and_nothing_is_written(
    rows: list[tuple[int, ...]], error: str, tmp_path: Path
) -> None:
    path = tmp_path / "some.aedat4"
    good = events_from_columns(*zip((3, 1, 2, 1), (4, 1, 2, 0), strict=True))
    with Aedat4Writer(path, WIDTH, HEIGHT) as writer:
        writer.write(good)
        with pytest.raises(ValueError, match=error):
            writer.write(events_from_columns(*zip(*rows, strict=True)))
    np.testing.assert_array_equal(read(path), good)


def test_wrong_polarity_and_dtype_are_refused(tmp_path: Path) -> None:
    with Aedat4Writer(tmp_path / "some.aedat4", WIDTH, HEIGHT) as writer:
        events = some_events(3, size=30)
        events["p"] = [0, 1, -1]
        with pytest.raises(ValueError, match="polarities must be 0 or 1, got -1"):
            writer.write(events)
        for wrong in (np.zeros(3), np.zeros((2, 2), EVENT)):
            with pytest.raises(ValueError, match="events must be one row of"):
                writer.write(wrong)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    with pytest.raises(ValueError, match=r"compression must be one of none, .*, got 'gzip'"):
        Aedat4Writer(path, WIDTH, HEIGHT, compression="gzip")
    with pytest.raises(ValueError, match="width and height must be 1 to 32768 px, got 0"):
        Aedat4Writer(path, 0, HEIGHT)
    assert not path.exists()


def test_an_error_in_the_block_leaves_a_whole_recording(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    events = some_events(100, size=30)

    def record() -> None:
        with Aedat4Writer(path, WIDTH, HEIGHT) as writer:
            writer.write(events)
            raise RuntimeError("the camera is gone")

    with pytest.raises(RuntimeError, match="the camera is gone"):
        record()
    np.testing.assert_array_equal(read(path), events)
    np.testing.assert_array_equal(read_dv(path), events)


def test_what_was_written_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    writer = Aedat4Writer(path, WIDTH, HEIGHT)
    writer.write(some_events(100, size=30))
    np.testing.assert_array_equal(read(path), some_events(100, size=30))
    writer.close()
    writer.close()


def test_a_file_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "some.aedat4"
    with pytest.raises(RecordingError) as caught:
        Aedat4Writer(path, WIDTH, HEIGHT)
    assert str(caught.value) == (
        f"{path}: cannot be written: No such file or directory; check space and permissions"
    )


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_reported_and_leaves_whole_packets(tmp_path: Path) -> None:
    path = tmp_path / "some.aedat4"
    events = some_events(5_000, size=30)
    text = f"{path}: cannot be written: File too large; check space and permissions"

    def record() -> None:
        with Aedat4Writer(path, WIDTH, HEIGHT) as writer:
            writer.write(events)

    with largest_file(20_000), pytest.raises(RecordingError) as caught:
        record()
    assert str(caught.value) == text
    kept = read(path)
    assert 500 < len(kept) < len(events)
    np.testing.assert_array_equal(kept, events[: len(kept)])


def test_a_device_that_is_full_from_the_start_is_reported() -> None:
    with pytest.raises(RecordingError) as caught:
        Aedat4Writer("/dev/full", WIDTH, HEIGHT)
    assert str(caught.value) == (
        "/dev/full: cannot be written: No space left on device; check space and permissions"
    )
