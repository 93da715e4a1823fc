"""NumPy's .npz: what was written is read, by numpy.load too; columns or one table, streamed."""

import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resuming import assert_resuming_continues, assert_seeking_is_scanning, look, read
from round_trip import assert_written_is_read
from streams import cuts, event_arrays

from pipeline.errors import RecordingError
from pipeline.events import EventArray
from recordings import some_events
from stages.formats import Policies, create_recording, open_recording
from stages.formats.tables.npy_header import encode_npy_header
from stages.formats.tables.npz_writer import NpzWriter

EVENTS = some_events(500)
COLUMNS = {name: EVENTS[name] for name in "txyp"}


@settings(max_examples=30)
@given(events=event_arrays(), cut=cuts(), compression=st.sampled_from(NpzWriter.compressions))
def test_what_was_written_is_read(
    events: EventArray,
    cut: list[int],
    compression: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npz"
    assert_written_is_read(path, events, cut, source="a <camera>", compression=compression)
    with np.load(path) as theirs:
        for name in "txyp":
            np.testing.assert_array_equal(theirs[name], events[name])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_columns_of_any_names_are_read(save: object, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    columns = {"ts": EVENTS["t"] / 1e6, "xs": EVENTS["x"], "ys": EVENTS["y"], "on": EVENTS["p"] > 0}
    save(path, label=3, sensor_size=[128, 128], **columns)
    found = read(path)
    # Seconds since 1970 as doubles are not exact to the µs; these are.
    np.testing.assert_array_equal(found, EVENTS)
    with open_recording(path) as reader:
        assert reader.declared_size == (128, 128)


@pytest.mark.parametrize("array", [EVENTS, np.array(EVENTS.tolist())], ids=["records", "numbers"])
def test_one_table_among_other_arrays_is_read(array: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, label=np.arange(3), events=array)
    np.testing.assert_array_equal(read(path), EVENTS)
    np.testing.assert_array_equal(read(path, stream="events"), EVENTS)


def test_of_several_tables_one_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, left=EVENTS[:100], right=EVENTS[100:])
    np.testing.assert_array_equal(read(path, stream="right"), EVENTS[100:])
    with open_recording(path, stream="right") as reader:
        assert reader.other_streams == ("left",)
    with pytest.raises(RecordingError, match=r"name the one that holds events .*: left, right"):
        open_recording(path)
    with pytest.raises(RecordingError, match="its arrays: left, right"):
        open_recording(path, stream="middle")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_slices_and_places_never_matter(
    save: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npz"
    save(path, **COLUMNS)
    assert_resuming_continues(path, monkeypatch, [{"slice_rows": rows} for rows in (100, 499, 500)])
    assert_seeking_is_scanning(path, [0, int(EVENTS["t"][250])])


REFUSED = {
    "lengths": (COLUMNS | {"p": EVENTS["p"][1:]}, "its columns t, x, y, p have"),
    "texts": (COLUMNS | {"p": np.array(["on"] * 500)}, "its columns are no plain numbers"),
    "nothing": ({"label": np.arange(3)}, "holds no arrays t, x, y and p; name the one"),
    "Fortran": (
        {"events": np.asfortranarray(np.array(EVENTS.tolist()))},
        "its array events has one column behind the other",
    ),
}


@pytest.mark.parametrize(("arrays", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_are_no_events_is_refused(
    arrays: dict[str, np.ndarray], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value).startswith(f"{path}: {text}")


def test_objects_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, events=np.array([{"t": 1}], object))
    with pytest.raises(RecordingError, match="holds Python objects, which are never loaded"):
        open_recording(path, stream="events")


def test_damage_in_a_member_is_raised_or_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    events = some_events(5000)
    np.savez(path, **{name: events[name] for name in "txyp"})
    data = bytearray(path.read_bytes())
    data[data.index(events["x"].tobytes()) + 300] ^= 1
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"is damaged \(Bad CRC-32 for file 'x.npy'\) at"):
        read(path, Policies())
    _, counts = look(path)
    assert counts["damaged places"] == 1


def test_a_truncated_archive_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **COLUMNS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(RecordingError, match="is truncated or was not closed: the directory of"):
        open_recording(path)


def test_an_archive_made_to_burst_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    rows = 1 << 21
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "txyp":
            with archive.open(f"{name}.npy", "w") as member:
                member.write(encode_npy_header(np.dtype("<i8"), rows))
                for _ in range(64):
                    member.write(bytes(8 * rows // 64))
    with open_recording(path, size=(1, 1)) as reader:
        tracemalloc.start()
        count = sum(len(packet.events) for packet in reader.packets())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == rows
    assert peak < 16 << 20 < 4 * 8 * rows


def test_nothing_but_the_recording_is_left_behind(tmp_path: Path) -> None:
    with create_recording(tmp_path / "a.npz", 128, 128) as writer:
        writer.write(EVENTS)
        assert os.listdir(tmp_path) == ["a.npz.part"]
    assert os.listdir(tmp_path) == ["a.npz"]


def test_the_same_events_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        with create_recording(tmp_path / name, 128, 128) as writer:
            writer.write(EVENTS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
