"""``pipeline train`` from a recipe to weights, on a few simulated N-MNIST recordings."""

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import CommandLine
from nmnist import write_digits
from rich.console import Console

from models import ModelError, read_card
from models.training import trainer
from models.training.launch import Job
from models.training.meeting import Meeting
from models.training.run_folder import RunFolder
from pipeline.cli.train import _table

RECIPE = """
[data]
set = "nmnist"
validation = 0.25
test = 0.25

[[input.stage]]
use = "time_bin"
window_us = 50000
size = [34, 34]

[network]
name = "mnist_dvs"
[network.options]
steps = 4
size = [34, 34]

[training]
epochs = 2
batch = 4

[card]
data = "a few simulated digits"
licence = "Apache-2.0"

[variant.spike.network.options]
mode = "spike"
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Write a recipe, and a data set beside it."""
    write_digits(tmp_path / "data" / "nmnist")
    path = tmp_path / "digits.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys, monkeypatch)


def test_from_a_recipe_to_weights(command_line: CommandLine, recipe: Path, tmp_path: Path) -> None:
    options = ("--variant", "spike", "--set", "training.batch=8", "--seed", 3, "--processes", 1)
    ended = command_line("train", recipe, *options)
    assert ended.code == 0, ended.err
    card = read_card(tmp_path / "out" / "digits_spike.safetensors")
    assert card.options["mode"] == "spike"
    assert card.accuracy.startswith("test: ")
    assert card.accuracy in ended.err.replace("\n", " ")
    assert "rows: shown, columns: predicted" in ended.err
    first, *lines = ended.err.splitlines()
    assert first == (
        f"{recipe}, variant spike: trains mnist_dvs on the set nmnist; weights go to"
        " out/digits_spike.safetensors, the run is kept in out/digits_spike"
    )
    assert lines[:2] == ["reading nmnist: 40", "examples: 20 to train, 10 to validate, 10 to test"]
    assert "training: 2 epochs of 2 steps, 8 examples each" in lines
    report = tmp_path / "out" / "digits_spike" / "report"
    summary = json.loads((report / "summary.json").read_text())
    asked = summary["recipe"]["training"]
    assert (asked["batch"], asked["seed"], asked["epochs"]) == (8, 3, 2)
    parts = json.loads((report / "parts.json").read_text())["parts"]
    assert [len(parts[part]) for part in ("train", "validation", "test")] == [20, 10, 10]


