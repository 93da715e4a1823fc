"""The AEDAT 3.1 reader: sources, packets of all kinds, wraps of the clock, damage."""

from pathlib import Path

import numpy as np
import pytest
from caer import (
    COMPRESSED,
    CONFIG,
    FRAME,
    IMU6,
    POLARITY,
    SPECIAL,
    TURN_US,
    Row,
    header,
    packet,
    packets,
    polarity,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from jaer import read

from pipeline.errors import RecordingError
from pipeline.events import EventArray, events_from_columns
from stages.formats import Policies, open_recording

ROWS: list[Row] = [(10 * k, k % 128, k % 97, k % 2) for k in range(60)]
HEADER = header("1: DVS128")


def make(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def events_of(rows: list[Row]) -> EventArray:
    valid = [row for row in rows if row[3] >= 0]
    return events_from_columns(*(zip(*valid, strict=True) if valid else [[]] * 4))


def test_events_are_laid_out_as_in_dvs128_gesture(tmp_path: Path) -> None:
    # x is in bits 17 to 31, y in 2 to 16, polarity in 1, and 0 says that the event is valid.
    data = bytes.fromhex("0f000600 01000000 fdffffff ffffff7f")
    path = make(tmp_path / "a", HEADER, packet(data))
    with open_recording(path, size=(1 << 15, 1 << 15)) as reader:
        assert (reader.format, reader.source) == ("AEDAT 3.1", "DVS128")
        expected = events_from_columns([1, 2**31 - 1], [3, 32767], [3, 32767], [1, 0])
        np.testing.assert_array_equal(read(reader), expected)


def test_header_lines_may_end_as_on_unix(tmp_path: Path) -> None:
    path = make(tmp_path / "a", header("1: DVS128", end=b"\n"), packets(ROWS, 7))
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), events_of(ROWS))
        assert (reader.size, reader.refused, reader.notes) == ((128, 128), {}, {})


@pytest.mark.parametrize(
    ("source", "name", "size"),
    [
        ("0: DVS128", "DVS128", (128, 128)),
        ("0: DAVIS240C", "DAVIS240C", (180, 240)),
        ("0: DAVIS346Cbsi", "DAVIS346Cbsi", (260, 346)),
        ("0: File,dvsSizeX=30,dvsSizeY=20,apsSizeX=0,apsSizeY=0", "File", (20, 30)),
        ("0: Processor,dvsSizeX=0,dvsSizeY=0", "Processor", None),
        ("0: File,dvsSizeX=32769,dvsSizeY=1", "File", None),
        ("0: Unheard of", "Unheard of", None),
        (
            "2: File,dvsSizeX=3,dvsSizeY=2\r\n#-Source 1: Network\r\n#-Source 0: eDVS",
            "eDVS",
            (2, 3),
        ),
    ],
)
def test_the_source_gives_name_and_size(
    source: str, name: str, size: tuple[int, int] | None, tmp_path: Path
) -> None:
    with open_recording(make(tmp_path / "a", header(source))) as reader:
        assert (reader.source, reader.declared_size) == (name, size)


def test_a_size_that_nothing_says_is_measured(tmp_path: Path) -> None:
    with open_recording(make(tmp_path / "a", header(), packets(ROWS, 9))) as reader:
        assert (reader.source, reader.size) == ("", (60, 60))


def test_of_several_sources_one_is_read(tmp_path: Path) -> None:
    begin = header("0: DVS128", "3: DAVIS240C")
    here, there = packets(ROWS[:30], 10, source=0), packets(ROWS[30:], 10, source=3)
    path = make(tmp_path / "a", begin, here, there)
    for stream, size, rows in (
        (None, (128, 128), ROWS[:30]),
        ("0", (128, 128), ROWS[:30]),
        ("3", (180, 240), ROWS[30:]),
        ("DAVIS240C", (180, 240), ROWS[30:]),
    ):
        with open_recording(path, stream=stream) as reader:
            assert reader.size == size
            np.testing.assert_array_equal(read(reader), events_of(rows))
            assert reader.notes == {"events of other sources": 30, "other streams": 1}
            assert reader.other_streams == ("3" if size == (128, 128) else "0",)
    with pytest.raises(RecordingError) as caught:
        open_recording(path, stream="1")
    text = f"{path}: has no source '1'; name one by its number, it has: 0 (DVS128), 3 (DAVIS240C)"
    assert str(caught.value) == text


