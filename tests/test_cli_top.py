"""``pipeline top`` and ``pipeline run --dashboard``: in a terminal, and where there is none."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine
from screen import Screen

from pipeline.observe.attach import LiveRun, running

SUPPORT = Path(__file__).parent / "support"
PIPELINE = ("-P", "-m", "pipeline.cli")
GRAPH = """
[run]
name = "watched"
[[stage]]
name = "camera"
use = "worker_stages:Noise"
{camera}
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
"""


@pytest.fixture(autouse=True)
def own_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def graph(folder: Path, camera: str) -> Path:
    path = folder / "p.toml"
    path.write_text(GRAPH.format(camera=camera))
    return path


def test_a_run_is_shown_steered_and_ended_from_the_keyboard(tmp_path: Path) -> None:
    path = graph(tmp_path, "endless = true")
    with Screen(*PIPELINE, "run", "--dashboard", path, folder=tmp_path) as screen:
        screen.until("watched · running")
        screen.type(" ")
        screen.until("watched · paused")
        screen.type("+")
        screen.until("the source has no speed to change")
        screen.type("q")
        end = screen.until_over()
        assert screen.code == 130
        after = end.partition("\x1b[?1049l")[2]
        assert "watched: starting camera, tally" not in after
        assert "watched · over" in after
        assert "ledger" in after
        assert "stopped; everything sent until then was worked on" in after


@pytest.fixture
def going(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Return a run that has begun, and goes on."""
    path = graph(tmp_path, "endless = true")
    run = subprocess.Popen([sys.executable, *PIPELINE, "run", str(path)], stderr=subprocess.DEVNULL)
    over = threading.Event()
    while not running():
        assert run.poll() is None
        over.wait(0.02)
    yield run
    run.terminate()
    run.wait()


def test_a_run_that_goes_on_is_watched_and_left(going: "subprocess.Popen[bytes]") -> None:
    with Screen(*PIPELINE, "top", columns=120, rows=40, NO_COLOR="1") as screen:
        screen.until("tally")
        screen.type("q")
        screen.until_over()
        assert screen.code == 0
    assert going.poll() is None


def test_without_a_terminal_there_are_lines(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, *PIPELINE, "run", "--dashboard", str(graph(tmp_path, "events = 1000"))],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"TERM": "xterm"},
    )
    assert done.returncode == 0, done.stderr
    assert "watched over" in done.stderr
    assert "\x1b" not in done.stderr


def test_there_must_be_a_run(command_line: CommandLine) -> None:
    code, out, err = command_line("top")
    assert (code, out) == (1, "")
    assert err == "error: no run is going on; start one with `pipeline run FILE`\n"


def test_several_are_listed(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [LiveRun(Path("a"), "gestures-1", "p.toml", 4711), LiveRun(Path("b"), "x-2", "q", 12)]
    monkeypatch.setattr("pipeline.observe.attach.running", lambda: runs)
    code, out, _ = command_line("top")
    assert code == 0
    assert out == "gestures-1\tp.toml\tprocess 4711\nx-2\tq\tprocess 12\n"


def test_every_status_is_json(going: "subprocess.Popen[bytes]") -> None:
    command = [sys.executable, *PIPELINE, "top", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["name"] == "watched"
        watching.terminate()
