"""Text: what was written is read, by numpy.loadtxt too; any order, separator and number."""

import decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known import assert_as_known
from resuming import (
    LENIENT,
    assert_resuming_continues,
    assert_seeking_is_scanning,
    look,
    read,
)
from round_trip import assert_written_is_read
from streams import cuts, event_arrays

from pipeline.errors import RecordingError
from pipeline.events import TIME_LIMIT_US, EventArray
from recordings import some_events
from stages.formats import Policies, create_recording, open_recording
from stages.formats.tables.csv_text import CsvReader

EVENTS = some_events(300)
EVENTS["t"] -= EVENTS["t"][0]
SEPARATORS = {"comma": ",", "space": " ", "tab": "\t", "semicolon": ";", "both": " ; "}


def text(path: Path, *lines: str) -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def rows(order: str = "txyp", separator: str = ",", events: EventArray = EVENTS) -> list[str]:
    columns = [events[column].tolist() for column in order]
    return [separator.join(map(str, row)) for row in zip(*columns, strict=True)]


@settings(max_examples=30)
@given(events=event_arrays(), cut=cuts())
def test_what_was_written_is_read(
    events: EventArray, cut: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    assert_written_is_read(path, events, cut, source='a "camera"\n')
    if len(events):
        theirs = np.loadtxt(path, np.int64, delimiter=",", ndmin=2)
        np.testing.assert_array_equal(theirs, [list(event) for event in events.tolist()])


def test_the_largest_numbers_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    events = EVENTS[:2].copy()
    events["t"] = [1 - TIME_LIMIT_US, TIME_LIMIT_US - 1]
    events["x"] = [0, 32_767]
    with create_recording(path, 32_768, 32_768) as writer:
        writer.write(events)
    assert path.read_text().split("\n")[2].startswith("4611686018427387903,32767,")
    np.testing.assert_array_equal(read(path), events)


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt", "pyxt"])
@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS.keys())
@pytest.mark.parametrize("named", [True, False])
def test_columns_in_any_order_are_read(
    order: str, separator: str, named: bool, tmp_path: Path
) -> None:
    header = [separator.join(order)] if named else []
    found = read(text(tmp_path / "a.txt", *header, *rows(order, separator)))
    if order == "pyxt" and not named:
        # Only names tell that y comes first.
        found = found.copy()
        found["x"], found["y"] = found["y"].copy(), found["x"].copy()
    np.testing.assert_array_equal(found, EVENTS)


HEADERS = {
    "names": ("timestamp,x,y,polarity",),
    "comment": ("# made by me", "# timestamp x y polarity"),
    "MATLAB's comment": ("% t [x, y] p: t, x, y, p",),
    "unit": ("t_us,x,y,p",),
    "size": ("128 128",),
    "NEL in a comment": ("# a \u0085 b \u2028 c", ""),
    "CR": ("t,x,y,p\r",),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_headers_and_comments_are_understood(header: tuple[str, ...], tmp_path: Path) -> None:
    path = text(tmp_path / "a.txt", *header, *rows(), "# the end")
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS)
    assert counts == {}


@pytest.mark.parametrize("sign", ["\u0085", "\u2028", "\x0b", "\x0c"])
def test_only_lf_ends_a_row(sign: str, tmp_path: Path) -> None:
    """What Unicode takes for the end of a line makes no two rows of one, which is odd."""
    lines = rows()
    lines[150:152] = [f"{lines[150]}{sign}{lines[151]}"]
    found, counts = look(text(tmp_path / "a.csv", "t,x,y,p", *lines))
    np.testing.assert_array_equal(found, np.delete(EVENTS, [150, 151]))
    assert counts == {"unknown words": 1}


def test_more_columns_need_names(tmp_path: Path) -> None:
    numbered = [f"{k};{row};0.5" for k, row in enumerate(rows("xypt", ";"))]
    found = read(text(tmp_path / "a.csv", "number;x;y;p;t;weight", *numbered))
    np.testing.assert_array_equal(found, EVENTS)
    path = text(tmp_path / "b.csv", *numbered)
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value) == (
        f"{path}: has 6 columns and no line that names them; name the columns in a first line,"
        " such as t,x,y,p"
    )


