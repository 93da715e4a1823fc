"""N-MNIST: words of 40 bits without a header."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resuming import assert_resuming_continues, look, read
from word_files import Row, as_events

from stages.formats import open_recording
from stages.formats.nmnist import NmnistReader

OVERFLOW_Y = 240


def nmnist(path: Path, rows: list[Row]) -> Path:
    words = [bytes((x, y)) + (p << 23 | t).to_bytes(3, "big") for t, x, y, p in rows]
    path.write_bytes(b"".join(words))
    return path


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**23 - 1),
        st.integers(0, 239),
        st.one_of(st.integers(0, 179), st.just(OVERFLOW_Y)),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=30,
).map(sorted)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_a_row_of_240_adds_8192_us_to_all_times_behind_it(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = nmnist(tmp_path / "a.bin", [(0, 239, 179, 0), *rows])
    expected = [(0, 239, 179, 0)]
    overflows = 0
    for t, x, y, p in rows:
        if y == OVERFLOW_Y:
            overflows += 1
        else:
            expected.append((t + 8192 * overflows, x, y, p))
    with NmnistReader(path) as reader:
        assert reader.size == (180, 240)
        length_us = reader.length_us()
    events, found = look(path)
    assert length_us == events["t"][-1] - events["t"][0]
    np.testing.assert_array_equal(events, as_events(expected))
    assert found.get("overflow words", 0) == overflows
    assert_resuming_continues(path, monkeypatch, [{"chunk_words": n} for n in (5, 20)])


def test_the_sensor_has_34_rows_and_columns_wherever_its_events_are(tmp_path: Path) -> None:
    path = nmnist(tmp_path / "a.bin", [(654, 3, 5, 1), (700, 33, 1, 0)])
    with open_recording(path) as reader:
        assert (reader.format, reader.size) == ("N-MNIST", (34, 34))
    assert read(path).tolist() == [(654, 3, 5, 1), (700, 33, 1, 0)]


def test_a_file_tells_its_length_if_it_is_not_long(tmp_path: Path) -> None:
    for rows, length_us in (([], 0), ([(9, 1, OVERFLOW_Y, 0)], 0)):
        with NmnistReader(nmnist(tmp_path / "a.bin", rows)) as reader:
            assert reader.length_us() == length_us
    with NmnistReader(nmnist(tmp_path / "a.bin", [(9, 1, 1, 0)] * 850_000)) as reader:
        assert reader.length_us() is None