def test_a_single_source_may_be_numbered_wrongly(tmp_path: Path) -> None:
    path = make(tmp_path / "a", HEADER, packets(ROWS, 10, source=0))
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), events_of(ROWS))


def test_other_packets_are_counted_and_skipped_whole(tmp_path: Path) -> None:
    parts = [
        packet(bytes(8 * 3), SPECIAL),
        packets(ROWS[:20], 50),
        packet(bytes(36 + 346 * 260 * 2), FRAME, size=36 + 346 * 260 * 2, time_at=12),
        packet(bytes(10 * 3), CONFIG, size=10, time_at=6),
        packets(ROWS[20:], 50),
        packet(bytes(36 * 20_000), IMU6, size=36),
        packet(b"png", FRAME + COMPRESSED, size=179_956, number=1, capacity=3, time_at=12),
        packet(b"", POLARITY),
    ]
    path = make(tmp_path / "a", header("1: DAVIS346", form="PNGFrames"), *parts)
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), events_of(ROWS))
        assert reader.notes == {
            "special events": 3,
            "frames": 2,
            "other events": 3,
            "IMU samples": 20_000,
        }


def test_wraps_of_the_clock_are_counted_by_the_packet(tmp_path: Path) -> None:
    rows = [(t, 1, 2, 1) for t in (5, TURN_US - 1, TURN_US, 3 * TURN_US + 7, 900 * TURN_US)]
    with open_recording(make(tmp_path / "a", HEADER, packets(rows, 9))) as reader:
        np.testing.assert_array_equal(read(reader), events_of(rows))


REFUSED = {
    "compressed": (
        header("1: DVS128", form="SerializedTS,PNGFrames"),
        "is compressed (SerializedTS, PNGFrames), which only cAER reads; write it as RAW with cAER",
    ),
    "3.0": (
        header("1: DVS128", version="3.0"),
        "is of AEDAT 3.0, of which no two readers agree how its events are laid out; convert it to"
        " AEDAT 3.1 with the program that wrote it",
    ),
    "no end": (
        HEADER.partition(b"#!END")[0] + bytes(100),
        "its AEDAT 3.1 header is damaged: it has no line #!END-HEADER; copy or record it again",
    ),
}


