"""The log as JSON: what becomes of a line, and that nothing else is on standard error."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.observe.log import line

AT = datetime(2026, 3, 1, 12, 30, 5, 250_000, UTC)


@pytest.mark.parametrize(
    ("text", "level", "stage", "rest"),
    [
        ("going on from 12.checkpoint", "info", None, "going on from 12.checkpoint"),
        ("cam: unplugged; waiting for it", "info", "cam", "unplugged; waiting for it"),
        ("error: stage 'cam': full disk", "error", "cam", "full disk"),
        ("warning: queue a→b: refused: why", "warning", None, "queue a→b: refused: why"),
        ("camera: unknown", "info", None, "camera: unknown"),
        ("error:", "info", None, "error:"),
    ],
)
def test_a_line_tells_its_level_and_of_whom_it_speaks(
    text: str, level: str, stage: str | None, rest: str
) -> None:
    told = line(text, ["cam", "bins"], AT)
    assert told["time"] == "2026-03-01T12:30:05.250+00:00"
    assert (told["level"], told.get("stage"), told["text"]) == (level, stage, rest)


def test_what_a_process_and_its_children_write_becomes_json() -> None:
    program = """
import subprocess, sys
from pipeline.observe.log import JsonLog
from pipeline.observe.status import RunStatus, StageStatus
log = JsonLog()
log.stages = ["cam"]
stages = [StageStatus("cam", 0, 0, event_us=7)]
log.watch(RunStatus("r-1", "r", "r.toml", 0, "running", stages))
subprocess.run([sys.executable, "-c", "import sys; print('cam: from a child', file=sys.stderr)"])
log.say("ledger", {"outcome": [1, 2]})
print("error: last words", end="", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=200)
    assert done.returncode == 0
    assert done.stdout == b""
    told = sorted((json.loads(each) for each in done.stderr.splitlines()), key=lambda t: t["text"])
    assert all(datetime.fromisoformat(each.pop("time")).tzinfo for each in told)
    assert told == [
        {"level": "info", "text": "from a child", "stage": "cam", "run": "r-1", "event_us": 7},
        {"level": "error", "text": "last words", "run": "r-1"},
        {"level": "info", "text": "ledger", "run": "r-1", "outcome": [1, 2]},
    ]


GRAPH = """
[[stage]]
name = "camera"
use = "worker_stages:Noise"
events = 400
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
"""


def logged(folder: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code of a run in a process of its own, and its lines, each of which must be JSON."""
    (folder / "p.toml").write_text(GRAPH)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "support")}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", "p.toml", "--log", "json", *arguments],
        capture_output=True,
        cwd=folder,
        env=environment,
        timeout=200,
    )
    return done.returncode, [json.loads(each) for each in done.stderr.splitlines()]


def test_all_that_a_run_says_is_json_its_ledger_too(tmp_path: Path) -> None:
    code, told = logged(tmp_path)
    assert code == 0
    assert [each["text"] for each in told] == ["run: starting camera, tally", "ledger"]
    camera, _ = told[1]["outcome"]["reports"]
    assert camera["account"]["made"] == 400
    assert told[1]["run"].startswith("run-")


def test_errors_are_json_those_from_before_the_run_too(tmp_path: Path) -> None:
    code, told = logged(tmp_path, "--set", "tally.path=none/tally.txt")
    assert code == 1
    assert (told[-1]["level"], told[-1]["stage"]) == ("error", "tally")
    assert told[-1]["text"].endswith("none/tally.txt: No such file or directory")
    code, told = logged(tmp_path, "--set", "tally.pth=x")
    assert code == 2
    assert [each["level"] for each in told] == ["error"]
    assert told[0]["text"].endswith("unknown key; did you mean 'path'?")
