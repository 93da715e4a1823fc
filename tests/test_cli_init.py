"""`pipeline init`: four answers make a file that works."""

import sys
import tomllib
from pathlib import Path

import pytest
from command_line import CommandLine
from weights import random_weights

from pipeline.config import read_config
from pipeline.graph import build_graph
from recordings import some_events, write_recording


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "my file.aedat4", some_events())


def names(path: Path) -> dict[str, str]:
    return {stage.name: stage.use for stage in read_config(path).stages}


def test_flags_answer_all(recording: Path, tmp_path: Path, command_line: CommandLine) -> None:
    weights = random_weights(tmp_path / "net.safetensors", steps=10)
    made = tmp_path / "mine.toml"
    code, out, err = command_line(
        "init", made, "--from", recording, "--network", weights, "--to", "screen,csv,record",
        "--name", "mine",
    )  # fmt: skip
    assert (code, out, err) == (0, f"{made}: written; next: pipeline run {made}\n", "")
    graph = build_graph(read_config(made))
    assert [node.use for node in graph.nodes] == [
        "replay", "time_bin", "snn", "aggregate", "console", "csv", "record"
    ]  # fmt: skip
    tables = tomllib.loads(made.read_text())
    # What lies below the file is named from there.
    assert tables["stage"][0]["path"] == "my file.aedat4"
    assert tables["stage"][2]["weights"] == "net.safetensors"


@pytest.mark.parametrize("source", ["dv_camera", "neuromorphic_camera", "dv_network", "udp"])
def test_cameras_need_not_be_there(source: str, tmp_path: Path, command_line: CommandLine) -> None:
    made = tmp_path / "live.toml"
    code, _, err = command_line(
        "init", made, "--from", source, "--network", "none", "--to", "record", "--name", "live"
    )
    assert (code, err) == (0, "")
    assert names(made) == {"camera": source, "record": "record"}


def test_it_asks_in_a_terminal(
    recording: Path,
    tmp_path: Path,
    command_line: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([str(recording), "none", "record", "tape"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda text, default=None: next(answers))
    made = tmp_path / "asked.toml"
    code, _, err = command_line("init", made)
    assert (code, err) == (0, "")
    assert names(made) == {"camera": "replay", "record": "record"}
    assert read_config(made).run.name == "tape"


def test_who_is_asked_may_try_again(
    recording: Path,
    tmp_path: Path,
    command_line: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["no.raw", str(recording), "dvs_gestur", "none", "screen", "record", "a b", "c"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda text, default=None: next(answers))
    made = tmp_path / "asked.toml"
    code, _, err = command_line("init", made)
    assert code == 0
    source, network, sink, name = err.splitlines()
    assert "no.raw" in source
    assert network.endswith("did you mean 'dvs_gesture'?")
    assert sink.startswith("--to: 'screen' takes predictions")
    assert "run.name: must match" in name
    assert read_config(made).run.name == "c"


def test_a_file_that_is_there_stays(tmp_path: Path, command_line: CommandLine) -> None:
    there = tmp_path / "there.toml"
    there.write_text("mine")
    code, _, err = command_line("init", there)
    assert (code, err) == (2, f"error: {there}: exists already; name another file\n")
    assert there.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([], "--from: is required where there is no terminal to ask in; give it"),
        (["--from", "udp", "--network", "dvs_gestur"],
         "--network: there are no weights 'dvs_gestur'; did you mean 'dvs_gesture'?"),
        (["--from", "udp", "--network", "none", "--to", "screen"],
         "--to: 'screen' takes predictions, which need a network; give --network, or --to record"),
        (["--from", "udp", "--network", "none", "--to", "tape"], "--to: there is no 'tape'; known"),
        (["--from", "udp", "--network", "none", "--to", ","], "--to: names nothing; choose of"),
        (["--from", "udp", "--network", "none", "--to", "record", "--name", "a b"],
         "run.name: must match"),
        (["--from", "no.raw", "--network", "none", "--to", "record", "--name", "a"],
         "stage.camera.path: "),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_there_is_a_file(
    options: list[str], error: str, tmp_path: Path, command_line: CommandLine
) -> None:
    made = tmp_path / "mine.toml"
    code, _, err = command_line("init", made, *options)
    assert (code in (1, 2), error in err) == (True, True), err
    assert not made.exists()


def test_a_recording_too_short_for_a_prediction_is_warned_of(
    recording: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    weights = random_weights(tmp_path / "net.safetensors", steps=60)
    made = tmp_path / "short.toml"
    code, _, err = command_line(
        "init", made, "--from", recording, "--network", weights, "--to", "screen", "--name", "a"
    )
    assert (code, made.exists()) == (0, True)
    assert err.startswith(f"warning: {made}: stage.decision: {recording} is 0.4")
    assert "s long, too short for a prediction, which needs 1.475 s; play longer" in err
