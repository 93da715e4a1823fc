"""What is drawn: the whole screen as text, and that it fits whatever the terminal."""

import re

import pytest
import watched_run as run
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from pipeline.observe.dashboard.head import summary
from pipeline.observe.dashboard.keys import keys_now
from pipeline.observe.dashboard.panels import bar, count, duration, printable, wrapped
from pipeline.observe.dashboard.render import render
from pipeline.observe.dashboard.view import View
from pipeline.observe.status import HostStatus
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
       ░▒▒▒▒▒▒▒▒░         layer      conv1 conv2 conv3   fc1   fc2
                          firing      5.0% 10.0% 15.0% 20.0% 25.0%
                          membrane    0.00 -0.10 -0.20 -0.30 -0.40

 stage                 busy    in/s   out/s          queue blocked refused
 camera         ▋       10%             90k
 bins           █▎      20%     90k      40            0/8
 network        █▊      30%      40      40  ▊         1/8
 decision       ██▍     40%      40       4  ██▎       3/8               3
 screen         ███     50%       4                    0/8
 file           ███▋    60%       4          ██████    8/8

 space pause  s step  + - speed  r reset  q stop"""


def screen(view: View, columns: int, rows: int, colour: bool = False) -> list[str]:
    keys = keys_now(view, stops=True)
    return [line.plain.rstrip() for line in render(view, columns, rows, colour, keys)]


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
    assert "fc1     20.0%    -0.300  ████████\n" in text
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


def test_where_stages_are_too_many_the_busiest_are_shown_and_the_others_counted() -> None:
    view = run.view()
    cameras = [replace(run.status(11.5).stages[0], name=f"camera{n}") for n in range(9)]
    view.take(run.status(11.5, stages=[*cameras, *run.status(11.5).stages[1:]]))
    lines = screen(view, 80, 20)
    shown = [line.split()[0] for line in lines[-8:-2]]
    assert shown[1:] == ["bins", "network", "decision", "screen", "file"]
    assert lines[10] == " +8 stages, layers: make the terminal taller"


def test_what_has_no_room_in_a_small_terminal_is_named() -> None:
    lines = screen(run.view(), 60, 16)
    assert " +2 stages, layers: make the terminal taller" in lines
    assert [line.split()[0] for line in lines[9:14]] == [
        *["stage", "network", "decision", "screen", "file"]
    ]
    assert "…" not in "".join(lines)
    assert " +6 stages, scores, time line, layers" in screen(run.view(), 60, 6)


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


CAUSE = "stage 'bins': has been busy with one message for 31.2 s (supervision.stuck_s = 30); it" * 2


def test_a_long_remark_goes_on_in_the_next_lines() -> None:
    view = run.view()
    view.take(run.status(11.5, restarts=2, last_cause=CAUSE))
    lines = screen(view, 80, 24)
    told = " ".join(line.strip() for line in lines[-4:-1])
    assert told == f"restarted: {CAUSE}"
    assert lines[-4].startswith(" restarted: ")


def test_one_that_is_too_long_ends_in_dots_behind_its_whole_beginning() -> None:
    view = run.view()
    view.notice = " ".join(f"word{n}" for n in range(99))
    lines = screen(view, 60, 16)
    told = " ".join(line.strip() for line in lines[-3:-1])
    assert told.endswith("…")
    assert view.notice.startswith(told.removesuffix("…"))
    assert len(told) > 100


@given(text=st.text(max_size=300), columns=st.integers(1, 90), most=st.integers(1, 5))
def test_wrapping_keeps_to_its_room_and_loses_no_beginning(
    text: str, columns: int, most: int
) -> None:
    lines = wrapped(text, columns, most)
    assert len(lines) <= most
    assert all(cell_len(line) <= max(columns, 2) for line in lines)
    said, told = ("".join(each.split()) for each in (printable(text), "".join(lines)))
    assert told == said or (told.endswith("…") and said.startswith(told[:-1]))


def test_other_hosts_are_told_and_those_that_have_not_joined_first() -> None:
    view = run.view()
    hosts = [
        HostStatus("edge", True, 12.3456, 0.0003),
        HostStatus("near", True, -0.0003, 0.0001),
        HostStatus("new", True),
        HostStatus("far", False),
    ]
    view.take(run.status(11.5, hosts=hosts))
    head = "  ".join(screen(view, 100, 30)[1:4])
    assert head.index("host far: not joined") < head.index("host edge: joined")
    assert "host edge: joined, clock 12.3 s behind ±0.15 ms" in head
    assert "host near: joined, clock 0.30 ms ahead ±0.05 ms" in head
    assert "host new: joined" in head
    assert "host far: not joined" in summary(view)
    assert "host edge" not in summary(view)


def test_hosts_days_apart_are_told_in_hours_and_those_without_room_are_counted() -> None:
    view = run.view()
    hosts = [HostStatus(f"n{n}", True, 90_000.0, 0.001) for n in range(9)]
    view.take(run.status(11.5, hosts=hosts))
    lines = screen(view, 80, 24)
    assert lines[2] == " host n0: joined, clock 25:00:00 behind ±0.50 ms"
    assert lines[4] == " host n2: joined, clock 25:00:00 behind ±0.50 ms  +6"


def test_the_step_of_overload_is_told_in_words() -> None:
    view = run.view()
    view.take(run.status(11.5, level=4))
    told = " overload step 4 of 6: windows that wait are merged, up to 2 into one"
    assert any(line.startswith(told) for line in screen(view, 80, 24)[1:4])
    assert "overload step 4 of 6" in summary(view)


def test_of_hosts_and_overload_nothing_is_said_where_there_is_none() -> None:
    said = "\n".join([*screen(run.view(), 160, 50), summary(run.view())])
    assert "host" not in said
    assert "overload" not in said


def test_when_it_is_over_the_table_tells_what_there_was_in_all() -> None:
    view = run.view()
    busy = [line.split()[1:3] for line in screen(view, 80, 24) if line.startswith(" bins")]
    stages = [replace(stage, over=True) for stage in run.status(13.0).stages]
    view.take(run.status(13.0, state="over", stages=stages))
    (head,) = (line for line in screen(view, 80, 24) if line.startswith(" stage"))
    (bins,) = (line for line in screen(view, 80, 24) if line.startswith(" bins"))
    assert head.split() == ["stage", "busy", "in", "out", "queue", "blocked", "lost"]
    assert bins.split()[3:5] == ["1.17M", "520"]
    assert [bins.split()[1:3]] == busy  # as it was while it played


def test_a_stage_that_is_over_before_the_run_says_so() -> None:
    view, status = run.view(), run.status(11.5)
    view.take(run.status(11.5, stages=[replace(status.stages[0], over=True), *status.stages[1:]]))
    (camera,) = (line for line in screen(view, 60, 24) if line.startswith(" camera"))
    assert camera.endswith(" over")


def test_a_long_name_is_cut_where_one_sees_it() -> None:
    view, status = run.view(), run.status(11.5)
    stages = [replace(status.stages[0], name="camera-of-the-left-hand-side"), *status.stages[1:]]
    view.take(run.status(11.5, stages=stages))
    assert any(line.startswith(" camera-of-t… ") for line in screen(view, 60, 24))
    assert any(line.startswith(" camera-of-the-left-ha") for line in screen(view, 100, 24))


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
