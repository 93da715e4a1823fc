"""Harmed pipelines write what they would have: by `pipeline fault`, and by stages of faults."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine

from pipeline.faults import Fault, moments

REPOSITORY = Path(__file__).parents[2]
GRAPH = """
[[stage]]
name = "ticks"
use = "fault_stages:Ticks"
[[stage]]
name = "fault"
use = "fault_slow"
sleep_us = 1
[[stage]]
name = "lines"
use = "fault_stages:Lines"
path = "lines.txt"
"""
EVENTS = "".join(f"{t}\n" for t in range(2000))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline of which the processes of runs find the stages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests" / "support"), prepend=os.pathsep)
    path = tmp_path / "trial.toml"
    path.write_text(GRAPH)
    return path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)


def test_moments_are_spread_over_the_run() -> None:
    fault = Fault("bins", "kill")
    drawn = moments(fault, 50, seed=1)
    assert [int(moment * 50) for moment in drawn] == list(range(50))
    assert drawn == moments(fault, 50, seed=1)
    assert len({*drawn, *moments(fault, 50, 2), *moments(Fault("bins", "stop"), 50, 1)}) == 150


def test_whoever_is_harmed_the_output_is_the_same(file: Path, call: CommandLine) -> None:
    harm = ["--kill", "lines", "--stop", "fault", "--runner", "--times", 1, "--seed", 3]
    ended = call("fault", file, *harm, "--json")
    assert ended.code == 0, ended.err
    rows = json.loads(ended.out)
    assert [(row["fault"], row["process"]) for row in rows] == [
        ("kill", "lines"),
        ("stop", "fault"),
        ("kill", "(runner)"),
    ]
    for row in rows:
        assert (row["runs"], row["identical"], row["struck"]) == (1, 1, 1)
        assert 0 < row["recovery_p50_s"] == row["recovery_max_s"] < 30
    assert rows[1]["recovery_p50_s"] > 0.5  # a hang is known by its silence
    assert not (file.parent / "lines.txt").exists()


def test_output_that_differs_is_told_and_kept(file: Path, call: CommandLine) -> None:
    harm = ["--kill", "lines", "--times", 1, "--set", "lines.torn=true"]
    ended = call("fault", file, *harm, "--keep", "kept")
    assert ended.code == 1
    assert "trial-0001: lines/lines.txt differs from that of the undisturbed run" in ended.err
    assert Path("kept/undisturbed/lines/lines.txt").read_text() == EVENTS
    assert "SIGKILL" in Path("kept/trial-0001/stderr.txt").read_text()


def test_what_differs_undisturbed_cannot_be_tried(file: Path, call: CommandLine) -> None:
    ended = call("fault", file, "--set", "lines.dated=true", "--set", "ticks.events=100")
    assert ended.code == 1
    assert "error: " in ended.err
    assert "two undisturbed runs differ in lines/lines.txt" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kill", "line"], "--kill line: no stage 'line'; did you mean 'lines'?"),
        (["--keep", "."], "--keep: .: exists already; name a new folder"),
        (["--set", "lines.paht=x"], "stage.lines.paht: unknown key; did you mean 'path'?"),
    ],
)
def test_wrong_requests(words: list[str], said: str, file: Path, call: CommandLine) -> None:
    ended = call("fault", file, *words)
    assert ended.code == 2
    assert said in ended.err


def test_a_pipeline_that_writes_nothing_cannot_be_tried(file: Path, call: CommandLine) -> None:
    file.write_text(GRAPH.partition('[[stage]]\nname = "lines"')[0])
    ended = call("fault", file)
    assert ended.code == 2
    assert "no stage writes a file, so that nothing can be compared; add a sink" in ended.err


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("fault_kill", {"probability": 0.002, "times": 2}, "was killed by SIGKILL"),
    ("fault_hang", {"from_us": 700}, "has not answered for"),
    ("fault_raise", {"from_us": 1200}, "failed on purpose"),
]


@pytest.mark.parametrize(("use", "options", "cause"), FAULTS)
def test_a_run_goes_on_behind_a_fault_in_its_file(
    use: str, options: dict[str, Any], cause: str, file: Path
) -> None:
    table = "".join(f"{key} = {value}\n" for key, value in options.items())
    file.write_text(
        GRAPH.replace('"fault_slow"\nsleep_us = 1\n', f'"{use}"\nmarks = "marks"\n{table}')
        + '[checkpoint]\ndirectory = "kept"\ninterval_s = 0.05\n[supervision]\nsilent_s = 1\n'
    )
    command = [sys.executable, "-m", "pipeline.cli", "run", str(file), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout)
    assert len(outcome["restarts"]) == options.get("times", 1)
    assert all(cause in restart["cause"] for restart in outcome["restarts"])
    assert (file.parent / "lines.txt").read_text() == EVENTS
    assert len((file.parent / "marks").read_text().splitlines()) == options.get("times", 1)
