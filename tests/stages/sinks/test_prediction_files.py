"""Sinks that write predictions: what is in the file, and that a crash changes nothing of it."""

import csv
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import msgspec
import numpy as np
import pytest
from crashes import after_crash, dies, undisturbed
from disk import disk_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streams import through

from pipeline.errors import StageError
from pipeline.messages import EndRecording, Message, Predictions, Shed, Span, Start, control, data
from pipeline.ports import PredictionsPort
from pipeline.stage import PortError
from stages.datasets.labels import Label, write_labels
from stages.sinks.csv import Csv, CsvConfig
from stages.sinks.hdf5 import Hdf5, Hdf5Config
from stages.sinks.jsonl import JsonLines, JsonLinesConfig
from stages.sinks.prediction_file import PredictionFile
from stages.sinks.sqlite import Sqlite, SqliteConfig

CLASSES = ("clap", 'a "long", wave', "Drehung ↻")
PORT = PredictionsPort(CLASSES)
KINDS = {
    "jsonl": (JsonLines, JsonLinesConfig),
    "csv": (Csv, CsvConfig),
    "h5": (Hdf5, Hdf5Config),
    "db": (Sqlite, SqliteConfig),
}
Make = Callable[[], PredictionFile[Any, Any]]


def sink(path: Path, ports: Sequence[PredictionsPort] = (PORT,), **options: Any) -> Any:
    stage, config = KINDS[path.suffix[1:]]
    return stage("file", config(path=path, **options), ports)


def recording(counts: Sequence[int], epoch: int = 0, seed: int = 0) -> list[Message]:
    """One recording: messages of so many predictions each."""
    scores = np.random.default_rng(seed).random((sum(counts), 3), np.float32)
    common = {"stream": "cam", "epoch": epoch}
    messages = [control(Start(width=8, height=6, source="some.aedat4", t_first_us=100, **common))]
    at = 0
    for count in counts:
        spans = tuple(Span(k, 100 + k * 10, 110 + k * 10, 1) for k in range(at, at + count))
        part = scores[at : at + count]
        fields = {"t_first_us": 0, "t_last_us": 0, "by": "mean", "classes": CLASSES, "spans": spans}
        messages.append(data(Predictions, part, **fields, **common))
        at += count
    return [*messages, control(EndRecording(**common))]


def played(turns: int = 3) -> list[Message]:
    counts = (2, 0, 3, 1)
    return [m for k in range(turns) for m in recording(counts, epoch=k, seed=k)]


def content(path: Path) -> Any:
    """What a file holds, to the bit but for how it is laid out."""
    if path.suffix == ".db":
        with sqlite3.connect(path) as base:
            return list(base.iterdump())
    return path.read_bytes()


def labelled(folder: Path) -> str:
    path = folder / "some_labels.csv"
    write_labels(path, [Label(100, 120, 1), Label(125, 160, 0)])
    return str(path)


