"""NumPy's .npy: what was written is read, by numpy.load too; any fields, any order of columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from known import assert_as_known
from resuming import (
    LENIENT,
    assert_resuming_continues,
    assert_seeking_is_scanning,
    look,
    read,
)
from round_trip import assert_written_is_read
from shared import SHARED
from streams import cuts, event_arrays

from pipeline.errors import RecordingError
from pipeline.events import EVENT, EventArray
from recordings import some_events
from stages.formats import Policies, create_recording, open_recording
from stages.formats.tables.npy_header import encode_npy_header

EVENTS = some_events(500)
FIELDS = {
    "EVENT": EVENT,
    "dv-processing": np.dtype(
        {
            "names": ["timestamp", "x", "y", "polarity"],
            "formats": ["<i8", "<i2", "<i2", "u1"],
            "offsets": [0, 8, 10, 12],
            "itemsize": 16,
        }
    ),
    "packed": np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")]),
    "faery": np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")]),
    "Prophesee": np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]),
    "big-endian": np.dtype(
        [("ts", ">u4"), ("x", ">u2"), ("y", ">u2"), ("pol", ">i4"), ("z", "f8")]
    ),
}


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def converted(events: EventArray, dtype: np.dtype[Any]) -> np.ndarray:
    """The events with other fields, named in any way that begins with t, x and y."""
    array = np.zeros(len(events), dtype)
    for name in dtype.names or ():
        column = name[0] if name[0] in "txy" else "p"
        if name != "z":
            array[name] = events[column]
    return array


def shifted(events: EventArray = EVENTS) -> EventArray:
    """The events with times that begin at 0, for narrow fields."""
    moved = events.copy()
    moved["t"] -= moved["t"][0]
    return moved


@settings(max_examples=30)
@given(events=event_arrays(), cut=cuts())
def test_what_was_written_is_read(
    events: EventArray, cut: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npy"
    assert_written_is_read(path, events, cut, keeps="")
    np.testing.assert_array_equal(np.load(path), events)


@pytest.mark.parametrize("dtype", FIELDS.values(), ids=FIELDS.keys())
def test_fields_of_any_names_and_dtypes_are_read(dtype: np.dtype, tmp_path: Path) -> None:
    events = shifted()
    path = saved(tmp_path / "a.npy", converted(events, dtype))
    with open_recording(path) as reader:
        assert (reader.format, reader.event_count, reader.size) == ("NPY", 500, (128, 128))
    np.testing.assert_array_equal(read(path), events)


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt"])
@pytest.mark.parametrize("layout", ["rows", "columns", "Fortran"])
@pytest.mark.parametrize("form", ["<i8", ">i4", "<f8"])
def test_plain_numbers_are_read(order: str, layout: str, form: str, tmp_path: Path) -> None:
    events = shifted()
    array = np.stack([events[column] for column in order], axis=1).astype(form)
    array = {"rows": array, "columns": array.T, "Fortran": np.asfortranarray(array)}[layout]
    path = saved(tmp_path / "a.npy", np.ascontiguousarray(array) if layout != "Fortran" else array)
    np.testing.assert_array_equal(read(path), events)


def test_times_with_fractions_are_seconds_and_minus_one_is_off(tmp_path: Path) -> None:
    events = shifted()
    array = np.stack([events[column] for column in "txyp"], axis=1).astype(np.float64)
    array[:, 0] /= 1e6
    array[:, 3] = 2 * array[:, 3] - 1
    np.testing.assert_array_equal(read(saved(tmp_path / "a.npy", array)), events)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_header_is_read(version: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, EVENTS, version=version)
    np.testing.assert_array_equal(read(path), EVENTS)


def test_padding_and_unknown_polarities_come_out_as_events_should(tmp_path: Path) -> None:
    events = EVENTS.copy()
    events.view(np.uint8).reshape(-1, 16)[:, 13:] = 0xAA
    events["p"][:2] = [-1, 7]
    found, counts = look(saved(tmp_path / "a.npy", events))
    assert counts == {"of unknown polarity": 1}
    assert found["p"][0] == 0
    assert not found.view(np.uint8).reshape(-1, 16)[:, 13:].any()
    np.testing.assert_array_equal(found[1:], EVENTS[2:])


@pytest.mark.parametrize("layout", ["records", "columns"])
def test_slices_and_places_never_matter(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = converted(shifted(EVENTS[:100]), FIELDS["packed"])
    if layout == "columns":
        array = np.asfortranarray(np.array(array.tolist()))
    path = saved(tmp_path / "a.npy", array)
    sizes = [{"slice_rows": rows} for rows in (1, 7, 99, 100)]
    assert_resuming_continues(path, monkeypatch, sizes)
    assert_seeking_is_scanning(path, [-1, 0, 250_000, 10**9])


def test_an_unfinished_file_holds_all_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    writer = create_recording(path, 128, 128)
    for begin in range(0, 500, 100):
        writer.write(EVENTS[begin : begin + 100])
    # As a crash leaves it: not closed, and a batch half written.
    with path.open("ab") as file:
        file.write(b"half")
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS)
    assert counts == {"unknown words": 1}
    np.testing.assert_array_equal(np.load(path), EVENTS)
    writer.close()


def test_a_truncated_file_gives_what_is_there(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", EVENTS)
    path.write_bytes(path.read_bytes()[:-20])
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS[:498])
    assert counts == {"damaged places": 1, "damaged bytes": 12}
    with pytest.raises(RecordingError, match=r"is truncated at byte \d+; the 498 events before"):
        read(path, Policies())


def test_of_truncated_columns_nothing_is_there(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", np.asfortranarray(np.array(EVENTS.tolist())))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordingError, match="does not tell which columns"):
        open_recording(path)


REFUSED = {
    "objects": (
        np.array([{"t": 1}], object),
        "holds Python objects, which are never loaded; save it as numbers",
    ),
    "picture": (
        np.zeros((2, 3, 4), np.float32),
        "holds 2×3×4 values of float32; events need fields t, x, y and p, or n×4 numbers",
    ),
    "complex": (np.zeros((9, 4), complex), "holds 9×4 values of complex128; events need"),
    "fields": (
        np.zeros(3, [("a", "i4"), ("b", "i4")]),
        "has fields a, b; events need t, x, y and p under these or similar names",
    ),
    "texts": (
        np.zeros(3, [("t", "U4"), ("x", "i4"), ("y", "i4"), ("p", "i4")]),
        "its fields are no plain numbers but",
    ),
    "four by four": (
        np.zeros((4, 4), int),
        "the content does not tell which columns are t, x, y and p; save it as an array with"
        " fields t, x, y and p",
    ),
}


@pytest.mark.parametrize(("array", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_are_no_events_is_refused(array: np.ndarray, text: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", array)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize(
    "header",
    [
        b"\x93NUMPY\x01\x00\xff\xffcut",
        b"\x93NUMPY\x01\x00\x04\x00oops",
        b"\x93NUMPY\x01\x00\x02\x00{}",
        b"\x93NUMPY\x01\x00\x05\x00" + b"(" * 5,
        encode_npy_header(EVENT, -1),
        encode_npy_header(np.dtype([("t", "V9999")]), 1),
    ],
)
def test_a_damaged_header_is_one_clear_error(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(header)
    with pytest.raises(RecordingError, match="its NPY header is damaged: it "):
        open_recording(path)


def test_a_file_that_claims_more_than_it_holds_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(encode_npy_header(EVENT, 2**60))
    events, counts = look(path)
    assert (len(events), counts) == (0, {"damaged places": 1})


def test_there_is_no_stream_or_place_but_its_own(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", EVENTS)
    with pytest.raises(RecordingError, match=r"has no streams by name, .*; leave out 'left'"):
        open_recording(path, stream="left")
    with open_recording(path) as reader:
        for position in [(0, 501), (0, -1), (0, 1, 1)]:
            with pytest.raises(RecordingError, match="has no position"):
                list(reader.packets(position))


@pytest.mark.shared
def test_the_real_recording_is_read_as_it_is_known(shared: Path) -> None:
    assert_as_known(shared / "recordings/npy_npz/expelliarmus_evt3_sample.npy")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["luna16_positive_patch.npy", "luna16_negative_patch.npy"])
def test_a_real_picture_is_no_recording(name: str) -> None:
    with pytest.raises(RecordingError, match="holds 64×64×64 values of float32; events need"):
        open_recording(SHARED / "other/ct_nodule" / name, LENIENT)
