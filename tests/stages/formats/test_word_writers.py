"""EVT2, EVT3, DAT and Event Stream written: read back they are what was written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resuming import read
from round_trip import assert_written_is_read, write_in_batches
from word_files import Row, as_events

from pipeline.errors import RecordingError
from pipeline.events import EVENT, EventArray
from stages.formats import create_recording, open_recording

WIDTH, HEIGHT = 64, 33
ENDINGS = ["evt2", "evt3", "dat", "es"]
STARTS = {
    "evt2": [0, 2**34 - 50, 1_600_000_000_000_000, -(10**15), -20],
    "evt3": [0, 2**24 - 50, 1_600_000_000_000_000, -(10**15), -20],
    "dat": [0, 2**32 - 50, 1_600_000_000_000_000, -(10**15), -20],
    "es": [0, 126, 127, 254, 10**6],
}
GAPS = {"evt2": 2**33 + 5, "evt3": 2**26 + 5, "dat": 2**31 - 200, "es": 10_000}
ROWS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 0, 1, 40, 127]),
        st.integers(0, WIDTH - 1),
        st.sampled_from([0, 1, HEIGHT - 1]),
        st.integers(0, 1),
    ),
    max_size=60,
)


def write(path: Path, events: EventArray, cuts: list[int], size: tuple[int, int]) -> None:
    height, width = size
    write_in_batches(create_recording(path, width, height, source="my camera"), events, cuts)


def in_order(rows: list[Row], start_us: int, rising: bool) -> EventArray:
    """Rows whose times are steps; where x rises within a time there are vectors."""
    t = start_us
    timed = []
    for step, x, y, p in rows:
        t += step
        timed.append((t, x, y, p))
    return as_events(
        sorted(timed, key=lambda row: (row[0], row[2], row[3], row[1])) if rising else timed
    )


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_was_written_is_read(ending: str, data: st.DataObject, tmp_path: Path) -> None:
    start = data.draw(st.sampled_from(STARTS[ending]))
    events = in_order(data.draw(ROWS), start, data.draw(st.booleans()))
    if len(events) > 5 and data.draw(st.booleans()):
        events["t"][len(events) // 2 :] += GAPS[ending]
    path = tmp_path / f"a.{ending}"
    cuts = data.draw(st.lists(st.integers(0, 60), max_size=4))
    keeps = "size" if ending == "es" else "size source"
    assert_written_is_read(path, events, cuts, (WIDTH, HEIGHT), keeps=keeps)


@pytest.mark.parametrize("ending", ENDINGS)
def test_little_room_for_words_makes_the_same_file(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    rows = [(int(rng.integers(0, 200)), int(x), 3, 1) for x in rng.integers(0, WIDTH, 500)]
    events = in_order(rows, 0, rising=True)
    write(tmp_path / f"a.{ending}", events, [], (HEIGHT, WIDTH))
    with create_recording(tmp_path / f"b.{ending}", WIDTH, HEIGHT, source="my camera") as writer:
        monkeypatch.setattr(type(writer), "chunk_words", 7)
        writer.write(events)
    assert (tmp_path / f"b.{ending}").read_bytes() == (tmp_path / f"a.{ending}").read_bytes()


def test_neighbours_in_a_row_become_vectors(tmp_path: Path) -> None:
    row = as_events((7, x, 5, 1) for x in range(36))
    write(tmp_path / "a.evt3", row, [], (HEIGHT, WIDTH))
    data = (tmp_path / "a.evt3").read_bytes()
    words = np.frombuffer(data[data.index(b"% end\n") + 6 :], "<u2")
    assert [hex(word) for word in words] == [
        "0x8000", "0x6007", "0x5", "0x3800", "0x4fff", "0x4fff", "0x4fff"
    ]  # fmt: skip


def test_a_vector_goes_on_from_another_only_in_the_next_word(tmp_path: Path) -> None:
    rows = [(0, x, 5, 1) for x in (20, 21, 22)] + [(1, x, 5, 1) for x in (3, 4, 34, 35, 36, 37)]
    write(tmp_path / "a.evt3", as_events(rows), [], (HEIGHT, WIDTH))
    assert read(tmp_path / "a.evt3").tolist() == rows


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_recording_without_events_has_a_header(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    write(path, as_events([]), [], (HEIGHT, WIDTH))
    assert len(read(path)) == 0
    with open_recording(path) as reader:
        assert reader.size == (HEIGHT, WIDTH)


@pytest.mark.parametrize("ending", ENDINGS)
def test_padding_is_not_written(ending: str, tmp_path: Path) -> None:
    clean = as_events([(5, 1, 2, 1), (5, 2, 2, 1), (5, 3, 2, 1)])
    dirty = np.frombuffer(bytes([255]) * clean.nbytes, EVENT).copy()
    for name in ("t", "x", "y", "p"):
        dirty[name] = clean[name]
    write(tmp_path / f"a.{ending}", clean, [], (HEIGHT, WIDTH))
    write(tmp_path / f"b.{ending}", dirty, [], (HEIGHT, WIDTH))
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize(
    ("ending", "times", "error"),
    [
        ("dat", [0, 2**32], "DAT cannot hold a silence of 4295 s, only of 2147; write another"),
        ("evt3", [0, 2**41], "EVT3 cannot hold a silence of 2199023 s, only of 1099512; write"),
        ("evt2", [0, 2**51], "EVT2 cannot hold a silence of 2251799814 s, only of 1125899907"),
        ("es", [0, 2**32], "ES cannot hold a silence of 4295 s, only of 3600; write another"),
        ("es", [10**10], "ES counts time from 0 and its first event is at 10000000000 µs; shift"),
        ("es", [-1], "ES counts time from 0 and its first event is at -1 µs; shift the recording"),
    ],
)
def test_times_without_room_are_refused_and_nothing_is_written(
    ending: str, times: list[int], error: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{ending}"
    with create_recording(path, WIDTH, HEIGHT) as writer:
        with pytest.raises(RecordingError) as caught:
            writer.write(as_events((t, 0, 0, 0) for t in times))
        writer.write(as_events([(3, 1, 1, 1)]))
    assert str(caught.value).startswith(f"{path}: {error}")
    assert read(path).tolist() == [(3, 1, 1, 1)]


@pytest.mark.parametrize(("ending", "side"), [("evt2", 2049), ("evt3", 2049), ("dat", 16385)])
def test_sensors_without_room_are_refused(ending: str, side: int, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    with pytest.raises(ValueError, match=rf"has room for (\d+)×\1 px, got 5×{side}; write another"):
        create_recording(path, 5, side)
    assert not path.exists()
