"""The AEDAT 2.0 reader: chips, words that are no events, wraps of the clock, damage."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaer import DAVIS, END, JAER, davis, dvs128, header, read, words

from pipeline.errors import RecordingError
from pipeline.events import EventArray, events_from_columns
from stages.formats import Policies, open_recording

TURN_US = 1 << 32
IMU, APS, PIN = 0x8000_0C00, 0x8000_0400, 0x400
"""Addresses of a DAVIS that are no pixels."""


def make(path: Path, data: bytes, chip: str = f"{JAER}.DVS128", end: bytes = END) -> Path:
    path.write_bytes(header(chip, end=end) + data)
    return path


def rows(*rows: tuple[int, int, int, int]) -> EventArray:
    return events_from_columns(*zip(*rows, strict=True))


def test_a_dvs128_counts_x_from_the_right_and_0_is_on(tmp_path: Path) -> None:
    path = make(tmp_path / "a", words([(7, 0x0000), (8, 0x7FFF), (9, 0x0302)]))
    with open_recording(path) as reader:
        assert (reader.format, reader.source, reader.size) == ("AEDAT 2.0", "DVS128", (128, 128))
        np.testing.assert_array_equal(
            read(reader), rows((7, 127, 0, 1), (8, 0, 127, 0), (9, 126, 3, 1))
        )


def test_a_davis_is_passed_on_as_it_is_stored(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a", words([(7, 0x2CC_EF800), (8, 5 << 22 | 3 << 12)]), f"{DAVIS}.DAVIS240C"
    )
    with open_recording(path) as reader:
        assert reader.size == (180, 240)
        np.testing.assert_array_equal(read(reader), rows((7, 239, 179, 1), (8, 3, 5, 0)))


@pytest.mark.parametrize(
    ("chip", "size"),
    [
        (f"{JAER}.Tmpdiff128", (128, 128)),
        (f"{JAER}.DVS640", (480, 640)),
        (f"{DAVIS}.DAVIS240A", (180, 240)),
        ("eu.seebetter.ini.chips.DAViS.DAViS240", (180, 240)),
        (f"{DAVIS}.Davis346red", (260, 346)),
        (f"{DAVIS}.Davis346cBSI", (260, 346)),
        (f"{DAVIS}.Davis640", (480, 640)),
        (f"{DAVIS}.Davis208PixelParade", (192, 208)),
    ],
)
def test_the_chip_gives_the_size(chip: str, size: tuple[int, int], tmp_path: Path) -> None:
    with open_recording(make(tmp_path / "a", b"", chip)) as reader:
        assert reader.declared_size == size


def test_the_camera_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"#!AER-DAT2.0\n# HardwareInterface: DVS128-V1 0298\n# AEChip: a.DVS128\n")
    with open_recording(path) as reader:
        assert reader.source == "DVS128-V1 0298"


CHIPS = {
    "ch.unizh.ini.jaer.chip.cochlea.CochleaAMS1c": "CochleaAMS1c, a silicon cochlea: its events are"
    " tones and not pixels; name a recording of a camera",
    "ch.unizh.ini.jaer.chip.retina.DVS128andCochleaAMS1b": "DVS128andCochleaAMS1b, a silicon"
    " cochlea: its events are tones and not pixels; name a recording of a camera",
    "a.b.Strange": "the chip 'Strange', whose addresses are not known; known are DVS128,"
    " Tmpdiff128, DVS240, DVS640 and DAVIS of 128, 208, 240, 320, 346 and 640 columns:"
    " convert it in jAER",
}


@pytest.mark.parametrize("chip", CHIPS)
def test_what_is_no_known_camera_is_refused(chip: str, tmp_path: Path) -> None:
    path = make(tmp_path / "a", words([(1, 2)]), chip)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value) == f"{path}: was recorded with {CHIPS[chip]}"


def test_without_a_chip_the_addresses_decide(tmp_path: Path) -> None:
    path = make(tmp_path / "a", words([(1, dvs128(3, 4, 1)), (2, 0x8000)]), chip="")
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), rows((1, 3, 4, 1)))
        assert reader.size == (128, 128)
    path = make(tmp_path / "a", words([(1, davis(300, 4, 1)), (2, davis(3, 200, 0))]), chip="")
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), rows((1, 300, 4, 1), (2, 3, 200, 0)))
        assert (reader.declared_size, reader.size) == (None, (201, 301))


def test_a_header_may_be_much_longer_than_what_recognition_sees(tmp_path: Path) -> None:
    long = b"".join(b"#    <entry key=%d/>\r\n" % k for k in range(9_000))
    path = make(tmp_path / "a", words([(1, dvs128(3, 4, 1))]), end=long)
    assert path.stat().st_size > 175_000
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), rows((1, 3, 4, 1)))


@pytest.mark.parametrize("end", [END, b""])
def test_the_first_event_may_look_like_a_line_of_the_header(end: bytes, tmp_path: Path) -> None:
    data = words([(0x0A0A, davis(17, 141, 0)), (0x0A0B, davis(1, 1, 0))])
    assert data.startswith(b"#")
    with open_recording(make(tmp_path / "a", data, f"{DAVIS}.DAVIS240C", end)) as reader:
        np.testing.assert_array_equal(read(reader), rows((2570, 17, 141, 0), (2571, 1, 1, 0)))


def test_a_recording_may_end_with_its_header(tmp_path: Path) -> None:
    with open_recording(make(tmp_path / "a", b"", f"{DAVIS}.Davis346red", b"")) as reader:
        assert len(read(reader)) == 0
        assert (reader.refused, reader.notes) == ({}, {})


def test_samples_and_special_events_are_counted_and_left_out(tmp_path: Path) -> None:
    data = words([(1, IMU | 5), (2, APS), (3, davis(1, 2, 1)), (4, PIN), (5, 1 << 31), (6, IMU)])
    with open_recording(make(tmp_path / "a", data, f"{DAVIS}.DAVIS240C")) as reader:
        np.testing.assert_array_equal(read(reader), rows((3, 1, 2, 1)))
        assert reader.notes == {"IMU words": 2, "APS words": 2, "special events": 1}
        assert reader.refused == {}


def test_a_recording_may_end_within_a_sample_of_the_imu(tmp_path: Path) -> None:
    """A sample is seven words; whatever there is of the last one is no event and no damage."""
    samples = [(t, IMU | kind << 12) for t in (2, 4) for kind in range(7)]
    for left in range(1, 8):
        data = words([(1, davis(1, 2, 1)), *samples[: 7 + left]])
        with open_recording(make(tmp_path / "a", data, f"{DAVIS}.DAVIS240C")) as reader:
            np.testing.assert_array_equal(read(reader), rows((1, 1, 2, 1)))
            assert reader.notes == {"IMU words": 7 + left}


def test_unknown_words_are_counted_or_raised_behind_the_events_before(tmp_path: Path) -> None:
    data = words([(1, dvs128(1, 2, 1)), (2, 1 << 20), (3, dvs128(3, 4, 0)), (4, 0x8000)])
    path = make(tmp_path / "a", data)
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), rows((1, 1, 2, 1), (3, 3, 4, 0)))
        assert reader.notes == {"unknown words": 1, "special events": 1}
    with open_recording(path, Policies(on_unknown="raise")) as reader:
        packets = reader.packets()
        np.testing.assert_array_equal(next(packets).events, rows((1, 1, 2, 1)))
        with pytest.raises(RecordingError) as caught:
            next(packets)
    assert str(caught.value) == (
        f"{path}: holds an address with bits that the chip does not use, which means nothing in"
        ' AEDAT 2.0, behind about 1 events; set on_unknown = "drop" to skip it'
    )


def times(path: Path, *raw: int, **policies: str) -> list[int]:
    make(path, words((t, dvs128(1, 2, 1)) for t in raw))
    with open_recording(path, Policies(**policies)) as reader:
        return read(reader)["t"].tolist()


def test_time_is_unsigned(tmp_path: Path) -> None:
    assert times(tmp_path / "a", 3_800_000_000, 3_800_000_001) == [3_800_000_000, 3_800_000_001]


def test_the_clock_wraps_once_and_again(tmp_path: Path) -> None:
    quarter = [k * (TURN_US // 4 - 1) for k in range(9)]
    assert times(tmp_path / "a", *(t % TURN_US for t in quarter)) == quarter


def test_a_word_from_before_the_wrap_stays_before_it(tmp_path: Path) -> None:
    raw = (TURN_US - 5, 3, TURN_US - 2, 4)
    back = [TURN_US - 5, TURN_US + 3, TURN_US - 2, TURN_US + 4]
    assert times(tmp_path / "a", *raw, on_time_back="keep") == back
    # Nothing comes before the first turn.
    assert times(tmp_path / "a", 0, TURN_US - 2) == [0, TURN_US - 2]


def test_a_clock_that_was_reset_has_not_wrapped(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"goes back by 3000\.000 s, so the clock was reset"):
        times(tmp_path / "a", 3_000_000_000, 0)
    assert times(tmp_path / "a", 3_000_000_000, 0, 5, on_time_back="keep") == [3_000_000_000, 0, 5]


@st.composite
def mixed(draw: st.DrawFn) -> list[tuple[int, int, int, int, int]]:
    """Words of a DAVIS whose clock may wrap: t, address, x, y, p; p is -1 for no event."""
    t, found = draw(st.integers(0, TURN_US - 1)), []
    for _ in range(draw(st.integers(0, 40))):
        x, y, p = draw(st.integers(0, 239)), draw(st.integers(0, 179)), draw(st.integers(-1, 1))
        address = davis(x, y, p) if p >= 0 else draw(st.sampled_from([IMU, APS, PIN]))
        found.append((t, address, x, y, p))
        # Behind the first word, whose turn of the clock nothing can tell.
        t += draw(st.sampled_from([0, 1, 1000, TURN_US // 4 - 1]))
    return found


@settings(max_examples=60)
@given(sent=mixed(), chunk=st.integers(1, 50))
def test_any_mixture_is_read_and_resumed_in_any_chunks(
    sent: list[tuple[int, int, int, int, int]],
    chunk: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "mixed.aedat"
    make(path, words((t, address) for t, address, *_ in sent), f"{DAVIS}.DAVIS240C")
    pixels = [(t, x, y, p) for t, _, x, y, p in sent if p >= 0]
    expected = rows(*pixels) if pixels else events_from_columns([], [], [], [])
    with pytest.MonkeyPatch.context() as patch, open_recording(path) as reader:
        patch.setattr("stages.formats.aedat.aedat2._CHUNK_WORDS", chunk)
        packets = list(reader.packets())
        assert sum(len(packet.events) for packet in packets) == len(expected)
        assert sum(reader.notes[key] for key in ("IMU words", "APS words", "special events")) == (
            len(sent) - len(expected)
        )
        np.testing.assert_array_equal(read(reader), expected)
        done = 0
        for packet in packets:
            done += len(packet.events)
            np.testing.assert_array_equal(read(reader, packet.position), expected[done:])


def test_seeking_gives_what_scanning_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.formats.aedat.aedat2._CHUNK_WORDS", 10)
    sent = [(TURN_US - 500 + 10 * k, dvs128(k, 3, k % 2)) for k in range(100)]
    with open_recording(make(tmp_path / "a", words(sent))) as reader:
        whole = read(reader)
        for t_us in (0, TURN_US - 500, TURN_US - 3, TURN_US, TURN_US + 400, TURN_US + 9_999):
            rest = read(reader, reader.position_at(t_us))
            np.testing.assert_array_equal(rest, whole[-len(rest) :] if len(rest) else whole[:0])
            assert (rest["t"] >= t_us).sum() == (whole["t"] >= t_us).sum()


@pytest.mark.parametrize("place", [(0,), (0, -1, 0, -1), (0, 10**9, 0, -1), (0, 1, 2)])
def test_a_position_outside_is_refused(place: tuple[int, ...], tmp_path: Path) -> None:
    path = make(tmp_path / "a", words([(1, 2)]))
    with open_recording(path) as reader, pytest.raises(RecordingError, match="has no position"):
        next(reader.packets((0, *place)))


def test_every_cut_gives_the_events_before_it(tmp_path: Path) -> None:
    whole = make(tmp_path / "a", words([(k, dvs128(k, 2, 1)) for k in range(5)])).read_bytes()
    path, start = tmp_path / "cut", len(whole) - 40
    for cut in range(len(b"#!AER-DAT2"), len(whole)):
        path.write_bytes(whole[:cut])
        if cut < start:
            # Between two lines nothing is missing.
            if whole[cut - 1 : cut] != b"\n":
                with pytest.raises(RecordingError, match=f"ends within it, after {cut} bytes"):
                    open_recording(path)
            continue
        count, tail = divmod(cut - start, 8)
        with open_recording(path, Policies(on_damage="drop")) as reader:
            assert read(reader)["t"].tolist() == list(range(count))
            damage = {"damaged places": 1, "damaged bytes": tail} if tail else {}
            assert reader.notes == damage
        if tail:
            text = f"is truncated at byte {cut - tail}; the {count} events before it were read; set"
            with open_recording(path) as reader, pytest.raises(RecordingError, match=text):
                read(reader)


@pytest.mark.parametrize("offset", ["x", "9999999999999999999", ""])
def test_a_time_offset_that_is_none_is_damage(offset: str, tmp_path: Path) -> None:
    path = make(tmp_path / "a", b"", end=f"# Time offset: {offset} us\r\n".encode())
    with pytest.raises(RecordingError, match="must hold a number of microseconds; copy or record"):
        open_recording(path)


def test_mutated_files_give_events_or_one_error(tmp_path: Path) -> None:
    sent = [(TURN_US - 900 + 10 * k, davis(k, k, k % 2) if k % 7 else IMU) for k in range(170)]
    whole = make(tmp_path / "a", words(sent), f"{DAVIS}.DAVIS240C").read_bytes()
    rng = np.random.default_rng(7)
    ended = {"error": 0, "end": 0}
    for _ in range(400):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 8)):
            data[place] = rng.integers(0, 256)
        (tmp_path / "b").write_bytes(data)
        try:
            with open_recording(tmp_path / "b", Policies(on_time_back="keep")) as reader:
                events = read(reader)
        except RecordingError:
            ended["error"] += 1
        else:
            ended["end"] += 1
            assert len(events) <= 170
    assert min(ended.values()) > 10
