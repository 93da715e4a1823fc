"""``pipeline evaluate`` from recordings to a report, on a few simulated N-MNIST recordings."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from evaluations import write_case
from rich.console import Console
from shared import SHARED

import models
from pipeline.cli.evaluate import _printing
from stages.evaluation import work

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """Write a pipeline, and 20 recordings beside it."""
    return write_case(tmp_path, each=2)


@pytest.fixture
def command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys, monkeypatch)


def numbers(report: Path) -> dict[str, Any]:
    """Return a report without what differs from time to time."""
    found: dict[str, Any] = json.loads((report / "report.json").read_text())
    found["work"] = {key: found["work"][key] for key in ("operations", "operations_by_layer")}
    return found


class Page(HTMLParser):
    """Keeps what a page loads, and what stays open in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {value}" for key, value in attrs if key in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass


def test_from_recordings_to_a_report(
    command_line: CommandLine, pipeline: Path, tmp_path: Path
) -> None:
    ended = command_line(
        "evaluate", pipeline, "--data", "nmnist=data/nmnist", "--processes", 1, "--out", "run"
    )
    assert ended.code == 0, ended.err
    first, second, *_ = ended.err.splitlines()
    assert first == f"{pipeline}: evaluated on nmnist=data/nmnist"
    assert second == "20 recordings of 10 classes (all); results go to run"
    found = numbers(tmp_path / "run")
    assert found["recordings"] == 20
    assert found["top1"] == found["right"] / 20
    assert sum(map(sum, found["confusion"])) == 20
    assert f"{found['top1']:.2%} ({found['right']} of 20)" in ended.out
    with (tmp_path / "run" / "recordings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["recording"] for row in rows[:2]] == ["Train/0/00000.bin", "Train/0/00001.bin"]
    assert sum(int(row["right"]) for row in rows) == found["right"]
    page = Page((tmp_path / "run" / "report.html").read_text())
    assert (page.loads, page.open) == ([], [])  # whole, and it needs nothing beside it


def test_without_a_terminal_lines_say_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    times_s = iter([0.0, 4.0, 9.0, 10.0, 11.0, 40.0, 41.0])
    show = _printing(Console(stderr=True, width=120), lambda: next(times_s))
    for done in (1, 2, 3, 4, 5, 80, 800):
        show("right", done, 800)
    assert capsys.readouterr().err.splitlines() == [
        "right: 1 of 800",
        "right: 4 of 800, about 2653 s left",
        "right: 80 of 800, about 365 s left",
        "right: 800 of 800",
    ]


def test_recordings_that_were_trained_on_are_told_of(
    command_line: CommandLine, pipeline: Path, tmp_path: Path
) -> None:
    write_case(tmp_path, 4)
    ended = command_line(
        *("evaluate", pipeline, "--data", "data/nmnist", "--recipe", "recipe.toml", "--json"),
        *("--part", "train", "--processes", 1, "--out", "run"),
    )
    assert ended.code == 0, ended.err
    said = "20 of these 20 recordings are of the part that the recipe trains on"
    assert f"note: {said}" in ended.err
    (trained,) = json.loads(ended.out)["trained"]
    assert (trained["recordings"], trained["data"]) == (20, "none: random weights")
    assert said in (tmp_path / "run" / "report.html").read_text()


def test_json_is_for_programs(command_line: CommandLine, pipeline: Path) -> None:
    ended = command_line("evaluate", pipeline, "--data", "data/nmnist", "--processes", 1, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["recordings"], found["name"], found["part"]) == (20, "digits", "all")
    assert len(found["names"]) == len(found["classes"]) == 10


def test_what_was_stopped_goes_on(
    command_line: CommandLine, pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("evaluate", pipeline, "--data", "nmnist=data/nmnist", "--processes", 1)
    whole = command_line(*ask, "--out", "whole")
    assert whole.code == 0, whole.err
    results, done = work.Evaluator.results, list[str]()

    def some(self: work.Evaluator, numbered: Any) -> Any:
        for one in results(self, numbered):
            if len(done) == 7:
                raise KeyboardInterrupt
            done.append(one.key)
            yield one

    with monkeypatch.context() as patch:
        patch.setattr(work.Evaluator, "results", some)
        ended = command_line(*ask)
    assert ended.code == 130
    assert "stopped; 7 of 20 recordings are done, the same command goes on" in ended.err

    def watched(self: work.Evaluator, numbered: Any) -> Any:
        for one in results(self, numbered):
            done.append(one.key)
            yield one

    monkeypatch.setattr(work.Evaluator, "results", watched)
    ended = command_line(*ask)
    assert ended.code == 0, ended.err
    (folder,) = (tmp_path / "out" / "evaluation").iterdir()
    assert "20 recordings of 10 classes (all), 7 were done before; results go to out" in ended.err
    assert len(done) == len(set(done)) == 20  # none was done twice
    assert numbers(folder) == numbers(tmp_path / "whole")


def test_a_kill_costs_little_and_leaves_no_process(pipeline: Path, tmp_path: Path) -> None:
    for number in range(2, 12):  # enough to be killed in the middle
        for digit in range(10):
            digits = tmp_path / "data" / "nmnist" / "Train" / str(digit)
            (digits / f"{number:05d}.bin").symlink_to(digits / "00000.bin")
    command = [sys.executable, "-m", "pipeline.cli", "evaluate", str(pipeline)]
    command += ["--data", "nmnist=data/nmnist", "--processes", "2", "--out", "run", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    results = tmp_path / "run" / "results.jsonl"
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as killed:
        while killed.poll() is None and not (results.exists() and results.stat().st_size):
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()  # its workers hold its pipes: this ends when they have
    assert killed.returncode == -signal.SIGKILL
    before = results.read_bytes().count(b"\n")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{before} were done before" in done.stderr
    assert json.loads(done.stdout)["recordings"] == 120


def test_two_runs_side_by_side(command_line: CommandLine, pipeline: Path, tmp_path: Path) -> None:
    ask = ("evaluate", pipeline, "--data", "nmnist=data/nmnist", "--processes", 1)
    assert command_line(*ask, "--out", "one").code == 0
    write_case(tmp_path, 2, mode="analog")
    ended = command_line(*ask, "--out", "two", "--compare", "one")
    assert ended.code == 0, ended.err
    comparison = json.loads((tmp_path / "two" / "report.json").read_text())["comparison"]
    one, two = numbers(tmp_path / "one"), numbers(tmp_path / "two")
    assert comparison["paired"]
    assert comparison["difference"] == two["top1"] - one["top1"]
    assert comparison["only_this"] - comparison["only_other"] == two["right"] - one["right"]
    assert "of the same recordings, only this one has" in ended.out
    assert "Compared" in (tmp_path / "two" / "report.html").read_text()


def test_under_load(command_line: CommandLine, pipeline: Path, tmp_path: Path) -> None:
    ended = command_line(
        *("evaluate", pipeline, "--data", "nmnist=data/nmnist", "--processes", 1),
        *("--set", "decision.over=recording", "--load", "20", "--out", "run"),
    )
    assert ended.code == 0, ended.err
    found = json.loads((tmp_path / "run" / "report.json").read_text())
    (point,) = found["load"]["points"]
    assert found["load"]["policy"] == "[overload] with latency_ms = 100, which the file lacks"
    assert point["speed"] == 20
    assert 0 < point["reached"] <= 20
    assert point["lost"] or point["top1"] == found["top1"]  # only what was given up can differ
    assert "under load, with [overload] with latency_ms = 100" in ended.out
    assert "Accuracy under load" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--load", "fast"), "--load: must be numbers above 0, such as 1,8,64, got 'fast'"),
        (("--load", "0"), "--load: must be numbers above 0, such as 1,8,64, got '0'"),
        (("--compare", "run"), "--compare: run holds no finished evaluation; name the folder"),
        (("--variant", "few"), "--variant: is of a recipe; name it with --recipe"),
        (("--decision", "bins"), "stage.bins: gives frames; what is evaluated must give"),
    ],
)
def test_mistakes_are_told_before_any_work(
    command_line: CommandLine, pipeline: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    ended = command_line("evaluate", pipeline, "--data", "nmnist=data/nmnist", *more)
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "out").exists()


def test_classes_that_the_model_does_not_know(
    command_line: CommandLine, pipeline: Path, tmp_path: Path
) -> None:
    (tmp_path / "data" / "nmnist" / "Train" / "9").rename(tmp_path / "data/nmnist/Train/nine")
    ended = command_line("evaluate", pipeline, "--data", "data/nmnist/Train")
    assert ended.code == 2
    assert "--data: the model knows no class 'nine'; known are 0, 1, 2" in ended.err


@pytest.mark.shared
def test_n_mnist_as_its_training_validated_it(command_line: CommandLine) -> None:
    ended = command_line(
        *("evaluate", REPOSITORY / "models" / "pipelines" / "nmnist.toml", "--json"),
        *("--data", SHARED / "nmnist", "--part", "validation", "--processes", 1),
        *("--recipe", REPOSITORY / "models" / "recipes" / "nmnist.toml", "--variant", "few"),
    )
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    card = models.read_card(REPOSITORY / "models" / "weights" / "nmnist.safetensors")
    counted = re.match(r"validation: (\d+) of (\d+) right", card.accuracy)
    assert counted is not None
    assert (found["right"], found["recordings"]) == tuple(map(int, counted.groups()))