@pytest.mark.parametrize(("data", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_read_is_refused(data: bytes, text: str, tmp_path: Path) -> None:
    path = make(tmp_path / "a", data)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value) == f"{path}: {text}"


@settings(max_examples=60)
@given(
    first_us=st.integers(0, 2**40),
    steps=st.lists(st.sampled_from([0, 1, 900, TURN_US // 2]), max_size=50),
    seed=st.integers(0, 9),
    length=st.integers(1, 20),
    room=st.integers(1, 30),
    block=st.integers(16, 200),
)
def test_any_packets_are_read_and_resumed_in_any_blocks(
    first_us: int,
    steps: list[int],
    seed: int,
    length: int,
    room: int,
    block: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.aedat3"
    rng = np.random.default_rng(seed)
    x, y, p = (rng.integers(low, 128, len(steps)) for low in (0, 0, -9))
    t = first_us + np.cumsum(np.array(steps, np.int64))
    rows = list(zip(t.tolist(), x.tolist(), y.tolist(), np.sign(p).tolist(), strict=True))
    odd = packet(bytes(10), CONFIG, size=10)
    make(path, HEADER, odd, packets(rows[:25], length), odd, packets(rows[25:], length))
    expected = events_of(rows)
    with pytest.MonkeyPatch.context() as patch, open_recording(path) as reader:
        patch.setattr("stages.formats.aedat.aedat3._BLOCK_EVENTS", room)
        patch.setattr("stages.formats.aedat.aedat3._BLOCK_BYTES", 28 + block)
        whole = list(reader.packets())
        np.testing.assert_array_equal(read(reader), expected)
        invalid = len(rows) - len(expected)
        counts = {"other events": 2, "invalid events": invalid} if invalid else {"other events": 2}
        assert {key: n for key, n in reader.notes.items() if key != "gaps"} == counts
        done = 0
        for one in whole:
            done += len(one.events)
            np.testing.assert_array_equal(read(reader, one.position), expected[done:])
        for t_us in (first_us, first_us + 901, first_us + TURN_US):
            rest = read(reader, reader.position_at(t_us))
            assert (rest["t"] >= t_us).sum() == (expected["t"] >= t_us).sum()


@pytest.mark.parametrize("place", [(0, 0, 0), (500, -1, 0), (500, 9_999, 0), (500, 0, 2**31), (1,)])
def test_a_position_outside_is_refused(place: tuple[int, ...], tmp_path: Path) -> None:
    path = make(tmp_path / "a", HEADER, packets(ROWS, 60))
    with open_recording(path) as reader, pytest.raises(RecordingError, match="has no position"):
        next(reader.packets((0, *place)))


def test_every_cut_gives_the_whole_packets_before_it(tmp_path: Path) -> None:
    whole = make(tmp_path / "a", HEADER, packets(ROWS[:9], 3)).read_bytes()
    path, start = tmp_path / "cut", len(HEADER)
    for cut in range(len(b"#!AER-DAT3"), len(whole), 3):
        path.write_bytes(whole[:cut])
        if cut < start:
            with pytest.raises(RecordingError, match="header is damaged"):
                open_recording(path)
            continue
        count, tail = divmod(cut - start, 28 + 24)
        with open_recording(path, Policies(on_damage="drop")) as reader:
            np.testing.assert_array_equal(read(reader), events_of(ROWS[: 3 * count]))
            assert reader.notes.get("damaged bytes", 0) == tail
        if tail:
            text = f"is truncated at byte {cut - tail}; the {3 * count} events before it were read"
            with open_recording(path) as reader, pytest.raises(RecordingError, match=text):
                read(reader)


WRONG = {
    "size of an event": {"size": 16, "number": 3},
    "place of the time": {"time_at": 0},
    "more valid than events": {"valid": 4},
    "negative number": {"number": -1},
    "less room than events": {"capacity": 2},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_packet_that_cannot_be_ends_the_recording(wrong: dict[str, int], tmp_path: Path) -> None:
    bad = packet(polarity(ROWS[3:6]), **wrong)
    path = make(tmp_path / "a", HEADER, packets(ROWS[:3], 3), bad, packets(ROWS[6:], 9))
    place = len(HEADER) + 28 + 24
    with open_recording(path) as reader, pytest.raises(RecordingError) as caught:
        read(reader)
    assert str(caught.value) == (
        f"{path}: is damaged (a packet cannot begin with {bad[:28].hex(' ', 4)}) at byte {place};"
        ' the 3 events before it were read; set on_damage = "drop" to accept that'
    )
    with open_recording(path, Policies(on_damage="drop")) as reader:
        np.testing.assert_array_equal(read(reader), events_of(ROWS[:3]))
        damage = path.stat().st_size - place
        assert reader.notes == {"damaged places": 1, "damaged bytes": damage}


def test_compressed_events_in_a_file_that_is_not_are_damage(tmp_path: Path) -> None:
    bad = packet(bytes(16), POLARITY + COMPRESSED, number=3, capacity=16)
    path, text = make(tmp_path / "a", HEADER, bad), "it holds compressed events, and its header"
    with open_recording(path) as reader, pytest.raises(RecordingError, match=text):
        read(reader)


def test_mutated_files_give_events_or_one_error(tmp_path: Path) -> None:
    whole = HEADER + packets(ROWS, 7)
    rng = np.random.default_rng(7)
    ended = {"error": 0, "end": 0}
    for _ in range(400):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(0, 256)
        path = make(tmp_path / "b", data)
        try:
            with open_recording(path, Policies(on_time_back="keep")) as reader:
                events = read(reader)
        except RecordingError:
            ended["error"] += 1
        else:
            ended["end"] += 1
            assert len(events) <= len(data) // 8
    assert min(ended.values()) > 10
