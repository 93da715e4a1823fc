"""What is drawn: the whole screen as text, and that it fits whatever the terminal."""

import re

import pytest
import watched_run as run
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from pipeline.observe.dashboard.panels import bar, count, duration, printable
from pipeline.observe.dashboard.render import KEYS, render, summary
from pipeline.observe.dashboard.view import View
from pipeline.report import QueueCount

SMALL = """\
 gestures · running · 0:11                                      gestures.aedat4
 90k events/s  speed 1  p50 6.31 p99 13.7 ms  checkpoint 12 (1.2 s old)
                          hand clapping  for 2.0 s
                          a hand clapping   █████████████████████▊          0.75
       ░▒▒▒▒▒▒▓▒░         b right hand wave ██▉                             0.10
     ░▓▒        ░▓░       c left hand wave  ██▉                             0.10
    ░▓            ▓▒      d arm roll        ██▉                             0.10
    █              █      e air guitar      ██▉                             0.10
    ▓              ▓
    ░▓            ▓▒      aaaaaaaaaaccccccaaaaaaaa
     ░▓▒        ░▓░
       ░▒▒▒▒▒▒▒▒░         layer      conv1 conv2 conv3 fc1   fc2
                          firing      5.0% 10.0% 15.0% 20.0% 25.0%
                          membrane    0.00 -0.10 -0.20 -0.30 -0.40

 stage                 busy    in/s   out/s  queue        blocked refused
 camera         ▋       10%             90k
 bins           █▎      20%     90k      40         0/8
 network        █▊      30%      40      40  ▊      1/8
 decision       ██▍     40%      40       4  ██▎    3/8                 3
 screen         ███     50%       4                 0/8
 file           ███▋    60%       4          ██████ 8/8

 space pause  s step  + - speed  r reset  i image"""


def screen(view: View, columns: int, rows: int, colour: bool = False) -> list[str]:
    return [line.plain.rstrip() for line in render(view, columns, rows, colour, f" {KEYS}")]


def test_a_terminal_of_80_by_24_without_colours() -> None:
    assert screen(run.view(), 80, 24) == SMALL.splitlines()


def test_with_colours_the_same_is_told() -> None:
    with_colours, without = (screen(run.view(), 80, 24, colour) for colour in (True, False))
    picture = re.compile("^[░▒▓█▀▄ ]{1,25}")
    assert [picture.sub("", line) for line in with_colours] == [
        picture.sub("", line) for line in without
    ]


def test_a_large_terminal_shows_what_came_before_and_a_line_a_layer() -> None:
    text = "\n".join(screen(run.view(), 160, 50))
    assert "2.5 s    1.5 s  left hand wave" in text
    assert "fc1    ████" in text
    assert "in no prediction" in text
    assert "events/s    █" in text


@settings(deadline=None)
@given(columns=st.integers(20, 250), rows=st.integers(3, 90), colour=st.booleans())
def test_it_fits_every_terminal(columns: int, rows: int, colour: bool) -> None:
    lines = screen(run.view(), columns, rows, colour)
    assert len(lines) == rows
    assert all(cell_len(line) <= columns for line in lines)
    assert "gestures" in lines[0]
    assert lines[-1].startswith(" space")


@pytest.mark.parametrize("view", [View(), run.view()], ids=["nothing yet", "all"])
def test_it_is_drawn_from_the_beginning(view: View) -> None:
    assert len(render(view, 80, 24, True)) == 24


def test_where_stages_are_too_many_the_busiest_are_shown() -> None:
    status = run.status(11.0)
    many = [s for n in range(9) for s in status.stages if s.name == "camera" or n == 0]
    view = run.view()
    view.take(run.status(11.5, stages=many))
    lines = screen(view, 80, 20)
    assert sum("camera" in line for line in lines) < 9
    assert any("file " in line for line in lines)


def test_what_overload_took_is_counted_with_what_was_refused() -> None:
    view, status = run.view(), run.status(11.5)
    (queue,) = status.stages[1].received
    lossy = QueueCount(queue.name, 1, queue.units, lost={"thinned": 1234})
    stages = [s if s.name != "bins" else replace(s, received=[lossy]) for s in status.stages]
    view.take(run.status(11.5, stages=stages))
    (line,) = (line for line in screen(view, 120, 30) if line.startswith(" bins"))
    assert line.endswith("1.23k  thinned")


def test_restarts_and_their_cause_are_told() -> None:
    view = run.view()
    view.take(run.status(11.5, restarts=2, last_cause="stage 'bins': its process was killed"))
    lines = screen(view, 100, 24)
    assert "2 restarts" in lines[1]
    assert lines[-2] == " restarted: stage 'bins': its process was killed"


def test_nothing_that_a_terminal_obeys_comes_through() -> None:
    view = run.view()
    view.take(run.status(11.5, name="a\x1b[2Jb", last_cause="\x1b]0;x\x07"))
    view.notice = "\x1b[31m"
    assert "\x1b" not in "".join(screen(view, 80, 24)) + summary(view) + printable("\x1b\n\r")


def test_one_line_says_it_all_where_there_is_no_terminal() -> None:
    assert summary(run.view()) == (
        "gestures running 0:11, 90k events/s, hand clapping 0.75 for 2.0 s, p50 6.31 p99 13.7 ms,"
        " checkpoint 12 (1.2 s old), decision→file full"
    )
    assert summary(View()) == "waiting for the run"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9.876, "9.88"), (123.4, "123"), (999.9, "1k"), (12_345, "12.3k"), (5e6, "5M")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert count(value) == text


def test_times_and_bars() -> None:
    assert [duration(s) for s in (0, 61.9, 3600)] == ["0:00", "1:01", "1:00:00"]
    assert [bar(share, 2) for share in (0, 0.5, 0.56, 1, 7)] == ["  ", "█ ", "█▏", "██", "██"]
    assert bar(float("nan"), 2) == "  "
