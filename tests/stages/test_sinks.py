"""Sinks: what is written of a prediction."""

import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from crashes import after_crash, dies
from streams import through
from weights import random_weights

from pipeline.config import parse_config
from pipeline.errors import ConfigError, StageError
from pipeline.graph import build_graph
from pipeline.messages import EndRecording, Message, Predictions, Span, Start, control, data
from pipeline.ports import PredictionsPort
from pipeline.stage import PortError
from recordings import some_events, write_recording
from stages.datasets.labels import (
    Label,
    LabelError,
    class_of_folder,
    labels_path,
    read_labels,
    write_labels,
)
from stages.record_file import RecordFile
from stages.sinks.console import Console, ConsoleConfig
from stages.sinks.jsonl import JsonLines, JsonLinesConfig

CLASSES = ("clap", "wave", "roll")
PORT = PredictionsPort(CLASSES)


def predictions(scores: list[list[float]], source: str = "some.aedat4") -> Iterator[Message]:
    yield control(Start(stream="cam", width=8, height=6, source=source, t_first_us=100))
    spans = tuple(Span(k, 100 + k * 10, 110 + k * 10, 1, None) for k in range(len(scores)))
    yield data(
        Predictions,
        np.array(scores, np.float32),
        stream="cam",
        t_first_us=100,
        t_last_us=spans[-1].t_end_us,
        by="mean",
        classes=CLASSES,
        spans=spans,
    )
    yield control(EndRecording(stream="cam"))


def jsonl(path: Path, **options: str) -> JsonLines:
    return JsonLines("file", JsonLinesConfig(path=path, **options), [PORT])


def test_one_object_a_line_with_the_shortest_digits(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    through([jsonl(path)], predictions([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]]))
    first, second = path.read_text().splitlines()
    assert json.loads(first) == {
        "stream": "cam",
        "recording": "some.aedat4",
        "stage": "mean",
        "epoch": 0,
        "window": 0,
        "t_start_us": 100,
        "t_end_us": 110,
        "label": "wave",
        "class": 1,
        "scores": [0.1, 0.7, 0.2],
        "partial": False,
    }
    assert "[0.1,0.7,0.2]" in first
    assert json.loads(second)["label"] == "clap", "of equal scores the first class wins"


def test_each_line_says_which_recording_it_is_of(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    messages = [*predictions([[1, 0, 0]] * 2, "3/1.bin"), *predictions([[0, 1, 0]], "4/1.bin")]
    through([jsonl(path)], messages)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["recording"] for line in lines] == ["3/1.bin", "3/1.bin", "4/1.bin"]


def test_an_existing_file_is_replaced_appended_to_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    for mode, lines in (("replace", 1), ("append", 2), ("replace", 1)):
        through([jsonl(path, if_exists=mode)], predictions([[1, 0, 0]]))
        assert len(path.read_text().splitlines()) == lines
    with pytest.raises(PortError, match="exists already; remove it or set if_exists"):
        jsonl(path, if_exists="refuse").port()


def test_places_that_cannot_be_written_are_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PortError, match="nothing can be written in"):
        jsonl(tmp_path / "file" / "out.jsonl").port()
    with pytest.raises(PortError, match="is a folder; name a file in it"):
        jsonl(tmp_path).port()


def test_a_full_disk_is_one_clear_error() -> None:
    stage = jsonl(Path("/dev/full"))
    with pytest.raises(StageError, match="/dev/full: cannot be written: No space left on device"):
        through([stage], predictions([[1, 0, 0]]))


def test_the_console_judges_predictions_by_their_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "some.aedat4"
    write_labels(labels_path(recording), [Label(100, 120, 1), Label(125, 200, 0)])
    stage = Console("show", ConsoleConfig(), [PORT])
    scores = [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0.9, 0, 0]]
    through([stage], predictions(scores, str(recording)))
    title, *lines, verdict = capsys.readouterr().out.splitlines()
    assert title == f"── {recording} (8×6)"
    assert lines[0].split() == ["0.000", "s", "█" * 20, "1.00", "wave", "✓"]
    assert lines[1].endswith("roll ✗ wave")
    assert lines[2].endswith("clap"), "windows across the edge of a label are not judged"
    assert verdict.startswith("── 2 of 3 predictions right (66.7%)")


