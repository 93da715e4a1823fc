"""HDF5: every layout of events, sought by an index or an order; damage; and what we write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from disk import disk_of
from hypothesis import given, settings
from hypothesis import strategies as st
from resuming import assert_resuming_continues, assert_seeking_is_scanning, look, read
from round_trip import assert_written_is_read
from streams import cuts, event_arrays

from pipeline.errors import RecordingError
from pipeline.events import EventArray, events_from_columns
from recordings import some_events
from stages.formats import Policies, create_recording, open_recording
from stages.formats.tables.hdf5_writer import Hdf5Writer

EVENTS = some_events(5000)
SHORT = EVENTS.copy()
SHORT["t"] -= SHORT["t"][0]


def file(path: Path, datasets: dict[str, Any], **attributes: Any) -> Path:
    """A file with compressed chunks of 64 events."""
    with h5py.File(path, "w") as made:
        for name, data in datasets.items():
            array = np.asarray(data)
            chunks = {} if array.ndim == 0 else {"chunks": True, "compression": "gzip"}
            if array.ndim == 1 and len(array) > 64:
                chunks["chunks"] = (64,)
            made.create_dataset(name, data=array, **chunks)
        made.attrs.update(attributes)
    return path


def columns(events: EventArray, names: str, group: str = "events") -> dict[str, Any]:
    return {f"{group}/{name}": events[name[0]] for name in names.split()}


def dsec(events: EventArray, offset_us: int) -> dict[str, Any]:
    """DSEC's own: times behind ``t_offset``, and the first event of each of their milliseconds."""
    last_ms = int(events["t"][-1]) // 1000
    index = np.searchsorted(events["t"], 1000 * np.arange(last_ms + 1)).astype(np.uint64)
    return {**columns(events, "t x y p"), "t_offset": offset_us, "ms_to_idx": index}


TABLE = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])


def table(events: EventArray) -> np.ndarray:
    made = np.zeros(len(events), TABLE)
    for name in "txyp":
        made[name] = events[name]
    return made


