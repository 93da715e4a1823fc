"""EVT3: held to a decoder that reads the description word by word, and to what cameras do."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from resuming import assert_resuming_continues, assert_seeking_is_scanning, look, read
from word_files import Row, as_events, raw_file

from pipeline.errors import RecordingError
from stages.formats import Policies, open_recording
from stages.formats.prophesee.evt3_kernel import decode, new_counts, start_state

HEADER = "evt 3.0\ngeometry 2048x2048\nend"
Y, X, BASE, VECT_12, VECT_8, LOW, HIGH = 0, 2, 3, 4, 5, 6, 8
TRIGGER, OTHERS, CONTINUED_4, CONTINUED_12 = 10, 14, 7, 15


def words(*pairs: tuple[int, int]) -> list[int]:
    return [kind << 12 | value for kind, value in pairs]


def twin(stream: Sequence[int]) -> tuple[list[Row], dict[str, int]]:
    """Decode words one by one, as slowly as it gets."""
    high = y = base = None
    low = polarity = 0
    rows: list[Row] = []
    found: Counter[str] = Counter()

    def event(x: int | None, p: int) -> None:
        if high is None:
            found["of impossible time"] += 1
        elif x is None or x > 2047 or y is None:
            found["outside the sensor"] += 1
        else:
            rows.append((high * 4096 + low, x, y, p))

    for word in stream:
        kind, value = divmod(word, 4096)
        if kind == Y:
            y = value % 2048
        elif kind == X:
            event(value % 2048, value // 2048)
        elif kind == BASE:
            base, polarity = value % 2048, value // 2048
        elif kind in (VECT_12, VECT_8):
            length = 12 if kind == VECT_12 else 8
            for k in range(length):
                if value >> k & 1:
                    event(None if base is None else base + k, polarity)
            base = None if base is None else base + length
        elif kind == LOW:
            low = value
        elif kind == HIGH:
            if high is None or value != high % 4096:
                wraps = 0 if high is None else high // 4096
                wraps += high is not None and high % 4096 - value >= 2048
                high, low = wraps * 4096 + value, 0
        elif kind == TRIGGER:
            found["trigger words"] += 1
        elif kind in (OTHERS, CONTINUED_4, CONTINUED_12):
            found["other words"] += 1
        else:
            found["unknown words"] += 1
    return rows, dict(found)


KINDS = st.sampled_from([Y, X, X, X, BASE, VECT_12, VECT_8, LOW, HIGH, *range(16)])
STREAM = st.lists(
    st.builds(lambda kind, value: kind << 12 | value, KINDS, st.integers(0, 4095)), max_size=80
)
BEGIN = words((HIGH, 5), (LOW, 7), (Y, 3))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=st.one_of(STREAM, STREAM.map(lambda stream: BEGIN + stream)))
@example(stream=BEGIN + words((BASE, 2040), (VECT_12, 0xFFF), (VECT_8, 0xFF)))
def test_every_stream_of_words_gives_the_events_of_the_slow_twin(
    stream: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = raw_file(tmp_path / "a.raw", HEADER, stream)
    rows, found = twin(stream)
    events, seen = look(path)
    np.testing.assert_array_equal(events, as_events(rows))
    assert {key: n for key, n in seen.items() if key not in ("going back in time", "gaps")} == found
    assert_resuming_continues(path, monkeypatch, [{"chunk_words": n} for n in (1, 7)])


def test_a_low_time_that_drops_is_taken_at_its_word(tmp_path: Path) -> None:
    """A camera sends 811 and then 800, with no event between, and no TIME_HIGH."""
    stream = words((HIGH, 1), (Y, 2), (LOW, 811), (LOW, 800), (X, 9), (LOW, 812), (X, 10))
    events = read(raw_file(tmp_path / "a.raw", HEADER, stream))
    assert events["t"].tolist() == [4096 + 800, 4096 + 812]


def test_times_go_on_where_24_bits_wrap(tmp_path: Path) -> None:
    stream = words((HIGH, 4095), (Y, 2), (LOW, 4095), (X, 9), (HIGH, 0), (X, 10), (LOW, 1), (X, 11))
    stream += words((HIGH, 2047), (X, 1), (HIGH, 4094), (X, 1), (HIGH, 1), (X, 1))
    events = read(raw_file(tmp_path / "a.raw", HEADER, stream))
    wrap = 1 << 24
    expected = [wrap - 1, wrap, wrap + 1, wrap + 2047 * 4096, wrap + 4094 * 4096, 2 * wrap + 4096]
    assert events["t"].tolist() == expected


def test_words_that_are_no_events_are_counted_and_unknown_ones_may_be_refused(
    tmp_path: Path,
) -> None:
    stream = BEGIN + words((TRIGGER, 1), (X, 4), (OTHERS, 2), (CONTINUED_12, 3), (CONTINUED_4, 4))
    stream += words((9, 0xABC), (X, 5))
    path = raw_file(tmp_path / "a.raw", HEADER, stream)
    events, found = look(path)
    assert len(events) == 2
    assert found == {"trigger words": 1, "other words": 3, "unknown words": 1}
    with open_recording(path, Policies(on_unknown="raise")) as reader:
        packets = reader.packets()
        assert len(next(packets).events) == 2
        with pytest.raises(RecordingError) as caught:
            next(packets)
    assert str(caught.value) == (
        f"{path}: holds the word 0x9abc, which means nothing in EVT3, behind about 2 events;"
        ' set on_unknown = "drop" to skip it'
    )


def test_events_before_the_first_time_or_row_are_refused_and_counted(tmp_path: Path) -> None:
    stream = words((X, 1), (Y, 1), (X, 2), (HIGH, 1), (X, 3), (VECT_8, 3))
    events, found = look(raw_file(tmp_path / "a.raw", HEADER, stream))
    assert events["x"].tolist() == [3]
    assert found == {"of impossible time": 2, "outside the sensor": 2}


def test_a_seek_gives_what_a_scan_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = list(BEGIN)
    for k in range(60):
        stream += words((LOW, 8 + k), (X, k))
    path = raw_file(tmp_path / "a.raw", HEADER, stream)
    with open_recording(path) as reader:
        monkeypatch.setattr(type(reader), "chunk_words", 10)
    first = 5 * 4096 + 8
    assert_seeking_is_scanning(path, [0, first, first + 1, first + 31, first + 59, first + 60])


def test_the_kernel_decodes_pieces_as_a_bag_holds_them() -> None:
    stream = np.array(BEGIN + words((X, 4), (BASE, 9), (VECT_12, 5), (X, 6)), np.uint16)
    whole = np.empty((40, 2), np.int64)
    used, made = decode(stream, start_state(), whole, new_counts())
    assert (used, made) == (len(stream), 4)
    state, counts = start_state(), new_counts()
    rows = []
    for word in stream:
        out = np.empty((12, 2), np.int64)
        used, made = decode(np.array([word]), state, out, counts)
        assert used == 1
        rows += out[:made].tolist()
    assert rows == whole[:4].tolist()
    assert counts.tolist() == [0, 0, 0, 0]