def test_the_console_says_which_predictions_are_partial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, message, end = predictions([[0, 1, 0], [0, 1, 0]], "set/wave/1.bin")
    assert isinstance(message.header, Predictions)
    whole, last = message.header.spans
    spans = (whole, msgspec.structs.replace(last, partial=True))
    header = msgspec.structs.replace(message.header, spans=spans)
    through(
        [Console("show", ConsoleConfig(), [PORT])], [start, Message(header, message.array), end]
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if " s  " in line]
    assert [line.split("1.00  ")[1] for line in lines] == ["wave ✓", "wave ✓ (partial)"]


def test_the_console_marks_the_first_prediction_behind_an_interruption(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start, *rest = predictions([[0, 1, 0], [0, 1, 0]])
    start = control(msgspec.structs.replace(start.header, gap_us=250_000))
    through([Console("show", ConsoleConfig(), [PORT])], [start, *rest])
    lines = [line for line in capsys.readouterr().out.splitlines() if " s  " in line]
    assert [line.split("1.00  ")[1] for line in lines] == ["wave (gap)", "wave"]


def filled(kind: str, scores: list[float], capsys: pytest.CaptureFixture[str]) -> tuple[str, int]:
    """The console's first line, and how many of 20 places of the bar are full."""
    stage = Console("show", ConsoleConfig(), [PredictionsPort(CLASSES, kind)])
    through([stage], predictions([scores]))
    first, *_, line = capsys.readouterr().out.splitlines()
    return first, line.count("█")


@pytest.mark.parametrize(
    ("kind", "scores", "places", "meaning"),
    [
        ("rate", [0.1, 0.5, 0.2], 10, "the share of steps in which the class's neuron fired"),
        (
            "activity",
            [2, 6, 4],
            10,
            "the mean output of the class's neuron; the bar shows the class's share of all",
        ),
        ("activity", [0, 0, 0], 0, "the mean output of the class's neuron"),
        (
            "logit",
            [7, 7, 7 - 1e9],
            10,
            "a logit, of which only differences count; the bar shows the",
        ),
        ("logit", [-900, -800, -900], 20, "a logit"),
        (
            "probability",
            [0.2, 0.55, 0.25],
            11,
            "the probability of the class; the bar shows the score",
        ),
        ("vote", [0, 1, 0], 20, "the share of steps that the class won"),
    ],
)
def test_the_console_says_what_a_score_is_and_draws_its_share(
    kind: str,
    scores: list[float],
    places: int,
    meaning: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, full = filled(kind, scores, capsys)
    assert first.startswith(f"── a score is {meaning}")
    assert full == places


def test_of_scores_that_no_one_explains_the_console_says_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert filled("score", [0, 3, 0], capsys) == ("── some.aedat4 (8×6)", 20)
    ports = [PredictionsPort(CLASSES, kind) for kind in ("rate", "logit")]
    through([Console("show", ConsoleConfig(), ports)], predictions([[0, 1, 0]]))
    assert "a score is" not in capsys.readouterr().out, "it would be true of some only"


def test_what_a_score_is_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    stage = Console("show", ConsoleConfig(), [PredictionsPort(CLASSES, "logit")])
    through([stage], [*predictions([[0, 1, 0]]), *predictions([[0, 1, 0]])])
    assert capsys.readouterr().out.count("a score is") == 1


def test_the_console_judges_by_the_folder_that_is_named_after_a_class(
    capsys: pytest.CaptureFixture[str],
) -> None:
    messages = [
        *predictions([[0, 1, 0]], "set/Wave/1.bin"),
        *predictions([[0, 1, 0], [1, 0, 0]], "set/clap/2.bin"),
        *predictions([[1, 0, 0]], "set/other/3.bin"),
    ]
    through([Console("show", ConsoleConfig(), [PORT])], messages)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines if " s  " in line] == ["✓", "clap", "✓", "clap"]
    assert "wave ✗ clap" in lines[3]
    assert [line for line in lines if " right " in line] == [
        "── 1 of 2 predictions right (50.0%), by the name of the folder",
        "── in 2 recordings 2 of 3 predictions right (66.7%)",
    ]
    through([Console("show", ConsoleConfig(judge=False), [PORT])], messages)
    assert "right" not in capsys.readouterr().out


def test_behind_a_checkpoint_the_console_counts_on(capsys: pytest.CaptureFixture[str]) -> None:
    messages = [
        *predictions([[0, 1, 0]], "set/wave/1.bin"),
        *predictions([[0, 1, 0], [1, 0, 0]], "set/clap/2.bin"),
    ]
    saved = dies(lambda: Console("show", ConsoleConfig(), [PORT]), messages[:4], [4])[-1]
    after_crash(lambda: Console("show", ConsoleConfig(), [PORT]), saved, messages)
    *_, verdict = capsys.readouterr().out.splitlines()
    assert verdict == "── in 2 recordings 2 of 3 predictions right (66.7%)"


def test_folders_name_classes_whatever_stands_between_words() -> None:
    classes = ("0", "air guitar", "left-hand wave")
    for path, index in (
        ("Train/0/1.bin", 0),
        ("a/Air_Guitar/1.mp4", 1),
        ("left hand wave/x", 2),
        ("00/1.bin", None),
        ("air guitars/1", None),
        ("1.bin", None),
    ):
        assert class_of_folder(Path(path), classes) == index


def test_labels_of_a_recording_that_is_played_again_are_shifted_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "some.aedat4"
    write_labels(labels_path(recording), [Label(0, 50, 1)])
    start, *rest = predictions([[0.0, 1.0, 0.0]])
    assert isinstance(start.header, Start)
    again = msgspec.structs.replace(start.header, source=str(recording), shift_us=100)
    through([Console("show", ConsoleConfig(), [PORT])], [control(again), *rest])
    assert "1 of 1 predictions right" in capsys.readouterr().out


def test_labels_round_trip_and_broken_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    labels = (Label(0, 10, 0), Label(10, 20, 10))
    write_labels(path, labels[::-1])
    assert read_labels(path) == labels
    header = "class,startTime_usec,endTime_usec\n"
    for text in ("", "a,b\n1,2\n", header + "0,1,2\n", header + "1,x,2\n", header + "1\n", "\x00"):
        path.write_text(text)
        with pytest.raises(LabelError, match=r"labels.csv: is no label file"):
            read_labels(path)
    with pytest.raises(LabelError, match=r"missing\.csv: cannot be read: No such file"):
        read_labels(tmp_path / "missing.csv")


def test_labels_of_classes_that_the_model_lacks_are_refused(tmp_path: Path) -> None:
    recording = tmp_path / "some.aedat4"
    write_labels(labels_path(recording), [Label(0, 10, 3)])
    messages = list(predictions([[1, 0, 0]], str(recording)))
    with pytest.raises(
        StageError, match="names class 4, the model has 3 classes; mend it, or set judge"
    ):
        through([Console("show", ConsoleConfig(), [PORT])], messages)
    through([Console("show", ConsoleConfig(judge=False), [PORT])], messages)


def test_labels_of_classes_that_the_model_lacks_are_found_by_check(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "some.aedat4", some_events())
    write_labels(labels_path(recording), [Label(0, 10, 11)])
    weights = random_weights(tmp_path / "w.safetensors")
    rows = [
        {"name": "camera", "use": "replay", "path": str(recording)},
        {"name": "bins", "use": "time_bin", "window_us": 25_000, "size": [40, 40]},
        {"name": "network", "use": "snn", "weights": str(weights)},
        {"name": "decision", "use": "aggregate"},
        {"name": "screen", "use": "console"},
    ]
    with pytest.raises(ConfigError) as caught:
        build_graph(parse_config({"stage": rows}, Path("p.toml")))
    assert str(caught.value) == (
        f"p.toml: stage.screen.judge: {labels_path(recording)}: names class 12, the model has 11"
        " classes; mend it, or set judge = false"
    )
    build_graph(parse_config({"stage": rows}, Path("p.toml"), ["screen.judge=false"]))


def label_file(folder: Path, kind: str) -> Path:
    """What "some.aedat4" shows: wave from 100 to 120 µs, clap from 125 on."""
    path = folder / "mine.tsv"
    if kind == "label file":
        write_labels(path, [Label(100, 120, 1), Label(125, 200, 0)])
    else:
        rows = ["some.aedat4\t100\t120\twave", "some.aedat4\t125\t\tclap", "b.raw\t\t\troll"]
        path.write_text("\n".join(["file\tstart_us\tend_us\tlabel", *rows]))
    return path


@pytest.mark.parametrize("kind", ["label file", "table"])
def test_labels_may_be_told_in_a_file_of_ones_own(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = label_file(tmp_path, kind)
    console = Console("show", ConsoleConfig(labels=labels), [PORT])
    file = jsonl(tmp_path / "out.jsonl", labels=str(labels))
    messages = list(predictions([[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]], "set/some.aedat4"))
    messages[0] = control(
        msgspec.structs.replace(messages[0].header, source=str(tmp_path / "some.aedat4"))
    )
    for stage in (console, file):
        stage.port()
        through([stage], messages)
    *_, verdict = capsys.readouterr().out.splitlines()
    assert verdict.startswith("── 2 of 3 predictions right (66.7%)")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["truth"] for line in lines] == ["wave", "wave", None, "clap"]


def test_a_table_tells_each_recording_what_it_is_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = label_file(tmp_path, "table")
    stage = Console("show", ConsoleConfig(labels=labels), [PORT])
    sources = [str(tmp_path / name) for name in ("b.raw", "x/b.raw", "roll/c.raw")]
    through([stage], [m for one in sources for m in predictions([[0, 0, 1]], one)])
    lines = [line for line in capsys.readouterr().out.splitlines() if " s  " in line]
    assert [line.split()[-1] for line in lines] == ["✓", "roll", "roll"], "nothing else is asked"


def test_that_no_label_was_of_use_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Console("show", ConsoleConfig(labels=label_file(tmp_path, "table")), [PORT])
    through([stage], predictions([[1, 0, 0]], str(tmp_path / "other.aedat4")))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("── nothing was judged: no prediction lies within a stretch of")


def test_a_label_file_is_of_one_recording(tmp_path: Path) -> None:
    stage = jsonl(tmp_path / "out.jsonl", labels=str(label_file(tmp_path, "label file")))
    one, other = (list(predictions([[1, 0, 0]], source)) for source in ("a.raw", "b.raw"))
    through([stage], [*one, *one])
    with pytest.raises(
        StageError, match=r"is of one recording, and b\.raw is played behind a\.raw"
    ):
        through([stage], [*one, *other])


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        ("", {}, "its first line must name file and label, separated by tabs, it is ''"),
        (
            "file\tlabel\na\twaev\n",
            {},
            "line 2: label 'waev' is none of the model's 3 classes; did",
        ),
        (
            "class,startTime_usec,endTime_usec\n4,0,1\n",
            {},
            "names class 4, the model has 3 classes",
        ),
        ("file\tlabel\n", {"judge": False}, "has no meaning with judge = false"),
    ],
)
def test_labels_of_no_use_are_refused_before_the_run(
    text: str, options: dict[str, bool], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    with pytest.raises(PortError, match=problem) as caught:
        Console("show", ConsoleConfig(labels=path, **options), [PORT]).port()
    assert caught.value.key == "labels"
    ports = [PORT, PredictionsPort(("a", "b"))]
    with pytest.raises(PortError, match="needs predictions of the same classes"):
        Console("show", ConsoleConfig(labels=path), ports).port()


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    file = RecordFile(path)
    file.append(b"one\n")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6, limit[1]))
        with pytest.raises(OSError, match="File too large"):
            file.append(b"three\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"one\n"
    file.append(b"two\n")
    file.close()
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_file_that_another_writes_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    other = RecordFile(path)
    other.append(b"theirs\n")
    with pytest.raises(StageError, match="is being written by another run or stage"):
        through([jsonl(path)], predictions([[1, 0, 0]]))
    other.close()
    assert path.read_bytes() == b"theirs\n"
