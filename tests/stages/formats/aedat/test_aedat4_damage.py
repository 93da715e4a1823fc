"""Damaged AEDAT4 files: whole packets, then one error; never anything else."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import RecordingError
from pipeline.events import EventArray, concatenate_events, empty_events
from recordings import some_events
from stages.formats import open_recording
from stages.formats.aedat.aedat4 import Aedat4Reader
from stages.formats.aedat.aedat4_writer import Aedat4Writer
from stages.formats.policies import Policies

EVENTS = some_events(250, 35_000, size=100)
COMPRESSIONS = ("none", "lz4", "zstd")


def recording(path: Path, compression: str) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a file's bytes, and for each of its packets its end and the events up to there."""
    with Aedat4Writer(path, 100, 100, compression=compression) as writer:
        writer.write(EVENTS)
    whole, packets, count = path.read_bytes(), [], 0
    for place, _, size, events, _, _ in writer._entries:
        count += events
        packets.append((place + size, count))
    return whole, packets


def read(
    path: Path, on_damage: Literal["raise", "drop"] = "raise"
) -> tuple[EventArray, str | None, dict[str, int]]:
    """Read all there is, and say what ended it; when it drops, only opening may fail."""
    parts: list[EventArray] = []
    try:
        reader = open_recording(path, Policies(on_damage=on_damage, on_time_back="keep"))
    except RecordingError as error:
        return concatenate_events(parts), str(error), {}
    with reader:
        try:
            parts.extend(packet.events for packet in reader.packets())
        except RecordingError as error:
            assert on_damage == "raise"
            return concatenate_events(parts), str(error), dict(reader.notes)
        return concatenate_events(parts), None, dict(reader.notes)


def one_by_one(reader: Aedat4Reader) -> Callable[[int], tuple[int, EventArray]]:
    """A decoder of runs that takes none."""
    return lambda offset: (0, empty_events())


@pytest.mark.parametrize(("compression", "step"), [("lz4", 2), ("none", 13), ("zstd", 7)])
def test_every_cut_gives_the_packets_before_it_and_one_error(
    compression: str, step: int, tmp_path: Path
) -> None:
    path = tmp_path / "cut.aedat4"
    whole, packets = recording(path, compression)
    assert len(packets) == 4
    np.testing.assert_array_equal(read(path)[0], EVENTS)
    for cut in range(len(b"#!AER-DAT4"), len(whole), step):
        path.write_bytes(whole[:cut])
        expected = max((count for end, count in packets if end <= cut), default=0)
        events, error, _ = read(path)
        np.testing.assert_array_equal(events, EVENTS[:expected])
        assert error is not None, cut
        if f"{path}: its AEDAT4 header is damaged: " in error:
            assert expected == 0
            continue
        assert f"; the {expected} events before it were read; set on_damage" in error, cut
        events, error, quality = read(path, "drop")
        np.testing.assert_array_equal(events, EVENTS[:expected])
        assert error is None
        assert quality["damaged places"] == 1
        known = max((end for end, _ in packets if end <= cut), default=None)
        assert known is None or quality.get("damaged bytes", 0) == cut - known


def test_the_error_names_the_byte_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "cut.aedat4"
    whole, packets = recording(path, "lz4")
    (_, _), (second, count), (third, _), _ = packets
    path.write_bytes(whole[: third - 1])
    assert read(path)[1] == (
        f"{path}: is truncated at byte {second}; the {count} events before it were read;"
        ' set on_damage = "drop" to accept that'
    )


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_packet_that_cannot_be_decoded_is_named_or_skipped(
    compression: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.aedat4"
    whole, packets = recording(path, compression)
    (first, before), (second, behind), *_ = packets
    bad = bytearray(whole)
    bad[first + 8 : first + 24] = b"\xff" * 16
    path.write_bytes(bad)
    events, error, _ = read(path)
    np.testing.assert_array_equal(events, EVENTS[:before])
    assert error is not None
    assert error.startswith(f"{path}: is damaged (")
    assert error.endswith(
        f") at byte {first}; the {before} events before it were read;"
        ' set on_damage = "drop" to accept that'
    )
    events, error, quality = read(path, "drop")
    np.testing.assert_array_equal(events, np.delete(EVENTS, slice(before, behind)))
    assert error is None
    assert quality == {"damaged places": 1, "damaged bytes": second - first}


@pytest.mark.parametrize(
    ("stream", "size"), [(7, 10), (-1, 10), (0, -1), (0, -(2**31)), (0, 2**31 - 1)]
)
def test_a_packet_header_that_cannot_be_ends_the_recording(
    stream: int, size: int, tmp_path: Path
) -> None:
    path = tmp_path / "bad.aedat4"
    whole, packets = recording(path, "lz4")
    (_, _), (second, before), *_ = packets
    path.write_bytes(whole[:second] + struct.pack("<ii", stream, size) + whole[second + 8 :])
    events, error, _ = read(path)
    np.testing.assert_array_equal(events, EVENTS[:before])
    assert error is not None
    assert f"at byte {second}; the {before} events" in error
    events, error, quality = read(path, "drop")
    np.testing.assert_array_equal(events, EVENTS[:before])
    assert (error, quality["damaged places"]) == (None, 1)


def test_a_damaged_data_table_costs_no_event(tmp_path: Path) -> None:
    path = tmp_path / "bad.aedat4"
    whole, packets = recording(path, "lz4")
    table = packets[-1][0]
    path.write_bytes(whole[:table] + b"\xff" * (len(whole) - table))
    events, error, _ = read(path)
    np.testing.assert_array_equal(events, EVENTS)
    assert error == (
        f"{path}: is damaged (its data table) at byte {table}; the {len(EVENTS)} events before it"
        ' were read; set on_damage = "drop" to accept that'
    )


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_mutated_files_give_events_or_an_error(
    compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same ones, whether packets are decoded in runs or one by one."""
    path = tmp_path / "mutated.aedat4"
    whole, _ = recording(path, compression)
    rng = np.random.default_rng(7)
    header = whole.index(b"</dv>")
    ended = {"error": 0, "end": 0}
    for k in range(300):
        mutated = np.frombuffer(whole, np.uint8).copy()
        # Half of them in the header, which would get few otherwise.
        places = rng.integers(0, header if k % 2 else len(whole), rng.integers(1, 8))
        mutated[places] = rng.integers(0, 256, len(places))
        path.write_bytes(mutated.tobytes())
        events, error, _ = read(path)
        ended["end" if error is None else "error"] += 1
        dropped, error, _ = read(path, "drop")
        assert len(dropped) >= len(events)
        with monkeypatch.context() as patch:
            patch.setattr(Aedat4Reader, "_run_decoder", one_by_one)
            for found, on_damage in ((events, "raise"), (dropped, "drop")):
                assert read(path, on_damage)[0].tobytes() == found.tobytes()
        for axis in ("x", "y"):
            assert not len(dropped) or dropped[axis].min() >= 0
    assert min(ended.values()) > 10


@given(data=st.binary(max_size=200), keep=st.integers(14, 1200))
def test_any_bytes_behind_any_begin_give_events_or_an_error(
    data: bytes, keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    whole, _ = recording(folder / "whole.aedat4", "none")
    (folder / "any.aedat4").write_bytes(whole[:keep] + data)
    read(folder / "any.aedat4")
    read(folder / "any.aedat4", "drop")
