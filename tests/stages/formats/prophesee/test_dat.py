"""DAT: two layouts, sizes said or not, times that wrap."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resuming import assert_resuming_continues, assert_seeking_is_scanning, read
from word_files import Row, as_events

from pipeline.errors import RecordingError
from stages.formats import open_recording

CD, GREY, TRIGGERS = 0x0C, 1, 0x0E
SIZED = "% Version 2\n% Height 480\n% Width 640\n"


def dat(path: Path, rows: list[Row], header: str = SIZED, kind: int = CD, bits: int = 14) -> Path:
    records = [(t % 2**32, x | y << bits | p << (28 if bits == 14 else 17)) for t, x, y, p in rows]
    body = b"".join(struct.pack("<II", *record) for record in records)
    path.write_bytes(header.encode() + bytes((kind, 8)) + body)
    return path


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**31 - 1), st.integers(0, 639), st.integers(0, 479), st.integers(0, 1)
    ),
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=ROWS)
def test_times_go_on_where_32_bits_wrap(
    steps: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = np.cumsum([step for step, *_ in steps], dtype=np.int64).tolist()
    rows = [(t, x, y, p) for t, (_, x, y, p) in zip(times, steps, strict=True)]
    path = dat(tmp_path / "a.dat", rows)
    np.testing.assert_array_equal(read(path), as_events(rows))
    assert_resuming_continues(path, monkeypatch, [{"chunk_words": n} for n in (1, 6)])


def test_a_step_back_is_one_and_no_wrap(tmp_path: Path) -> None:
    stored = [100, 60, 2**32 - 1, 2**31, 0]
    events = read(dat(tmp_path / "a.dat", [(t, 1, 2, 1) for t in stored]))
    assert events["t"].tolist() == [100, 60, 2**32 - 1, 2**31, 2**32]


def test_old_recordings_do_not_say_how_large_the_sensor_is(tmp_path: Path) -> None:
    header = "% Data file containing N9Chronocam7Event2dE events.\n% Version 2\n% Date 2017-10-31\n"
    rows = [(1, 50, 3, 1), (2, 7, 40, 0)]
    with open_recording(dat(tmp_path / "a.dat", rows, header, kind=0)) as reader:
        assert (reader.format, reader.size, reader.event_count) == ("DAT", (41, 51), 2)
        assert reader.declared_size is None


def test_version_1_has_shorter_coordinates(tmp_path: Path) -> None:
    rows = [(1, 303, 239, 1), (2, 0, 1, 0)]
    path = dat(tmp_path / "a.dat", rows, "% Data file containing TD events.\n% Version 1\n", 0, 9)
    np.testing.assert_array_equal(read(path), as_events(rows))


def test_a_header_of_windows_lines_is_read(tmp_path: Path) -> None:
    rows = [(1, 303, 239, 1)]
    path = dat(tmp_path / "a.dat", rows, SIZED.replace("\n", "\r\n"))
    np.testing.assert_array_equal(read(path), as_events(rows))


REFUSED = {
    "grey levels": (
        SIZED,
        GREY,
        "holds grey levels and no events; name the DAT file of its events",
    ),
    "triggers": (SIZED, TRIGGERS, "holds external triggers and no events; name the DAT"),
    "other": (SIZED, 77, "holds records of kind 77 and no events; name the DAT file"),
    "version": (
        "% Version 3\n",
        CD,
        "its DAT header is damaged: its version must be 1 or 2, got '3'",
    ),
    "size": (
        "% Width 640\n% Height 0\n",
        CD,
        "its DAT header is damaged: the sensor has 640×0 px, must be 1 to 32768 each; copy",
    ),
}


@pytest.mark.parametrize(("header", "kind", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_recording_of_events_is_refused(
    header: str, kind: int, error: str, tmp_path: Path
) -> None:
    path = dat(tmp_path / "a.dat", [], header, kind)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value).startswith(f"{path}: {error}")


def test_a_seek_gives_what_a_scan_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dat(tmp_path / "a.dat", [(10 * (k // 2), k, 1, 1) for k in range(50)])
    with open_recording(path) as reader:
        monkeypatch.setattr(type(reader), "chunk_words", 8)
    assert_seeking_is_scanning(path, [0, 5, 10, 120, 240, 241])
