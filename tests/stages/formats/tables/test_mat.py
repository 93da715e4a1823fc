"""MATLAB files: vectors, structs and tactile spikes; what would not fit is refused."""

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from resuming import assert_resuming_continues, assert_seeking_is_scanning, look, read

from pipeline.errors import RecordingError
from recordings import some_events
from stages.formats import Policies, open_recording
from stages.formats.tables.mat import MatReader

EVENTS = some_events(400)
EVENTS["t"] -= EVENTS["t"][0]
VECTORS: dict[str, Any] = {name: EVENTS[name].astype(np.float64) for name in "txyp"}


def saved(path: Path, variables: dict[str, Any], compressed: bool = True) -> Path:
    scipy.io.savemat(path, variables, do_compression=compressed)
    return path


LAYOUTS: dict[str, dict[str, Any]] = {
    "variables": VECTORS,
    "struct": {
        "label": 3,
        "TD": {"x": EVENTS["x"], "y": EVENTS["y"], "p": EVENTS["p"], "ts": EVENTS["t"]},
    },
    "Orchard's": {
        "TD": {
            "x": VECTORS["x"] + 1,
            "y": VECTORS["y"] + 1,
            "p": VECTORS["p"] + 1,
            "ts": VECTORS["t"],
        }
    },
    "seconds and signs": {**VECTORS, "t": VECTORS["t"] / 1e6, "p": 2 * VECTORS["p"] - 1},
    "columns": {name: column.reshape(-1, 1) for name, column in VECTORS.items()},
    "numbers": {"events": np.stack([VECTORS[name] for name in "xypt"], axis=1)},
}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("variables", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_is_read(variables: dict[str, Any], compressed: bool, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.bin", variables, compressed)
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS)
    assert counts == {}
    with open_recording(path) as reader:
        assert (reader.format, reader.event_count) == ("MAT", 400)


def test_spikes_of_taxels_are_events_of_10_by_10_pixels(tmp_path: Path) -> None:
    train = np.zeros((101, 4))
    train[100] = [0.001, 0.002, 0.002, 0.0035]
    train[[0, 9, 10, 99], range(4)] = [1, -1, 1, -1]
    train[5, 3] = 1
    path = saved(tmp_path / "a.mat", {"spiketrain": train})
    with open_recording(path) as reader:
        assert (reader.size, reader.source) == ((10, 10), "ST-MNIST tactile sensor")
    assert read(path).tolist() == [
        (1000, 0, 0, 1),
        (2000, 9, 0, 0),
        (2000, 0, 1, 1),
        (3500, 5, 0, 1),
        (3500, 9, 9, 0),
    ]


def test_slices_and_places_never_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.mat", VECTORS)
    assert_resuming_continues(path, monkeypatch, [{"slice_rows": rows} for rows in (1, 150)])
    assert_seeking_is_scanning(path, [0, 250_000, 10**9])


def test_a_variable_may_be_named(tmp_path: Path) -> None:
    def struct(part: slice) -> dict[str, Any]:
        return {name: EVENTS[name][part] for name in "txyp"}

    path = saved(tmp_path / "a.mat", {"one": struct(slice(100)), "two": struct(slice(100, None))})
    np.testing.assert_array_equal(read(path), EVENTS[:100])
    np.testing.assert_array_equal(read(path, stream="two"), EVENTS[100:])
    with open_recording(path) as reader:
        assert reader.other_streams == ("two",)
    with pytest.raises(RecordingError, match=r"holds no events in 'three': .* variables: one, two"):
        open_recording(path, stream="three")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"a": 1}, "holds no events: no vectors t, x, y and p or of similar names;"),
    "lengths": ({**VECTORS, "p": VECTORS["p"][1:]}, "its columns t, x, y, p have [400, 400, 400,"),
    "texts": ({**VECTORS, "p": "on"}, "holds no events: no vectors t, x, y and p or of similar"),
    "cells": (
        {name: np.array([1, "a"], object) for name in "txyp"},
        "holds no events: no vectors t, x, y and p or of similar names; its variables: t, x, y, p",
    ),
    "structs": ({"TD": [{"x": 1}, {"x": 2}]}, "holds no events: no vectors t, x, y and p"),
    "order": ({"events": np.ones((5, 4))}, "the content does not tell which columns are"),
}