def test_ctrl_c_saves_and_the_same_command_goes_on(
    command_line: CommandLine, recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write = RunFolder.write_metrics

    def interrupted(folder: RunFolder, epochs: Any) -> None:
        write(folder, epochs)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_metrics", interrupted)
        ended = command_line("train", recipe, "--processes", 1)
    assert ended.code == 130
    assert "stopping after this step" in ended.err
    assert "training was stopped after 5 of 10 steps, saved in out/digits; the same" in ended.err
    assert signal.getsignal(signal.SIGINT) == before
    assert not (tmp_path / "out" / "digits.safetensors").exists()

    ended = command_line("train", recipe, "--processes", 1)
    assert ended.code == 0, ended.err
    assert "going on after step 5 of 10 (out/digits)" in ended.err
    assert "epoch 1/2" not in ended.err
    assert "epoch 2/2" in ended.err


def test_a_finished_run_is_left_alone(
    command_line: CommandLine, recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def begin(*_: Any, **__: Any) -> None:
        raise ModelError("training begins")

    command = ("train", recipe, "--processes", 1, "--set", "training.epochs=1")
    weights = tmp_path / "out" / "digits.safetensors"
    assert command_line(*command).code == 0
    monkeypatch.setattr(trainer, "train", begin)
    ended = command_line(*command)
    accuracy = read_card(weights).accuracy
    said = f"finished already: out/digits.safetensors ({accuracy}); --fresh trains again"
    assert (ended.code, ended.err.splitlines()[-1]) == (0, said)
    for other in (["--fresh"], ["--resume"], ["--seed", 3], ["--set", "augment.shift_px=1"]):
        assert "training begins" in command_line(*command, *other).err
    weights.unlink()
    assert "training begins" in command_line(*command).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variant", "spke"], "there is no [variant.spke]; did you mean 'spike'"),
        (["--set", "epochs=3"], "--set epochs=3: must be TABLE.KEY=VALUE"),
        (["--set", "training.epoch=3"], "training.epoch: unknown key; did you mean 'epochs'?"),
        (["--set", "network.name=mnist"], "unknown network 'mnist'; did you mean 'mnist_dvs'"),
        (
            ["--set", "network.start_from=none.st"],
            "digits.toml: network.start_from: {here}/none.st: there is no such file",
        ),
        (
            ["--set", "network.options.size=[7, 7]"],
            "digits.toml: network.options: mnist_dvs: size must be at least [8, 8]",
        ),
        (
            ["--set", "network.options.size=[20, 20]"],
            "digits.toml: network.options.size: mnist_dvs takes frames of (2, 20, 20), but"
            " input.stage gives (2, 34, 34)",
        ),
        (["--set", "data.set=nmnst"], "digits.toml: data.set: no data set is called 'nmnst'"),
        (
            ["--devices", "3"],
            "digits.toml: training.batch: 4 examples cannot be dealt out evenly to 3 processes;"
            " take 3 or 6, or another number of processes",
        ),
        (["--nodes", "2"], "--nodes and --address go together: --nodes 2 --node-rank 0 --address"),
        (
            ["--nodes", "2", "--node-rank", "2", "--address", "a:1"],
            "--node-rank 2: must be 0 to 1, one below --nodes 2 at most",
        ),
        (
            ["--nodes", "2", "--address", "10.0.0.1"],
            "--address 10.0.0.1: must be HOST:PORT, as 192.168.1.5:29500",
        ),
        (["--out", "weights"], "weights: a weights file must have an ending"),
    ],
)
def test_a_mistake_is_told_before_data_are_made(
    arguments: list[str], message: str, command_line: CommandLine, recipe: Path, tmp_path: Path
) -> None:
    ended = command_line("train", recipe, *arguments)
    assert ended.code == 2
    assert message.format(here=tmp_path) in ended.err
    assert "bug" not in ended.err
    assert not list(tmp_path.glob("data/cache/*.h5"))


@pytest.mark.parametrize(
    ("classes", "stages", "message"),
    [
        (9, "", "digits.toml: network.options.classes: must be 10, the data's, got 9"),
        (
            10,
            '[{use = "time_bin", window_us = 50000, size = [40, 34]}]',
            "digits.toml: input.stage.0.size: height must be <= 34, the sensor's, got 40",
        ),
    ],
)
def test_what_only_the_data_tell_is_a_mistake_in_the_recipe_too(
    classes: int, stages: str, message: str, command_line: CommandLine, recipe: Path
) -> None:
    changes = ["--set", f"network.options.classes={classes}"]
    if stages:
        changes += ["--set", f"input.stage={stages}", "--set", "network.options.size=[40, 34]"]
    ended = command_line("train", recipe, "--processes", 1, *changes)
    assert ended.code == 2
    assert message in ended.err


def test_several_processes_are_started(
    command_line: CommandLine, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How they train is in tests/models/training/test_together.py."""

    def launch(job: Job, meeting: Meeting, processes: int, stop: Any) -> None:
        raise ModelError(f"{processes} of {job.threads} threads, {job.out}, {len(job.train)}")

    monkeypatch.setattr("models.training.team.launch", launch)
    ended = command_line("train", recipe, "--processes", 7, "--devices", 2)
    assert (ended.code, ended.err.splitlines()[-1]) == (
        2,
        "error: 2 of 3 threads, out/digits.safetensors, 20",
    )


def test_who_was_started_by_torchrun_starts_none(
    command_line: CommandLine, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    ended = command_line("train", recipe, "--devices", 2)
    assert ended.code == 2
    assert "started as one of 2 by torchrun or srun; leave out --devices" in ended.err


def test_of_many_classes_what_was_mistaken_is_told() -> None:
    classes = [f"class {k}" for k in range(20)]
    confusion = np.diag(np.full(20, 5))
    confusion[3, 7] = 2
    screen = Console(width=80, file=io.StringIO())
    screen.print(_table(confusion, classes))
    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    (third,) = (line for line in lines if line.strip().startswith("class 3 "))
    assert third.split() == ["class", "3", "5", "of", "7", "class", "7", "(2)"]
    (fourth,) = (line for line in lines if line.strip().startswith("class 4 "))
    assert fourth.split() == ["class", "4", "5", "of", "5", "·"]
