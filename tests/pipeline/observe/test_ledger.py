"""The ledger: every law that a run may break is broken once, and named."""

from io import StringIO
from typing import Any

import msgspec
import pytest
from rich.console import Console

from pipeline.errors import LedgerError
from pipeline.observe.latency import Latency
from pipeline.observe.ledger import (
    check_ledger,
    ledger_table,
    overload_line,
    queue_table,
    remark_lines,
    silence_lines,
    timing_lines,
)
from pipeline.queue.overload import Overload
from pipeline.report import Pace, QueueCount, StageReport
from pipeline.stage import Account


def report(name: str, account: Account | None, **fields: Any) -> StageReport:
    none: dict[str, Any] = {"received": [], "sent": []}
    return StageReport(name=name, account=account, busy_s=0.1, wall_s=1.0, **none | fields)


def balanced() -> list[StageReport]:
    camera = Account(taken=12, used=10, made=10, unit_in="events", unit_out="events")
    camera = msgspec.structs.replace(camera, refused={"damaged": 2, "none of these": 0})
    bins = Account(
        taken=10,
        used=9,
        made=3,
        unit_in="events",
        unit_out="windows",
        refused={"late": 1},
        due=3,
        notes={"counts cut": 4},
    )
    queue = QueueCount("camera→bins", messages=4, units=10)
    return [report("camera", camera, sent=[queue]), report("bins", bins, received=[queue])]


def alter(reports: list[StageReport], which: int, **fields: Any) -> None:
    reports[which] = msgspec.structs.replace(reports[which], **fields)


def alter_account(reports: list[StageReport], which: int, **fields: Any) -> None:
    account = reports[which].account
    assert account is not None
    alter(reports, which, account=msgspec.structs.replace(account, **fields))


def problems(reports: list[StageReport]) -> list[str]:
    with pytest.raises(LedgerError) as caught:
        check_ledger(reports)
    assert str(caught.value).startswith("the ledger does not balance: ")
    return str(caught.value).removeprefix("the ledger does not balance: ").split("; ")


def test_a_balanced_ledger_passes() -> None:
    check_ledger(balanced())


def test_a_stage_without_a_recording_passes() -> None:
    check_ledger([report("idle", None, received=[])])


def test_what_was_taken_was_used_or_refused() -> None:
    reports = balanced()
    alter_account(reports, 1, used=8)
    assert problems(reports) == ["stage 'bins' took 10 events, used 8 and refused 1"]


def test_what_a_side_output_carries_was_refused_by_its_name() -> None:
    reports = balanced()
    late = QueueCount("bins.late→file", messages=4, units=1, output="late")
    alter(reports, 1, sent=[late])
    written = Account.one_to_one(1, "events", "events")
    reports.append(report("file", written, received=[QueueCount("bins.late→file", 4, 1)]))
    check_ledger(reports)
    alter_account(reports, 1, refused={"late": 0, "outside": 1})
    assert problems(reports) == [
        "stage 'bins' refused 0 events as late, 1 were put into bins.late→file"
    ]


def test_what_was_due_was_made() -> None:
    reports = balanced()
    alter_account(reports, 1, made=2)
    assert problems(reports) == ["stage 'bins' made 2 windows, due were 3"]


def test_what_arrived_was_taken() -> None:
    reports = balanced()
    alter_account(reports, 1, taken=9, used=8)
    assert problems(reports) == ["stage 'bins' accounts for 9 events, 10 arrived in its queues"]


def test_a_stage_that_accounts_for_nothing_got_nothing() -> None:
    reports = balanced()
    alter(reports, 1, account=None)
    assert problems(reports) == ["stage 'bins' accounts for nothing, 10 units arrived"]


@pytest.mark.parametrize(("messages", "units"), [(3, 10), (4, 9)])
def test_what_was_sent_was_received(messages: int, units: int) -> None:
    reports = balanced()
    alter(reports, 1, received=[QueueCount("camera→bins", messages, units)])
    assert problems(reports)[-1] == (
        f"queue camera→bins: 4 messages with 10 units were sent, {messages} with {units} received"
    )


def test_both_ends_of_a_queue_have_reported() -> None:
    camera, bins = balanced()
    assert problems([camera]) == [
        "queue camera→bins: 4 messages with 10 units were sent, 0 with 0 received"
    ]
    assert problems([bins]) == ["queue camera→bins: its sender has not reported"]


def test_all_problems_are_told_at_once() -> None:
    reports = balanced()
    alter_account(reports, 0, used=1)
    alter_account(reports, 1, made=2, used=1)
    assert len(problems(reports)) == 3


def test_the_table_shows_each_stage_and_why_it_refused() -> None:
    console = Console(width=120, record=True, file=StringIO())
    console.print(ledger_table([*balanced(), report("idle", None)]))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "camera 12 events 10 2 damaged 10 events" in lines
    assert "bins 10 events 9 1 late (counts cut: 4) 3 windows 3" in lines
    assert "idle nothing" in lines


