"""The terminal: taken and given back, on every path; keys; only what has changed is drawn."""

import os
import signal
from pathlib import Path

import pytest
from rich.text import Text
from screen import Screen

from pipeline.observe.dashboard.terminal import Terminal, is_screen

ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
PROGRAM = """
import os, sys
from rich.text import Text
from pipeline.observe.dashboard.terminal import Terminal
with Terminal(1) as terminal:
    terminal.draw([Text("ready"), Text("second")])
    while True:
        for key in terminal.pressed(0.1):
            if key == "q":
                sys.exit(7)
            if key == "x":
                1 / 0
            terminal.draw([Text(f"got {key}", style="green"), Text("second")])
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_it_is_taken_and_given_back(program: Path) -> None:
    with Screen(program) as screen:
        assert ENTERED in screen.until("ready")
        assert not screen.echoes
        screen.type("q")
        assert LEFT in screen.until_codes(LEFT)
        screen.until_over()
        assert screen.code == 7


@pytest.mark.parametrize("end", ["x", "\x03", signal.SIGTERM, signal.SIGHUP])
def test_it_is_given_back_however_the_program_ends(program: Path, end: str | int) -> None:
    with Screen(program) as screen:
        screen.until("ready")
        if isinstance(end, str):
            screen.type(end)
        else:
            os.kill(screen.pid, end)
        screen.until_codes(LEFT)
        screen.until_over()
        assert screen.code not in (0, None)


def test_ctrl_z_gives_it_back_until_the_program_goes_on(program: Path) -> None:
    with Screen(program) as screen:
        screen.until("ready")
        # Nobody here could let it go on, so that the system does not let it stop at all.
        screen.type("\x1a")
        screen.until_codes(LEFT + ENTERED)
        screen.type("a")
        assert "got a" in screen.until("second")
        assert not screen.echoes


def test_all_is_drawn_again_where_it_was_stopped_amid_drawing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = os.openpty()
    with Terminal(theirs, theirs) as terminal:
        write = terminal._write

        def stopped(text: str) -> None:
            write(text)
            monkeypatch.undo()
            terminal._give_back()
            terminal._take()

        monkeypatch.setattr(terminal, "_write", stopped)
        assert terminal.draw([Text("first"), Text("second")])
        assert terminal.draw([Text("other"), Text("second")])
        drawn = b""
        while b"other" not in drawn or not drawn.endswith(b"\x1b[?2026l"):
            drawn += os.read(ours, 65_536)
    assert b"second" in drawn.partition(b"other")[2]


def test_only_lines_that_changed_are_drawn(program: Path) -> None:
    with Screen(program) as screen:
        screen.until("second")
        screen.type("a")
        drawn = screen.until("got a")
        assert "\x1b[1;1H" in drawn
        assert "second" not in drawn


def test_arrows_have_names_and_other_sequences_are_no_keys(program: Path) -> None:
    with Screen(program) as screen:
        screen.until("second")
        screen.type("\x1b[C")
        screen.until("got right")
        screen.type("\x1b[15~")
        screen.type("b")
        assert "~" not in screen.until("got")


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"COLORTERM": "truecolor"}, True)],
)
def test_colours_are_the_terminals_or_none(
    program: Path, environment: dict[str, str], coloured: bool
) -> None:
    with Screen(program, **environment) as screen:
        screen.until("second")
        screen.type("a")
        assert ("\x1b[32m" in screen.until("got a")) is coloured


def test_a_pipe_is_no_screen_nor_is_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    assert not is_screen(writes, reads)
    ours, theirs = os.openpty()
    monkeypatch.setenv("TERM", "dumb")
    assert not is_screen(theirs, theirs)
    monkeypatch.setenv("TERM", "xterm")
    # It is a terminal, but another program's: ours is in its background.
    assert not is_screen(theirs, theirs)
    for file in (reads, writes, ours, theirs):
        os.close(file)
