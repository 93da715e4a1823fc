"""The AEDAT 1.0 reader: words of 48 bits, with or without a version line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaer import JAER, dvs128, header, read, words

from pipeline.errors import RecordingError
from pipeline.events import events_from_columns
from stages.formats import Policies, open_recording

TURN_US = 1 << 32
SENT = [(TURN_US - 2, dvs128(1, 2, 1)), (TURN_US - 1, 0x8000), (TURN_US + 4, dvs128(127, 0, 0))]
EVENTS = events_from_columns([TURN_US - 2, TURN_US + 4], [1, 127], [2, 0], [1, 0])

HEADERS = {
    "version": header(version="1.0", end=b""),
    "chip": header(f"{JAER}.DVS128", version="1.0"),
    "no version": b"# This is a raw AE data file - do not edit\r\n# Data format is int16 address,"
    b" int32 timestamp (6 bytes total), repeated for each event\r\n# created Fri Feb 03 2006\r\n",
}


@pytest.mark.parametrize("begin", HEADERS.values(), ids=HEADERS.keys())
def test_words_of_48_bits_are_read(begin: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(begin + words(SENT, ">HI"))
    with open_recording(path) as reader:
        assert (reader.format, reader.size) == ("AEDAT 1.0", (128, 128))
        np.testing.assert_array_equal(read(reader), EVENTS)
        assert reader.notes == {"special events": 1}


def test_without_a_version_the_comment_says_how_long_words_are(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    begin = HEADERS["no version"].replace(b"int16", b"int32")
    path.write_bytes(begin + words(SENT))
    with open_recording(path) as reader:
        assert reader.format == "AEDAT 2.0"
        np.testing.assert_array_equal(read(reader), EVENTS)


@given(
    sent=st.lists(st.tuples(*[st.integers(0, 127)] * 2, st.integers(0, 1)), max_size=30),
    tail=st.integers(0, 5),
    chunk=st.integers(1, 20),
)
def test_any_chunks_give_all_events_and_resume(
    sent: list[tuple[int, int, int]],
    tail: int,
    chunk: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.dat"
    rows = [(100 * k, *row) for k, row in enumerate(sent)]
    data = words(((t, dvs128(x, y, p)) for t, x, y, p in rows), ">HI")
    path.write_bytes(HEADERS["version"] + data + bytes(tail))
    expected = events_from_columns(*(zip(*rows, strict=True) if rows else [[]] * 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.formats.aedat.aedat2._CHUNK_WORDS", chunk)
        with open_recording(path, Policies(on_damage="drop")) as reader:
            packets = list(reader.packets())
            np.testing.assert_array_equal(read(reader), expected)
            assert reader.notes.get("damaged bytes", 0) == tail
            done = 0
            for packet in packets:
                done += len(packet.events)
                np.testing.assert_array_equal(read(reader, packet.position), expected[done:])


def test_a_cut_word_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(HEADERS["version"] + words(SENT, ">HI")[:-1])
    with open_recording(path) as reader, pytest.raises(RecordingError, match="is truncated at"):
        read(reader)
