"""EVT2 and EVT2.1: held to decoders that read the descriptions word by word."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resuming import assert_resuming_continues, assert_seeking_is_scanning, look, read
from word_files import Row, as_events, raw_file

from stages.formats import open_recording

EVT2 = "evt 2.0\ngeometry 2048x2048\nend"
EVT21 = "evt 2.1\nformat EVT21;height=2048;width=2079;endianness={}\nend"
OFF, ON, HIGH, TRIGGER, OTHERS, CONTINUED = 0, 1, 8, 10, 14, 15
WRAP_US = 1 << 34


def cd(kind: int, low: int, x: int, y: int) -> int:
    return kind << 28 | low << 22 | x << 11 | y


def high(value: int) -> int:
    return HIGH << 28 | value


class Twin:
    """Decodes words one by one, as slowly as it gets."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.found: Counter[str] = Counter()
        self.high: int | None = None

    def take(self, word: int, pixels: Sequence[int] = (0,)) -> None:
        kind = word >> 28
        if kind in (OFF, ON):
            x, y = word // 2048 % 2048, word % 2048
            for pixel in pixels:
                if self.high is None:
                    self.found["of impossible time"] += 1
                else:
                    t = self.high * 64 + word // 2**22 % 64
                    self.rows.append((t, x + pixel, y, kind))
        elif kind == HIGH:
            value = word % 2**28
            wraps = 0 if self.high is None else self.high >> 28
            wraps += self.high is not None and self.high % 2**28 - value >= 2**27
            self.high = wraps * 2**28 + value
        elif kind == TRIGGER:
            self.found["trigger words"] += 1
        elif kind in (OTHERS, CONTINUED):
            self.found["other words"] += 1
        else:
            self.found["unknown words"] += 1


KINDS = st.sampled_from([OFF, ON, OFF, ON, HIGH, *range(16)])
PAYLOAD = st.one_of(st.integers(0, 2**28 - 1), st.sampled_from([0, 2**27, 2**28 - 1]))
WORD = st.builds(lambda kind, payload: kind << 28 | payload, KINDS, PAYLOAD)
STREAM = st.lists(WORD, max_size=60)


def but_for_time(found: dict[str, int]) -> dict[str, int]:
    return {key: n for key, n in found.items() if key not in ("going back in time", "gaps")}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=st.one_of(STREAM, STREAM.map(lambda stream: [high(9), *stream])))
def test_every_stream_of_words_gives_the_events_of_the_slow_twin(
    stream: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = raw_file(tmp_path / "a.raw", EVT2, stream, "<u4")
    twin = Twin()
    for word in stream:
        twin.take(word)
    events, found = look(path)
    np.testing.assert_array_equal(events, as_events(twin.rows))
    assert but_for_time(found) == dict(twin.found)
    assert_resuming_continues(path, monkeypatch, [{"chunk_words": n} for n in (1, 7)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stream=st.lists(st.tuples(WORD, st.integers(0, 2**32 - 1)), max_size=30),
    legacy=st.booleans(),
)
def test_every_stream_of_vectors_gives_the_events_of_the_slow_twin(
    stream: list[tuple[int, int]], legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = EVT21.format("legacy" if legacy else "little")
    path = vector_file(tmp_path / "a.raw", header, stream, legacy)
    twin = Twin()
    for word, pixels in stream:
        twin.take(word, [k for k in range(32) if pixels >> k & 1])
    events, found = look(path)
    np.testing.assert_array_equal(events, as_events(twin.rows))
    assert but_for_time(found) == dict(twin.found)
    assert_resuming_continues(path, monkeypatch, [{"chunk_words": n} for n in (1, 5)])


def vector_file(path: Path, header: str, stream: list[tuple[int, int]], legacy: bool) -> Path:
    halves = [
        half for upper, lower in stream for half in ((upper, lower) if legacy else (lower, upper))
    ]
    return raw_file(path, header, halves, "<u4")


@pytest.mark.parametrize("legacy", [False, True])
def test_where_the_header_does_not_say_which_half_is_first_the_words_do(
    legacy: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    stream = [(high(5), 0)]
    for k in range(50):
        stream.append((cd(k % 2, k, 32 * k % 1280, k), int(rng.integers(1, 2**32))))
    path = vector_file(tmp_path / "a.raw", "evt 2.1\ngeometry 1280x720", stream, legacy)
    with open_recording(path) as reader:
        assert (reader.format, reader.size) == ("EVT2.1", (720, 1280))
    events, found = look(path)
    assert found == {}
    assert len(events) == sum(pixels.bit_count() for _, pixels in stream)
    assert (events["t"][0], events["t"][-1]) == (5 * 64, 5 * 64 + 49)


def test_times_go_on_where_34_bits_wrap(tmp_path: Path) -> None:
    last = 2**28 - 1
    stream = [high(last), cd(ON, 63, 1, 1), high(0), cd(ON, 0, 1, 1), high(2**26), cd(ON, 1, 1, 1)]
    events = read(raw_file(tmp_path / "a.raw", EVT2, stream, "<u4"))
    assert events["t"].tolist() == [WRAP_US - 1, WRAP_US, WRAP_US + 2**32 + 1]


def test_a_seek_gives_what_a_scan_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = [word for k in range(40) for word in (high(k), cd(ON, k, k, k))]
    path = raw_file(tmp_path / "a.raw", EVT2, stream, "<u4")
    with open_recording(path) as reader:
        monkeypatch.setattr(type(reader), "chunk_words", 9)
    assert_seeking_is_scanning(path, [0, 1, 65, 64 * 20, 64 * 39 + 39, 10**6])
