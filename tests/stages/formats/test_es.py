"""Event Stream: held to a decoder that goes byte by byte."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resuming import assert_resuming_continues, assert_seeking_is_scanning, look, read
from word_files import Row, as_events

from pipeline.errors import RecordingError
from stages.formats import open_recording

WIDTH, HEIGHT = 320, 240
DVS, ATIS = 1, 2


def es(path: Path, body: bytes, kind: int = DVS, version: int = 2) -> Path:
    sides = WIDTH.to_bytes(2, "little") + HEIGHT.to_bytes(2, "little")
    path.write_bytes(b"Event Stream" + bytes((version, 0, 0, kind)) + sides + body)
    return path


def twin(body: bytes, kind: int) -> tuple[list[Row], dict[str, int]]:
    """Decode byte by byte, as slowly as it gets; an event that is cut is damage."""
    rows: list[Row] = []
    found: Counter[str] = Counter()
    t = at = 0
    while at < len(body):
        first = body[at]
        shift, overflow, reset = (1, 0xFE, 0xFE) if kind == DVS else (2, 0xFC, 0xFC)
        if first == reset:
            found["reset bytes"] += 1
            at += 1
        elif first > overflow:
            t += 127 if kind == DVS else 63 * (first - overflow)
            at += 1
        elif at + 5 > len(body):
            found["damaged places"], found["damaged bytes"] = 1, len(body) - at
            break
        else:
            t += first >> shift
            x = int.from_bytes(body[at + 1 : at + 3], "little")
            y = HEIGHT - 1 - int.from_bytes(body[at + 3 : at + 5], "little")
            at += 5
            if kind == ATIS and first & 1:
                found["exposure events"] += 1
            elif x >= WIDTH or y < 0:
                found["outside the sensor"] += 1
            else:
                rows.append((t, x, y, first >> (shift - 1) & 1))
    return rows, dict(found)


def event(first: int, x: int, y: int) -> bytes:
    return bytes((first,)) + x.to_bytes(2, "little") + y.to_bytes(2, "little")


BODY = st.lists(
    st.one_of(
        st.builds(event, st.integers(0, 251), st.integers(0, WIDTH), st.integers(0, HEIGHT)),
        st.integers(252, 255).map(lambda byte: bytes((byte,))),
        st.binary(max_size=6),
    ),
    max_size=30,
).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODY, kind=st.sampled_from([DVS, ATIS]))
def test_any_bytes_give_the_events_of_the_slow_twin(
    body: bytes, kind: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = es(tmp_path / "a.es", body, kind)
    rows, found = twin(body, kind)
    events, seen = look(path)
    np.testing.assert_array_equal(events, as_events(rows))
    assert seen == found
    assert_resuming_continues(path, monkeypatch, [{"chunk_words": n} for n in (5, 12)])


def test_y_is_upward_in_the_file_and_downward_here(tmp_path: Path) -> None:
    path = es(tmp_path / "a.es", event(3, 7, 0) + b"\xff" + event(4, 8, 239))
    assert read(path).tolist() == [(1, 7, 239, 1), (130, 8, 0, 0)]


REFUSED = {
    "generic": (0, 2, "holds generic events (kind 0), which are not those of an event camera"),
    "display": (3, 2, "holds display events (kind 3)"),
    "colour": (4, 2, "holds colour events (kind 4)"),
    "other": (9, 2, "its ES header is damaged: kind of events must be 1 or 2, got 9"),
    "version": (1, 1, "is of Event Stream 1.0.0, known is version 2; convert it with the software"),
}


@pytest.mark.parametrize(("kind", "version", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_other_streams_are_refused_by_name(
    kind: int, version: int, error: str, tmp_path: Path
) -> None:
    path = es(tmp_path / "a.es", b"", kind, version)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value).startswith(f"{path}: {error}")


def test_a_header_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.es"
    path.write_bytes(b"Event Stream\2\0")
    with pytest.raises(RecordingError, match="header is damaged: it has 14 bytes of 20"):
        open_recording(path)


def test_a_seek_gives_what_a_scan_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = es(tmp_path / "a.es", b"".join(event(20, k, k) for k in range(40)))
    with open_recording(path) as reader:
        monkeypatch.setattr(type(reader), "chunk_words", 30)
    assert_seeking_is_scanning(path, [0, 10, 11, 205, 400, 401])