LAYOUTS: dict[str, Callable[[], dict[str, Any]]] = {
    "t x y p": lambda: columns(SHORT, "t x y p"),
    "RPG, seconds": lambda: {
        **columns(SHORT, "xs ys ps"),
        "events/ts": SHORT["t"] / 1e6,
    },
    "raw_events, seconds, bool": lambda: {
        **columns(SHORT, "x y", "raw_events"),
        "raw_events/t": SHORT["t"] / 1e6,
        "raw_events/p": SHORT["p"] > 0,
    },
    "named ns, at the top": lambda: {
        **{name: SHORT[name] for name in "xyp"},
        "t_ns": SHORT["t"] * 1000,
    },
    "Prophesee's table": lambda: {"CD/events": table(SHORT)},
    "MVSEC's numbers": lambda: {
        "davis/left/events": np.stack(
            [SHORT["x"], SHORT["y"], SHORT["t"] / 1e6, 2.0 * SHORT["p"] - 1], axis=1
        )
    },
    "MATLAB's vectors": lambda: {
        f"TD/{name}": SHORT[name[0]].astype(np.float64).reshape(1, -1)
        for name in ("ts", "x", "y", "p")
    },
    "DSEC": lambda: dsec(SHORT, 0),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_is_read(layout: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    path = file(tmp_path / "a.bin", layout(), sensor_resolution=(128, 128))
    with open_recording(path) as reader:
        assert (reader.format, reader.declared_size) == ("HDF5", (128, 128))
        assert reader.event_count == 5000
    found, counts = look(path)
    np.testing.assert_array_equal(found, SHORT)
    assert counts == {}


def test_matlab_7_3_is_hdf5_behind_512_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as made:
        for name, data in LAYOUTS["MATLAB's vectors"]().items():
            made[name] = data
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(128))
    np.testing.assert_array_equal(read(path), SHORT)


def test_times_of_dsec_begin_at_its_offset(tmp_path: Path) -> None:
    path = file(tmp_path / "a.h5", dsec(SHORT, int(EVENTS["t"][0])))
    np.testing.assert_array_equal(read(path), EVENTS)


def test_seconds_are_rounded_half_to_even(tmp_path: Path) -> None:
    datasets = {f"events/{name}": np.zeros(3, np.int64) for name in ("xs", "ys", "ps")}
    path = file(tmp_path / "a.h5", datasets | {"events/ts": [0.5e-6, 1.5e-6, 2.5e-6]})
    assert read(path)["t"].tolist() == [0, 2, 2]


@pytest.mark.parametrize("layout", ["t x y p", "Prophesee's table", "MVSEC's numbers", "DSEC"])
def test_slices_and_places_never_matter(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path / "a.h5", LAYOUTS[layout]())
    assert_resuming_continues(path, monkeypatch, [{"slice_rows": rows} for rows in (1000, 4999)])


US = st.integers(-10, 600_000)


@settings(max_examples=10)
@given(times=st.lists(US, min_size=1, max_size=6))
@pytest.mark.parametrize("layout", ["t x y p", "DSEC"])
def test_seeking_is_scanning(
    layout: str, times: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{layout}.h5"
    if not path.exists():
        file(path, LAYOUTS[layout]())
    assert_seeking_is_scanning(path, times)


@settings(max_examples=20)
@given(times=st.lists(US, min_size=1, max_size=6), events=event_arrays())
def test_seeking_in_what_was_written_here_is_scanning(
    times: list[int], events: EventArray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "sought.h5"
    with create_recording(path, 8, 6) as writer:
        writer.write(events)
    assert_seeking_is_scanning(path, [time // 1000 for time in times])


def test_an_index_brings_one_close_and_a_wrong_one_is_not_believed(tmp_path: Path) -> None:
    path = file(tmp_path / "a.h5", dsec(SHORT, 7_000_000))
    with open_recording(path) as reader:
        row = reader.position_at(7_250_000)[1]
    assert row == np.searchsorted(SHORT["t"], 250_000)
    with h5py.File(path, "r+") as made:
        made.move("ms_to_idx", "events/ms_map_idx")
    with open_recording(path) as reader:
        assert reader.position_at(7_250_000)[1] == row
    with h5py.File(path, "r+") as made:
        index = made["events/ms_map_idx"]
        index[:] = index[:] // 2
    assert_seeking_is_scanning(path, [7_250_000])


@settings(max_examples=25)
@given(events=event_arrays(), cut=cuts(), compression=st.sampled_from(Hdf5Writer.compressions))
def test_what_was_written_is_read(
    events: EventArray,
    cut: list[int],
    compression: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.h5"
    assert_written_is_read(path, events, cut, compression=compression)
    with open_recording(path) as reader:
        assert reader.event_count == len(events)
    with h5py.File(path) as theirs:
        made = events_from_columns(*(theirs["events"][name][:] for name in "txyp"))
    np.testing.assert_array_equal(made, events)


@pytest.mark.parametrize("ending", ["h5", "npz"])
def test_what_a_crash_leaves_is_a_recording_too(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    writer = create_recording(path, 128, 128)
    writer.write(EVENTS[:2700])
    copy = tmp_path / f"a.{ending}.part"
    np.testing.assert_array_equal(read(copy), EVENTS[:2700])
    writer.write(EVENTS[2700:])
    writer.close()
    np.testing.assert_array_equal(read(path), EVENTS)
    assert not copy.exists()


@pytest.mark.parametrize("ending", ["h5", "npz"])
def test_a_disk_that_is_full_at_the_end_leaves_the_events(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    writer = create_recording(path, 128, 128)
    writer.write(EVENTS)
    part = tmp_path / f"a.{ending}.part"
    with disk_of(1000), pytest.raises(RecordingError, match="which is a recording too") as caught:
        writer.close()
    assert str(caught.value).startswith(f"{path}: cannot be written: File too large; its events")
    assert list(tmp_path.iterdir()) == [part]
    np.testing.assert_array_equal(read(part), EVENTS)


def test_a_file_that_another_run_writes_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with create_recording(path, 128, 128) as writer:
        with pytest.raises(RecordingError, match="is being written by another run or stage"):
            create_recording(path, 128, 128)
        writer.write(EVENTS)
    np.testing.assert_array_equal(read(path), EVENTS)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (36559, "HDF5 filter 36559 (ECF of Prophesee), which is not there; install the plug-in"),
        (400, "HDF5 filter 400 (of no known name), which is not there; install its plug-in"),
    ],
)
def test_a_filter_that_is_not_there_is_named(number: int, text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as made:
        made.create_dataset("CD/events", data=table(SHORT), chunks=(64,), compression="gzip")
    # The number of deflate, within the message that lists the filters, is made another.
    data = bytearray(path.read_bytes())
    place = data.index(b"deflate") - 8
    assert data[place : place + 2] == b"\x01\x00"
    data[place : place + 2] = number.to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"HDF5 filter") as caught:
        open_recording(path)
    assert str(caught.value).startswith(f"{path}: is compressed with {text}")


def test_the_stream_is_named_by_its_path(tmp_path: Path) -> None:
    datasets = {
        f"{side}/events": table(part)
        for side, part in (("left", SHORT[:100]), ("right", SHORT[100:]))
    }
    path = file(tmp_path / "a.h5", datasets)
    np.testing.assert_array_equal(read(path), SHORT[:100])
    np.testing.assert_array_equal(read(path, stream="/right/events"), SHORT[100:])
    with open_recording(path) as reader:
        assert reader.other_streams == ("right/events",)
    with pytest.raises(RecordingError, match="no stream 'up'; it has: left/events, right/events"):
        open_recording(path, stream="up")


def test_a_file_without_events_is_refused(tmp_path: Path) -> None:
    path = file(tmp_path / "a.h5", {"weights": np.zeros((3, 3))})
    with pytest.raises(RecordingError, match="holds no events: no group or table of t, x, y and p"):
        open_recording(path)


def test_events_in_other_files_are_not_looked_for(tmp_path: Path) -> None:
    raw = tmp_path / "secret"
    raw.write_bytes(bytes(8 * 100))
    path = file(tmp_path / "a.h5", columns(SHORT[:100], "x y p"))
    with h5py.File(path, "r+") as made:
        made.create_dataset("events/t", (100,), "<i8", external=[(str(raw), 0, 800)])
    with pytest.raises(RecordingError, match=r"keeps its events \(/events/t\) in other files"):
        open_recording(path)
    with h5py.File(path, "r+") as made:
        del made["events/t"]
        made["events/t"] = h5py.ExternalLink("other.h5", "t")
    with pytest.raises(RecordingError, match="holds no events"):
        open_recording(path)


def test_a_damaged_chunk_is_raised_or_left_out(tmp_path: Path) -> None:
    path = file(tmp_path / "a.h5", columns(SHORT, "t x y p"))
    with h5py.File(path) as made:
        place = made["events/x"].id.get_chunk_info_by_coord((640,))
    data = bytearray(path.read_bytes())
    data[place.byte_offset : place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(data)
    found, counts = look(path)
    np.testing.assert_array_equal(found, np.delete(SHORT, slice(640, 704)))
    assert counts["damaged places"] == 1
    with pytest.raises(RecordingError, match=r"is damaged \(.*\) at byte \d+; the 640 events"):
        read(path, Policies())


def test_a_shape_that_the_file_does_not_hold_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as made:
        for name in "txyp":
            column = made.create_dataset(
                f"events/{name}", (0,), "i8", maxshape=(None,), chunks=(64,)
            )
            column.resize((2**50,))
            column[:64] = 0
    found, counts = look(path)
    assert (len(found), counts) == (64, {"damaged places": 1})


def test_a_truncated_file_is_one_clear_error(tmp_path: Path) -> None:
    path = file(tmp_path / "a.h5", columns(SHORT, "t x y p"))
    path.write_bytes(path.read_bytes()[:-100])
    size = path.stat().st_size
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value) == (
        f"{path}: is truncated: it has {size} bytes of {size + 100}, and HDF5 opens no file that is"
        " cut; copy or record it again"
    )


def test_values_in_no_whole_row_are_left_out_and_counted(tmp_path: Path) -> None:
    parts = columns(SHORT, "t x y p")
    path = file(tmp_path / "a.h5", {**parts, "events/p": parts["events/p"][:-1]})
    found, counts = look(path)
    np.testing.assert_array_equal(found, SHORT[:-1])
    assert counts == {"damaged places": 1, "damaged bytes": 12}
    how = rf"ends within a row \(its columns have {len(SHORT) - 1} to {len(SHORT)} values\)"
    with pytest.raises(RecordingError, match=how):
        read(path, Policies())


@pytest.mark.shared
def test_the_real_recording_is_read(shared: Path) -> None:
    path = shared / "recordings/hdf5/evl_event.hdf5"
    events, counts = look(path)
    assert (len(events), counts) == (17, {})
    # Its times are 0.0, 0.00078, ..., 0.005748 seconds, and all its polarities are false.
    assert events["t"].tolist()[:3] == [0, 780, 1706]
    assert events["t"][-1] == 5748
    assert not events["p"].any()


def test_texts_of_variable_length_are_read_only_for_the_sensor_s_size(tmp_path: Path) -> None:
    """In a damaged file libhdf5 may read one for ever."""
    path = file(
        tmp_path / "some.h5",
        columns(EVENTS, "t x y p"),
        **{"source": "some camera", "geometry": "640x480"},
    )
    with open_recording(path) as reader:
        assert (reader.source, reader.size) == ("", (480, 640))
    with Hdf5Writer(path, 128, 128, source="Kamera №1") as writer:
        writer.write(EVENTS)
    with open_recording(path) as reader:
        assert reader.source == "Kamera №1"