def test_the_events_of_rpg_are_read(tmp_path: Path) -> None:
    lines = [f"{t / 1e6:.6f} {x} {y} {p}" for t, x, y, p in EVENTS.tolist()]
    path = text(tmp_path / "events.txt", "240 180", *lines)
    np.testing.assert_array_equal(read(path), EVENTS)
    with open_recording(path) as reader:
        assert reader.declared_size == (180, 240)


@pytest.mark.parametrize(
    ("name", "factor"), [("t_s", 1e-6), ("t_ms", 1e-3), ("t_us", 1.0), ("t(ns)", 1e3)]
)
def test_units_are_named(name: str, factor: float, tmp_path: Path) -> None:
    lines = [f"{t * factor:.9f},{x},{y},{p}" for t, x, y, p in EVENTS.tolist()]
    np.testing.assert_array_equal(read(text(tmp_path / "a.csv", f"{name},x,y,p", *lines)), EVENTS)


@pytest.mark.parametrize(
    "words", [("false", "true"), ("False", "TRUE"), ("-1", "+1"), ("0.0", "1")]
)
def test_polarities_are_written_in_many_ways(words: tuple[str, str], tmp_path: Path) -> None:
    lines = [f"{t},{x},{y},{words[p]}" for t, x, y, p in EVENTS.tolist()]
    np.testing.assert_array_equal(read(text(tmp_path / "a.csv", *lines)), EVENTS)


NUMBER = st.from_regex(
    r"[+-]?([0-9]{1,22}(\.[0-9]{0,22})?|\.[0-9]{1,22})([eE][+-]?[0-9]{1,2})?", fullmatch=True
)


@settings(max_examples=60)
@given(numbers=st.lists(NUMBER, min_size=1, max_size=20))
def test_decimals_are_exact(numbers: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = [f"{number},1,1,1" for number in numbers]
    path = text(tmp_path_factory.getbasetemp() / "a.csv", "t_s,x,y,p", *rows)
    with open_recording(path, Policies(on_time_back="keep"), size=(2, 2)) as reader:
        found = [t for packet in reader.packets() for t in packet.events["t"].tolist()]
        refused = reader.refused.get("of impossible time", 0)
    exact = [decimal.Context(prec=200).multiply(decimal.Decimal(n), 10**6) for n in numbers]
    whole = [int(number.to_integral_value(decimal.ROUND_HALF_EVEN)) for number in exact]
    kept = [t for t in whole if abs(t) < TIME_LIMIT_US]
    assert refused == len(whole) - len(kept)
    for mine, other in zip(found, kept, strict=True):
        # Of a number the first 18 digits count.
        assert abs(mine - other) <= abs(other) // 10**17


def test_lines_that_mean_nothing_are_counted_or_raised(tmp_path: Path) -> None:
    odd = ["oops", "1,2,3", "1,2,3,4,5", "1,,2,3", "1,2,3,x", "--1,2,3,1", "1e,2,3,1", "1,2,3,tru"]
    lines = rows()
    path = text(tmp_path / "a.csv", *lines[:200], *odd, *lines[200:])
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS)
    assert counts == {"unknown words": len(odd)}
    done = []
    with (
        open_recording(path, Policies(on_unknown="raise"), size=(128, 128)) as reader,
        pytest.raises(RecordingError, match="holds the line b'oops', which means nothing in"),
    ):
        done.extend(packet.events for packet in reader.packets())
    np.testing.assert_array_equal(np.concatenate([part["t"] for part in done]), EVENTS["t"][:200])


def test_values_out_of_range_are_refused_by_inspection(tmp_path: Path) -> None:
    strange = ["9" * 30 + ",1,1,1", "5,70000,1,1", "5,1.5,1,1", "5,-3,1,1", "5,1,1,7", "5,1,1,-2"]
    path = text(tmp_path / "a.csv", "t,x,y,p", *rows(), *strange)
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS)
    assert counts == {
        "of impossible time": 1,
        "outside the sensor": 3,
        "of unknown polarity": 2,
    }