@pytest.mark.parametrize(("variables", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_are_no_events_is_refused(
    variables: dict[str, Any], text: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.mat", variables)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("layout", ["variables", "struct", "numbers", "spikes"])
def test_a_long_file_takes_no_more_memory_than_a_short_one(
    layout: str, compressed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MatReader, "slice_rows", 4096)
    rows = 200_000
    columns = {
        "x": np.zeros(rows),
        "y": np.zeros(rows),
        "p": np.ones(rows),
        "t": np.arange(rows, dtype=np.float64),
    }
    variables: dict[str, Any] = {
        "variables": columns,
        "struct": {"TD": columns},
        "numbers": {"events": np.stack(list(columns.values()), axis=1)},
        "spikes": {"spiketrain": np.eye(101, 10_000)},
    }[layout]
    path = saved(tmp_path / "a.mat", variables, compressed)
    read(path)  # compiles
    tracemalloc.start()
    try:
        with open_recording(path) as reader:
            count = sum(len(packet.events) for packet in reader.packets())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == (100 if layout == "spikes" else rows)
    assert peak_bytes < 1 << 20  # of 6 to 8 MB of numbers


def test_a_cut_file_gives_the_events_before(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.mat", VECTORS, compressed=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: -100 * 8 - 3])
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS[:299])
    assert counts["damaged places"] == 1
    with pytest.raises(RecordingError, match=r"is truncated at byte \d+; the 299 events before"):
        read(path, Policies())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match=r"is truncated at byte \d+, before its last column"):
        open_recording(path)


def test_a_cut_compressed_file_gives_the_events_before(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.mat", {name: VECTORS[name] for name in "xypt"})
    path.write_bytes(path.read_bytes()[:-300])
    found, counts = look(path)
    assert 0 < len(found) < 400
    np.testing.assert_array_equal(found, EVENTS[: len(found)])
    assert counts == {"damaged places": 1, "damaged bytes": 4 * 8 * (400 - len(found))}
    path.write_bytes(path.read_bytes()[:-1200])
    with pytest.raises(RecordingError, match=r"is truncated at byte \d+, before its last column"):
        open_recording(path)


@pytest.mark.parametrize("layout", ["variables", "struct"])
def test_a_checksum_that_is_wrong_is_damage(layout: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.mat", LAYOUTS[layout])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    found, counts = look(path)
    assert counts["damaged places"] == 1
    np.testing.assert_array_equal(found, EVENTS[: len(found)])
    with pytest.raises(RecordingError, match=r"is damaged \(Error -3 .* incorrect data check\)"):
        read(path, Policies())


def test_damaged_files_give_events_or_one_clear_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.mat", VECTORS, compressed=False)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    errors = []
    for number in range(300):
        data = bytearray(whole[: rng.integers(200, len(whole))] if number % 3 == 0 else whole)
        for at in rng.integers(128, min(len(data), 2000), 5):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            look(path)
        except RecordingError as error:
            errors.append(str(error))
    assert len(errors) > 100
    assert not any("\n" in error for error in errors)


def test_a_file_of_a_big_endian_machine_is_read(tmp_path: Path) -> None:
    def element(kind: int, part: bytes) -> bytes:
        return struct.pack(">II", kind, len(part)) + part + bytes(-len(part) % 8)

    def vector(name: str, values: np.ndarray) -> bytes:
        flags = element(6, struct.pack(">II", 6, 0))
        shape = element(5, struct.pack(">ii", len(values), 1))
        numbers = element(9, values.astype(">f8").tobytes())
        # A name of four bytes or less is within its tag.
        small = struct.pack(">HH", len(name), 1) + name.encode().ljust(4, b"\0")
        return element(14, flags + shape + small + numbers)

    path = tmp_path / "a.mat"
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    path.write_bytes(header + b"".join(vector(*both) for both in VECTORS.items()))
    np.testing.assert_array_equal(read(path), EVENTS)


@pytest.mark.shared
def test_the_real_recording_is_read(shared: Path) -> None:
    path = shared / "recordings/mat/tonic_sample_stmnist.mat"
    events, counts = look(path)
    # Of its 2346 spikes 1601 are positive; they last from 0.196626 to 0.895745 s.
    assert (len(events), counts) == (2346, {})
    assert np.bincount(events["p"]).tolist() == [745, 1601]
    assert (events["t"][0], events["t"][-1]) == (196_626, 895_745)