@pytest.fixture(params=KINDS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / "new" / f"out.{request.param}"


def test_a_table_has_a_row_for_each_prediction_and_a_column_for_each_class(tmp_path: Path) -> None:
    through([sink(tmp_path / "out.csv", labels=labelled(tmp_path))], recording([2]))
    with (tmp_path / "out.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    scores = np.random.default_rng(0).random((2, 3), np.float32)
    assert first == {
        "stream": "cam",
        "recording": "some.aedat4",
        "stage": "mean",
        "epoch": "0",
        "window": "0",
        "t_start_us": "100",
        "t_end_us": "110",
        "label": CLASSES[scores[0].argmax()],
        "class": str(scores[0].argmax()),
        "partial": "false",
        "truth": 'a "long", wave',
        **{f"score_{name}": str(score) for name, score in zip(CLASSES, scores[0], strict=True)},
    }
    assert second["t_start_us"] == "110"


def test_hdf5_holds_a_table_and_the_scores_as_an_array(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    through([sink(path, labels=labelled(tmp_path))], recording([2, 3]))
    scores = np.random.default_rng(0).random((5, 3), np.float32)
    with h5py.File(path) as file:
        assert tuple(file.attrs["classes"]) == CLASSES
        np.testing.assert_array_equal(file["scores"][:], scores)
        table = file["predictions"]
        np.testing.assert_array_equal(table["class"], scores.argmax(axis=1))
        np.testing.assert_array_equal(table["t_start_us"], [100, 110, 120, 130, 140])
        assert [label.decode() for label in table["truth"]] == [
            *[CLASSES[1]] * 2,
            "",
            *["clap"] * 2,
        ]
        assert not table["partial"].any()
    assert [file.name for file in tmp_path.glob("out*")] == ["out.h5"]


def test_sqlite_can_be_asked_by_time_also_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    stage = sink(path)
    stage.open()
    start, message, _ = recording([5])
    stage.write(stage.start(start.header), message)
    stage.commit()
    reader = sqlite3.connect(path)
    ask = "SELECT id, label, json_extract(scores, '$[0]'), truth FROM predictions WHERE t_start_us"
    ((number, label, score, truth),) = reader.execute(f"{ask} BETWEEN 115 AND 125").fetchall()
    scores = np.random.default_rng(0).random((5, 3), np.float32)[2]
    assert (number, label, truth) == (3, CLASSES[scores.argmax()], None)
    assert np.float32(score) == scores[0]
    (plan,) = reader.execute(f"EXPLAIN QUERY PLAN {ask} < 1").fetchall()
    assert "predictions_by_time" in plan[-1]
    reader.close()
    stage.close()


def test_all_that_is_written_is_the_same_record(path: Path) -> None:
    through([sink(path)], played())
    lines = path.with_suffix(".jsonl")
    through([sink(lines)], played())
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(told) == 18
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            found = [(row["epoch"], row["window"], row["label"]) for row in csv.DictReader(file)]
    elif path.suffix == ".h5":
        with h5py.File(path) as file:
            rows = file["predictions"][:]
        found = [(row["epoch"], row["window"], row["label"].decode()) for row in rows]
    elif path.suffix == ".db":
        with sqlite3.connect(path) as base:
            found = base.execute("SELECT epoch, window, label FROM predictions").fetchall()
    else:
        found = [(line["epoch"], line["window"], line["label"]) for line in told]
    assert [(int(epoch), int(window), label) for epoch, window, label in found] == [
        (line["epoch"], line["window"], line["label"]) for line in told
    ]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 18),
    more=st.integers(0, 6),
    options=st.fixed_dictionaries({"if_exists": st.sampled_from(["replace", "append", "refuse"])}),
    old=st.booleans(),
    closes=st.booleans(),
    judged=st.booleans(),
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_changes_nothing_of_the_file(
    kind: str,
    cut: int,
    more: int,
    options: dict[str, Any],
    old: bool,
    closes: bool,
    judged: bool,
    tmp_path: Path,
) -> None:
    messages = played()
    if judged:
        options = {**options, "labels": labelled(tmp_path)}
    folders = [tmp_path / name for name in ("undisturbed", "crashed")]
    old = old and options["if_exists"] != "refuse"
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        if old:
            through(
                [sink(folder / f"out.{kind}", **{**options, "if_exists": "replace"})], played(1)
            )
    whole, other = (folder / f"out.{kind}" for folder in folders)
    undisturbed(lambda: sink(whole, **options), messages)
    past = dies(lambda: sink(other, **options), messages[: cut + more], [cut], closes)
    after_crash(lambda: sink(other, **options), past[-1], messages)
    assert content(other) == content(whole)
    if (kind, options["if_exists"]) != ("db", "append"):
        assert other.read_bytes() == whole.read_bytes()
    assert len(list(other.parent.iterdir())) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_may_be_killed_at_any_moment_and_as_often_as_it_likes(kind: str, tmp_path: Path) -> None:
    messages = played(20)
    whole, other = tmp_path / f"whole.{kind}", tmp_path / f"other.{kind}"
    begun = time.perf_counter()
    undisturbed(lambda: sink(whole), messages)
    lasts_s = time.perf_counter() - begun
    moments = np.random.default_rng(4).uniform(0.1, 1.5, 12) * lasts_s
    saved = dies(lambda: sink(other), [], [])[-1]
    for within_s in moments.tolist():
        points = range(0, len(messages), 7)
        past = dies(lambda: sink(other), messages, points, True, within_s, saved)
        saved = past[-1] if past else saved
    after_crash(lambda: sink(other), saved, messages)
    assert other.read_bytes() == whole.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == [other.name, whole.name]


def halved(path: Path) -> None:
    """Take half of what a file holds away."""
    if path.suffix == ".db":
        with sqlite3.connect(path) as base:
            base.execute("DELETE FROM predictions WHERE id > 3")
    else:
        os.truncate(path, path.stat().st_size // 2)


def touched(path: Path) -> None:
    """Change a number in a file."""
    if path.suffix == ".db":
        with sqlite3.connect(path) as base:
            base.execute("UPDATE predictions SET t_end_us = 7 WHERE id = 2")
    else:
        raw = path.read_bytes()
        path.write_bytes(raw.replace(b"110", b"777"))


@pytest.mark.parametrize(
    ("spoil", "how"), [(Path.unlink, "removed"), (halved, "shortened"), (touched, "changed")]
)
def test_a_file_that_is_not_what_it_was_is_refused(
    spoil: Callable[[Path], None], how: str, path: Path
) -> None:
    messages = played(2)
    saved = dies(lambda: sink(path), messages, [len(messages)])[-1]
    spoil(path if path.exists() else path.with_name(f"{path.name}.part"))
    with pytest.raises(StageError) as e:
        after_crash(lambda: sink(path), saved, messages)
    assert re.fullmatch(
        rf"{re.escape(str(path))}: was {how} since the checkpoint: .*\d (bytes|rows) .*, so the run"
        " cannot go on behind it; put it back as it was, or start over with --fresh",
        str(e.value),
    )


def test_a_file_of_another_run_that_was_not_there_is_left_alone(path: Path) -> None:
    saved = dies(lambda: sink(path, if_exists="refuse"), [], [])[-1]
    through([sink(path)], played(1))
    before = path.read_bytes()
    with pytest.raises(StageError, match="cannot be written: File exists"):
        after_crash(lambda: sink(path, if_exists="refuse"), saved, played())
    assert path.read_bytes() == before


def test_a_full_disk_harms_nothing_that_is_committed(path: Path) -> None:
    messages = played(40)
    whole = path.with_stem("whole")
    undisturbed(lambda: sink(whole), messages)
    cut = len(messages) // 2
    saved = dies(lambda: sink(path), messages[:cut], [cut])[-1]
    room = max(file.stat().st_size for file in path.parent.glob("out*")) + 20
    with disk_of(room), pytest.raises(StageError, match=r"cannot be written: ") as caught:
        after_crash(lambda: sink(path), saved, messages)
    assert str(caught.value).startswith(f"{path}: ")
    # Its files are this process's own still; a run that goes on is another one.
    assert dies(lambda: sink(path), messages, [len(messages)], True, saved=saved)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("kind", ["csv", "h5", "db"])
def test_what_has_other_columns_is_not_appended_to(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{kind}"
    if kind == "db":
        with sqlite3.connect(path) as base:
            base.execute("CREATE TABLE predictions (id, what)")
    else:
        through([sink(path, labels=labelled(tmp_path))], played(1))
    before = path.read_bytes()
    with pytest.raises((PortError, StageError), match=r"out\..*: (has|does|its)"):
        undisturbed(lambda: sink(path, if_exists="append"), played())
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["h5", "db"])
def test_what_is_no_such_file_is_not_appended_to(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{kind}"
    path.write_bytes(b"precious" * 200)
    with pytest.raises(StageError, match=r"is no (SQLite database|HDF5 file)"):
        undisturbed(lambda: sink(path, if_exists="append"), played())
    assert path.read_bytes() == b"precious" * 200


@pytest.mark.parametrize("kind", ["csv", "h5"])
def test_a_column_for_each_class_needs_the_same_classes(kind: str, tmp_path: Path) -> None:
    ports = [PORT, PredictionsPort(("a", "b"))]
    with pytest.raises(PortError, match="its inputs predict different classes") as caught:
        sink(tmp_path / f"out.{kind}", ports).port()
    assert caught.value.key == "from"


def test_a_label_file_is_still_of_one_recording_behind_a_checkpoint(tmp_path: Path) -> None:
    path, labels = tmp_path / "out.jsonl", labelled(tmp_path)
    messages = [*recording([1]), *recording([1])]
    header = messages[3].header
    assert isinstance(header, Start)
    messages[3] = control(msgspec.structs.replace(header, source="other.aedat4"))
    saved = dies(lambda: sink(path, labels=labels), messages[:2], [2])[-1]
    with pytest.raises(StageError, match=r"other\.aedat4 is played behind some\.aedat4"):
        after_crash(lambda: sink(path, labels=labels), saved, messages)


SHED = {"shed_events": 7, "merged_windows": 2}


def test_what_overload_took_is_told_where_it_did(path: Path) -> None:
    start, message, end = recording([2])
    header = msgspec.structs.replace(message.header, shed=Shed(events=7, merged=2))
    stage = sink(path)
    stage.sheds = True
    through([stage], [start, Message(header, message.array), end])
    if path.suffix == ".jsonl":
        first, second = map(json.loads, path.read_text().splitlines())
        assert {key: first[key] for key in first if key.startswith(("shed", "merged"))} == SHED
        assert not any(key.startswith(("shed", "merged")) for key in second)
        return
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            rows = [{key: int(row[key]) for key in SHED} for row in csv.DictReader(file)]
    elif path.suffix == ".h5":
        with h5py.File(path) as file:
            rows = [{key: int(row[key]) for key in SHED} for row in file["predictions"]]
    else:
        with sqlite3.connect(path) as base:
            found = base.execute(f"SELECT {', '.join(SHED)} FROM predictions").fetchall()
            rows = [
                {key: value or 0 for key, value in zip(SHED, row, strict=True)} for row in found
            ]
    assert rows == [SHED, dict.fromkeys(SHED, 0)]


def test_a_file_of_a_pipeline_that_cannot_shed_has_no_columns_for_it(tmp_path: Path) -> None:
    through([sink(tmp_path / "out.csv")], recording([1]))
    assert "shed" not in (tmp_path / "out.csv").read_text()


LOST = {"lost_events": 0, "gap_us": 250_000}


def live(path: Path, **options: Any) -> Any:
    stage = sink(path, **options)
    stage.is_live = True
    return stage


def interrupted() -> list[Message]:
    """A recording, and one that begins behind an interruption."""
    before, (start, *rest) = recording([1]), recording([2], epoch=1)
    return [*before, control(msgspec.structs.replace(start.header, **LOST)), *rest]


def told_lost(path: Path) -> list[dict[str, int]]:
    if path.suffix == ".jsonl":
        rows = map(json.loads, path.read_text().splitlines())
        return [{key: row[key] for key in LOST if key in row} for row in rows]
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [{key: int(row[key]) for key in LOST} for row in csv.DictReader(file)]
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return [{key: int(row[key]) for key in LOST} for row in file["predictions"]]
    with sqlite3.connect(path) as base:
        found = base.execute(f"SELECT {', '.join(LOST)} FROM predictions").fetchall()
    return [dict(zip(LOST, row, strict=True)) for row in found]


def test_each_prediction_behind_an_interruption_tells_of_it(path: Path) -> None:
    through([live(path)], interrupted())
    nothing = {".jsonl": {}, ".db": dict.fromkeys(LOST)}.get(path.suffix, dict.fromkeys(LOST, 0))
    assert told_lost(path) == [nothing, LOST, LOST]


def test_what_tells_of_an_interruption_survives_a_crash(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    whole = tmp_path / "whole" / path.name
    undisturbed(lambda: live(whole), interrupted())
    # Behind the end, where hdf5 has made its file of the lines and must make them again.
    saved = dies(lambda: live(path), interrupted(), [5], True)[-1]
    after_crash(lambda: live(path), saved, interrupted())
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("kind", ["csv", "h5"])
def test_a_file_of_recordings_has_no_columns_for_interruptions(kind: str, tmp_path: Path) -> None:
    through([sink(tmp_path / f"out.{kind}")], recording([1]))
    if kind == "csv":
        assert "gap_us" not in (tmp_path / "out.csv").read_text()
    else:
        with h5py.File(tmp_path / "out.h5") as file:
            assert "gap_us" not in file["predictions"].dtype.names