def test_blocks_and_places_never_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = rows()
    long = "# " + "long" * 60
    path = text(tmp_path / "a.csv", *lines[:150], "odd", long, "x" * 300, *lines[150:])
    _, counts = look(path)
    # The overlong comment is a line that means nothing where a block cannot hold it.
    assert counts == {"unknown words": 2}
    sizes = [{"block_bytes": size, "block_rows": 64} for size in (500, 333)]
    assert_resuming_continues(path, monkeypatch, sizes)
    assert_seeking_is_scanning(path, [0, 250_000, 10**9])


def test_an_overlong_line_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = rows()
    path = text(tmp_path / "a.csv", *lines[:100], "9" * 1000, *lines[100:])
    with open_recording(path, LENIENT) as reader:
        monkeypatch.setattr(type(reader), "block_bytes", 100)
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS)
    assert counts == {"unknown words": 1}
    monkeypatch.setattr(type(reader), "block_bytes", 128)
    assert_resuming_continues(path, monkeypatch, [{"block_rows": 8}])


def test_the_last_line_may_lack_its_end_or_be_cut(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", *rows())
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    np.testing.assert_array_equal(read(path, Policies()), EVENTS)
    cut = whole[: whole.rindex(b",")]
    path.write_bytes(cut)
    found, counts = look(path)
    np.testing.assert_array_equal(found, EVENTS[:-1])
    assert counts == {
        "damaged places": 1,
        "damaged bytes": len(cut) - cut.rindex(b"\n") - 1,
    }
    with pytest.raises(RecordingError, match=r"is truncated at byte \d+; the 299 events before it"):
        read(path, Policies())


@pytest.mark.parametrize("order", ["txyp", "xypt", "ptxy"])
def test_a_cut_anywhere_gives_the_events_before_it_and_none_that_never_was(
    order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = EVENTS[:40]
    path = text(tmp_path / "a.txt", ",".join(order), *rows(order, events=events))
    whole = path.read_bytes()
    begin = len(whole.splitlines(keepends=True)[0])
    for block_bytes in (1 << 18, 32):
        monkeypatch.setattr(CsvReader, "block_bytes", block_bytes)
        for cut in range(begin, len(whole)):
            path.write_bytes(whole[:cut])
            found, counts = look(path)
            np.testing.assert_array_equal(found, events[: len(found)])
            lines = whole[begin:cut].split(b"\n")
            assert len(found) - (len(lines) - 1) in (0, 1)
            # What is left of the last line is an event, or it is said that it is cut.
            left = len(lines[-1]) if len(found) < len(lines) else 0
            damage = {"damaged places": 1, "damaged bytes": left} if left else {}
            assert counts == damage


def test_a_last_line_that_is_a_comment_is_not_cut(tmp_path: Path) -> None:
    path = text(tmp_path / "a.txt", "x,y,p,t", *rows("xypt"))
    for end in (b"# the end", b"  % the end", b"  ", b""):
        whole = path.read_bytes()
        path.write_bytes(whole + end)
        np.testing.assert_array_equal(read(path, Policies()), EVENTS)
        path.write_bytes(whole)


def test_what_the_content_does_not_tell_is_refused(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "1,1,1,1")
    with pytest.raises(RecordingError) as caught:
        open_recording(path)
    assert str(caught.value) == (
        f"{path}: the content does not tell which columns are t, x, y and p; name the columns in a"
        " first line, such as t,x,y,p"
    )


def test_a_recording_without_rows_is_one_without_events(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "# t,x,y,p ", "a,b")
    events, counts = look(path)
    assert (len(events), counts) == (0, {"unknown words": 1})


def test_there_is_no_stream_or_place_but_its_own(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", *rows())
    with pytest.raises(RecordingError, match=r"has no streams by name, .*; leave out 'left'"):
        open_recording(path, stream="left")
    with open_recording(path) as reader:
        for position in [(0, 10**9), (0, -1), (0, 1, 2), (0, 1, 0, 0)]:
            with pytest.raises(RecordingError, match="has no position"):
                list(reader.packets(position))


@pytest.mark.shared
def test_the_real_recording_is_read_as_it_is_known(shared: Path) -> None:
    assert_as_known(shared / "recordings/txt_csv/paulloer_genx320_n_1.csv")