def drawn(width: int, windows: int = 1684) -> list[str]:
    """The ledger of much, at a width."""
    taken = Account(windows, windows, 163, "windows", "predictions", due=163)
    used = Account(163, 159, 159, "predictions", "lines", {"in no prediction": 4}, due=159)
    console = Console(width=width, record=True, file=StringIO())
    console.print(ledger_table([report("decision", taken), report("file", used)], width))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_in_a_terminal_of_80_columns_only_reasons_go_on_in_the_next_line() -> None:
    lines = drawn(80)
    assert any(line.endswith("163 predictions   163") for line in lines), lines
    (file,) = (n for n, line in enumerate(lines) if line.startswith(" file"))
    assert "163 predictions" in lines[file]
    assert lines[file + 1].split() == ["prediction"]
    assert max(map(len, lines)) <= 80


def test_in_a_narrow_one_what_follows_from_the_rest_is_left_out() -> None:
    lines = drawn(60)
    (head,) = (line for line in lines if line.startswith(" stage"))
    assert head.split() == ["stage", "in", "refused", "out"]
    assert any("1,684 windows" in line and "163 predictions" in line for line in lines)
    words = " ".join(drawn(50, windows=12_345_678)).split()
    assert {"12,345,678", "windows", "predictions"} <= {*words}


def test_timing_is_told_where_there_is_any() -> None:
    camera, bins = balanced()
    alter(reports := [camera, bins], 0, pace=Pace(2.0, 10.0, 5.005, 1.25))
    alter(reports, 1, latency=Latency(3, 1.0, 2.0, 2.54, "event"))
    assert timing_lines(reports) == [
        "camera: 10.000 s of events at speed 2 took 5.005 s (drift 0.100%, at most 1.2 ms late)",
        "bins: latency from a window's last event to its prediction: p50 1.0 ms, p99 2.0 ms,"
        " max 2.5 ms",
    ]
    alter(reports, 1, latency=Latency(3, 1.0, 2.0, 2.54, "arrival"))
    (_, line) = timing_lines(reports)
    assert line.startswith("bins: latency from a window's last events coming in to its prediction")
    assert timing_lines(balanced()) == []


def test_what_made_nothing_is_said() -> None:
    nothing = Account(4, 0, 0, "outputs", "predictions", {"in no prediction": 4}, due=0)
    some = Account(4, 4, 4, "windows", "outputs")
    silent = Account(0, 0, 0, "events", "events")
    assert silence_lines([report("a", some), report("b", nothing), report("c", silent)]) == [
        "b: made no predictions of 4 outputs: 4 in no prediction",
        "c: there was no event to send",
    ]


def test_what_a_stage_remarks_is_told_with_its_name() -> None:
    reports = balanced()
    alter(reports, 1, remarks=["3 of 4 windows are empty", "the last one is cut"])
    assert remark_lines(reports) == [
        "bins: 3 of 4 windows are empty",
        "bins: the last one is cut",
    ]


def shedding(received: dict[str, int]) -> list[StageReport]:
    """A queue of 30 units that lost 20, as its sender says; the receiver was told otherwise."""
    reports = balanced()
    sent = QueueCount("camera→bins", 9, 30, lost_messages=5, lost={"dropped": 14, "thinned": 6})
    got = QueueCount("camera→bins", 9, 30, lost_messages=5, lost=received)
    alter(reports, 0, sent=[sent])
    alter(reports, 1, received=[got])
    return reports


def test_what_a_queue_lost_must_be_known_at_both_ends() -> None:
    check_ledger(shedding({"dropped": 14, "thinned": 6}))
    assert problems(shedding({"dropped": 20})) == [
        "queue camera→bins: its sender gave up {'dropped': 14, 'thinned': 6}, its receiver was"
        " told of {'dropped': 20}"
    ]
    assert problems(shedding({})) == [
        "stage 'bins' accounts for 10 events, 30 arrived in its queues",
        "queue camera→bins: its sender gave up {'dropped': 14, 'thinned': 6}, its receiver was"
        " told of nothing",
    ]


def test_queues_that_lost_something_have_a_table_of_their_own() -> None:
    assert queue_table(balanced()) is None
    console = Console(width=120, record=True, file=StringIO())
    console.print(queue_table(shedding({"dropped": 14, "thinned": 6})))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "queue in out dropped thinned merged on its way" in lines
    assert "camera→bins 30 10 14 6 0 0" in lines


def test_overload_is_summed_up_in_a_line() -> None:
    assert overload_line(Overload()) == ""
    assert overload_line(Overload(5, 3, 12.34, recovered=False)) == (
        "overload: shed for 12.3 s, at most as step 5 of 6: windows that wait are merged, up to 4"
        " into one; not recovered before the end"
    )
