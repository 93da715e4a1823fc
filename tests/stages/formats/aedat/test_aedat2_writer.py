"""The AEDAT 2.0 writer: files as jAER writes them, which give back what was written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from jaer import JAER, davis, dvs128, read, words
from round_trip import Sent, assert_written_is_read, far_events

from pipeline.errors import RecordingError
from pipeline.events import EventArray, empty_events, events_from_columns
from recordings import some_events
from stages.formats import create_recording, open_recording
from stages.formats.aedat.aedat2_writer import Aedat2Writer

TURN_US = 1 << 32
LONGEST_US = 1 << 30


def write(path: Path, events: EventArray, width: int = 128, height: int = 128) -> bytes:
    with Aedat2Writer(path, width, height, "DVS128-V1 0298") as writer:
        writer.write(events)
    return path.read_bytes()


def test_a_file_is_as_jaer_writes_it(tmp_path: Path) -> None:
    data = write(tmp_path / "a.aedat", events_from_columns([7, 8], [5, 127], [3, 127], [1, 0]))
    assert data == (
        b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Data format is int32"
        b" address, int32 timestamp (8 bytes total), repeated for each event\r\n# Timestamps tick"
        b" is 1 us\r\n# HardwareInterface: DVS128-V1 0298\r\n# AEChip: "
        + JAER.encode()
        + b".DVS128\r\n#End Of ASCII Header\r\n"
        + words([(7, dvs128(5, 3, 1)), (8, dvs128(127, 127, 0))])
    )


def test_a_davis_has_its_own_addresses(tmp_path: Path) -> None:
    events = events_from_columns([7, 8], [345, 0], [259, 1], [1, 0])
    data = write(tmp_path / "a.aedat", events, 346, 260)
    assert b"\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346red\r\n" in data
    assert data.endswith(words([(7, davis(345, 259, 1)), (8, davis(0, 1, 0))]))


def test_a_size_that_no_chip_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    with pytest.raises(ValueError, match=r"AEDAT 2\.0") as caught:
        create_recording(path, 34, 33)
    assert str(caught.value) == (
        "AEDAT 2.0 has no chip of 34×33 px, it has chips of 128×128, 208×192, 240×180,"
        " 320×240, 346×260, 640×480; write AEDAT4 (.aedat4) or AEDAT 3.1 (.aedat3)"
    )
    assert not path.exists()


@settings(max_examples=80)
@given(
    sent=far_events(
        [0, 1, 5_000, LONGEST_US - 1],
        [(128, 128), (208, 192), (240, 180), (320, 240), (346, 260), (640, 480)],
    )
)
def test_what_was_written_is_read(sent: Sent, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_written_is_read(tmp_path_factory.getbasetemp() / "any.aedat2", *sent)


def test_readers_that_do_not_know_the_offset_read_the_lower_bits(tmp_path: Path) -> None:
    events = some_events(100)
    data = write(tmp_path / "a.aedat", events)
    offset_us = int(events["t"][0]) // TURN_US * TURN_US
    assert f"\r\n# Time offset: {offset_us} us\r\n".encode() in data
    raw = np.frombuffer(data[-800:], ">u4").reshape(-1, 2)[:, 1]
    np.testing.assert_array_equal(raw, events["t"] - offset_us)


def test_many_events_are_written_in_pieces(tmp_path: Path) -> None:
    events = some_events(150_000)
    write(tmp_path / "a.aedat", events)
    with open_recording(tmp_path / "a.aedat") as reader:
        packets = list(reader.packets())
        assert max(len(packet.events) for packet in packets) == 1 << 16
        np.testing.assert_array_equal(read(reader), events)


def test_no_events_make_a_file_that_has_none(tmp_path: Path) -> None:
    write(tmp_path / "a.aedat", empty_events())
    with open_recording(tmp_path / "a.aedat") as reader:
        assert (reader.size, len(read(reader)), reader.notes) == ((128, 128), 0, {})


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize(
    ("before_us", "after_us", "fine"),
    [
        (TURN_US - LONGEST_US, TURN_US - 1, True),
        (TURN_US - LONGEST_US, TURN_US, False),
        (0, TURN_US - LONGEST_US, True),
        (1, TURN_US - 1, False),
        (5, 2 * TURN_US + 6, False),
    ],
)
def test_a_silence_that_would_be_read_wrongly_is_refused(
    before_us: int, after_us: int, fine: bool, cut: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.aedat"
    events = events_from_columns([before_us, after_us], [0, 0], [0, 0], [0, 0])
    with Aedat2Writer(path, 128, 128) as writer:
        writer.write(events[:cut])
        if fine:
            writer.write(events[cut:])
        else:
            with pytest.raises(RecordingError) as caught:
                writer.write(events[cut:])
            silence_s = (after_us - before_us) / 1e6
            assert str(caught.value) == (
                f"{path}: AEDAT 2.0 cannot hold a silence of {silence_s:.0f} s behind {before_us}"
                " µs, within which its clock of 32 bits wraps; write AEDAT4 (.aedat4) or AEDAT 3.1"
                " (.aedat3)"
            )
    with open_recording(path) as reader:
        np.testing.assert_array_equal(read(reader), events if fine else events[:cut])


def test_a_name_of_two_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"source must be a name on one line, got 'a\\nb'"):
        Aedat2Writer(tmp_path / "a.aedat", 128, 128, "a\nb")


def test_a_file_that_another_writes_is_refused(tmp_path: Path) -> None:
    path, text = tmp_path / "a.aedat", "is being written by another run or stage"
    with Aedat2Writer(path, 128, 128), pytest.raises(RecordingError, match=text):
        Aedat2Writer(path, 128, 128)
