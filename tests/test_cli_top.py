"""``pipeline top`` and ``pipeline run --dashboard``: in a terminal, and where there is none."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from command_line import CommandLine
from other_hosts import Host, acquaint, free_port
from screen import Screen
from shown_run import ShownRun, status

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
        assert "watched · paused" in screen.until("space go on")
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


def test_a_run_that_waits_for_another_host_says_so_and_can_be_ended(tmp_path: Path) -> None:
    home, roof = Host(tmp_path, "home"), Host(tmp_path, "roof")
    acquaint(home, roof)
    path = graph(home.folder, 'endless = true\nhost = "roof"')
    address = f'[run]\naddress = "127.0.0.1:{free_port()}"'
    path.write_text(path.read_text().replace("[run]", address))
    settings = str(home.folder / "settings")
    command = (*PIPELINE, "run", "--dashboard", path)
    with Screen(*command, folder=home.folder, XDG_CONFIG_HOME=settings) as screen:
        screen.until("host roof: not joined")
        screen.type("q")
        end = screen.until_over()
        assert "waiting for roof; start there: pipeline run FILE --only roof" in end
        assert "stopped before it had started" in end
        assert screen.code == 130


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


DEEP = "/home/somebody/experiments/of/this/winter/with/a/long/name/pipeline.toml"


def test_several_are_listed_with_how_to_attach(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ShownRun(status, []) as first, ShownRun(status, []) as second:
        runs = [
            LiveRun(first.folder, "gestures-1", "p.toml", 4711),
            LiveRun(second.folder, "left-hand-side-2", DEEP, 12),
            LiveRun(first.folder / "gone", "x-3", "q.toml", 13),
        ]
        monkeypatch.setattr("pipeline.observe.attach.running", lambda: runs)
        code, out, err = command_line("top", terminal_columns=80)
        piped = command_line("top")
    assert code == 0
    head, *rows = out.splitlines()
    assert head.split() == ["run", "state", "started", "file"]
    now = f"{datetime.now():%Y-%m-%d}"
    assert re.fullmatch(rf"gestures-1        running  {now} ..:..:..  p.toml", rows[0])
    assert re.fullmatch(rf"left-hand-side-2  running  {now} ..:..:..  ….*pipeline.toml", rows[1])
    assert re.fullmatch(r"x-3               silent                        q.toml", rows[2])
    assert max(map(len, out.splitlines())) == 80
    assert err == "attach to one of them: pipeline top RUN, such as pipeline top gestures-1\n"
    assert DEEP in piped.out  # where a program reads it, it is whole


def test_of_several_a_program_must_name_one(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [LiveRun(Path("a"), "x-1", "p.toml", 4711), LiveRun(Path("b"), "x-2", "q", 12)]
    monkeypatch.setattr("pipeline.observe.attach.running", lambda: runs)
    code, out, err = command_line("top", "--json")
    assert (code, out) == (1, "")
    assert err == "error: 2 runs are going on; name one of x-1, x-2\n"


def test_every_status_is_json(going: "subprocess.Popen[bytes]") -> None:
    command = [sys.executable, *PIPELINE, "top", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["name"] == "watched"
        watching.terminate()
