"""What the project ships tells the truth, and its default pipeline runs."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import models
from models.simulation import GESTURES

REPOSITORY = Path(__file__).parents[1]
RECORDING = REPOSITORY / "recordings" / "gestures_simulated.aedat4"
WEIGHTS = REPOSITORY / "models" / "weights" / "dvs_gesture.safetensors"
LIMIT_BYTES = 5_000_000


def test_the_default_pipeline_is_mostly_right(tmp_path: Path) -> None:
    out = tmp_path / "predictions.jsonl"
    command = [sys.executable, "-m", "pipeline.cli", "run", "pipeline.toml"]
    run = subprocess.run(
        [*command, "--set", f"file.path={out}"],
        cwd=REPOSITORY,
        env=os.environ | {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    verdict = re.search(r"── (\d+) of (\d+) predictions right", run.stdout)
    assert verdict is not None
    right, judged = (int(count) for count in verdict.groups())
    assert judged > 50
    assert right / judged > 0.7
    assert len(out.read_text().splitlines()) == run.stdout.count(" s  ")


@pytest.mark.parametrize("path", [RECORDING, WEIGHTS], ids=lambda path: path.name)
def test_what_is_shipped_is_small(path: Path) -> None:
    assert path.stat().st_size < LIMIT_BYTES


def test_everything_says_simulated() -> None:
    card = models.read_card(WEIGHTS)
    assert "simulated" in card.data
    assert card.classes == GESTURES
    assert "never seen" in card.accuracy
    assert b"simulated" in RECORDING.read_bytes()[:4096]
    assert "simulated" in (REPOSITORY / "recordings" / "README.md").read_text()


def test_recordings_are_those_that_their_readme_describes() -> None:
    text = (REPOSITORY / "recordings" / "README.md").read_text()
    hashes = dict(re.findall(r"^\| `([\w.]+)` .*`([0-9a-f]{64})` \|$", text, re.MULTILINE))
    samples = dict(re.findall(r"^\| `([\w.]+)` \| `(\w+)` \|", text, re.MULTILINE))
    there = {path.name for path in RECORDING.parent.iterdir()} - {"README.md"}
    assert there == hashes.keys() | samples.keys()
    for name, described in hashes.items():
        assert hashlib.sha256((RECORDING.parent / name).read_bytes()).hexdigest() == described
    assert all("simulated" in name for name in there)
    pipelines = {path.stem for path in (REPOSITORY / "models" / "pipelines").glob("*.toml")}
    assert {*samples.values(), "dvs_gesture"} == pipelines


def test_check_is_machine_readable() -> None:
    check = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "check", "pipeline.toml", "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    graph = msgspec.json.decode(check.stdout)
    assert [stage["use"] for stage in graph["stages"]] == [
        "replay",
        "time_bin",
        "snn",
        "aggregate",
        "console",
        "jsonl",
    ]
    assert graph["stages"][1]["gives"] == "frames (n, 2, 40, 40) of 25 ms"
