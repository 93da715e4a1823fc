"""The AEDAT 3.1 writer: files as cAER writes them, which give back what was written."""

from pathlib import Path

import numpy as np
import pytest
from caer import TURN_US, packet, packets, polarity
from hypothesis import given, settings
from round_trip import Sent, assert_written_is_read, far_events

from pipeline.errors import RecordingError
from pipeline.events import EventArray, empty_events, events_from_columns
from recordings import some_events
from stages.formats.aedat.aedat3_writer import Aedat3Writer


def write(path: Path, events: EventArray, width: int = 128, height: int = 128) -> bytes:
    with Aedat3Writer(path, width, height, "DVS128_0279") as writer:
        writer.write(events)
    return path.read_bytes()


def test_a_file_is_as_caer_writes_it(tmp_path: Path) -> None:
    rows = [(TURN_US - 1, 5, 3, 1), (TURN_US, 127, 127, 0), (TURN_US + 9, 0, 1, 1)]
    data = write(tmp_path / "a.aedat3", events_from_columns(*zip(*rows, strict=True)))
    assert data == (
        b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#-Source 1: DVS128_0279\r\n"
        b"#Start-Time: 1970-01-01 00:00:00 (TZ+0000)\r\n#!END-HEADER\r\n"
        + packet(polarity(rows[:1]))
        + packet(polarity(rows[1:]), turns=1)
    )


def test_a_sensor_that_caer_does_not_know_is_described_by_its_size(tmp_path: Path) -> None:
    data = write(tmp_path / "a.aedat3", empty_events(), 34, 33)
    assert (
        b"\r\n#Source 1: Processor,dvsSizeX=34,dvsSizeY=33,apsSizeX=0,apsSizeY=0,dataSizeX=34,"
        b"dataSizeY=33,visualizerSizeX=34,visualizerSizeY=33\r\n" in data
    )


def test_packets_are_short(tmp_path: Path) -> None:
    events = some_events(70_000)
    data = write(tmp_path / "a.aedat3", events)
    rows = list(zip(*(events[name].tolist() for name in "txyp"), strict=True))
    assert data.partition(b"#!END-HEADER\r\n")[2] == packets(rows, 1 << 15)


@settings(max_examples=80)
@given(
    sent=far_events(
        [0, 1, 5_000, TURN_US - 1, 2**50], [(128, 128), (346, 260), (1280, 720), (1, 32_768)]
    )
)
def test_what_was_written_is_read(sent: Sent, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert_written_is_read(tmp_path_factory.getbasetemp() / "any.aedat3", *sent)


def test_tonic_reads_the_same_words(tmp_path: Path) -> None:
    from tonic.io import get_aer_events_from_file

    events = some_events(70_000)
    events["t"] -= events["t"][0]
    data = write(tmp_path / "a.aedat3", events)
    start = data.index(b"#!END-HEADER\r\n") + len(b"#!END-HEADER\r\n")
    theirs = get_aer_events_from_file(str(tmp_path / "a.aedat3"), 3.1, start)
    address = theirs["address"]
    np.testing.assert_array_equal(theirs["timeStamp"], events["t"])
    np.testing.assert_array_equal((address >> 17) & 0x1FFF, events["x"])
    np.testing.assert_array_equal((address >> 2) & 0x1FFF, events["y"])
    np.testing.assert_array_equal((address >> 1) & 1, events["p"])


def test_a_name_of_two_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"source must be a name on one line, got 'a\\nb'"):
        Aedat3Writer(tmp_path / "a.aedat3", 128, 128, "a\nb")


def test_a_file_that_another_writes_is_refused(tmp_path: Path) -> None:
    path, text = tmp_path / "a.aedat3", "is being written by another run or stage"
    with Aedat3Writer(path, 128, 128), pytest.raises(RecordingError, match=text):
        Aedat3Writer(path, 128, 128)
