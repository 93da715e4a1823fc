"""The log as JSON: what becomes of a line, and that nothing else is on standard error."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from pipeline.log import line

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
from pipeline.log import JsonLog
from pipeline.status import RunStatus, StageStatus
log = JsonLog(["cam"])
stages = [StageStatus("cam", 0, 0, event_us=7)]
log.watch(RunStatus("r-1", "r", "r.toml", 0, "running", stages))
subprocess.run([sys.executable, "-c", "import sys; print('cam: from a child', file=sys.stderr)"])
log.say("ledger", {"outcome": [1, 2]})
print("error: last words", end="", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout == b""
    told = sorted((json.loads(each) for each in done.stderr.splitlines()), key=lambda t: t["text"])
    assert all(datetime.fromisoformat(each.pop("time")).tzinfo for each in told)
    assert told == [
        {"level": "info", "text": "from a child", "stage": "cam", "run": "r-1", "event_us": 7},
        {"level": "error", "text": "last words", "run": "r-1"},
        {"level": "info", "text": "ledger", "run": "r-1", "outcome": [1, 2]},
    ]
