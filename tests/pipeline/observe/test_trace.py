"""Traces: what is gathered, that it is bounded, and that the file is what viewers read."""

import json
from pathlib import Path
from typing import Any

import pytest
from shown_run import status

import pipeline.observe.trace
from pipeline.errors import PipelineError
from pipeline.observe.trace import Trace, TracedPulse
from pipeline.run.control import Traced


class Queue:
    """The end of a queue, as far as a pulse looks at it."""

    blocked_ns = 0


def events(path: Path) -> list[dict[str, Any]]:
    """The events of a trace file, each held to what the format asks of its kind."""
    told = json.loads(path.read_text())
    assert set(told) == {"displayTimeUnit", "traceEvents", "otherData"}
    for event in told["traceEvents"]:
        assert {"name", "ph", "pid", "tid"} <= event.keys()
        asked = {"M": {"args"}, "X": {"ts", "dur"}, "i": {"ts", "s"}, "C": {"ts", "args"}}
        assert asked[event["ph"]] <= event.keys()
        assert event.get("dur", 1) > 0
    return told["traceEvents"]


def test_a_pulse_gathers_steps_waits_and_marks() -> None:
    pulse, queue = TracedPulse(), Queue()
    pulse.watch((), [queue])  # type: ignore[list-item]
    pulse.begin(1_000)
    pulse.event_us = 25
    pulse.end(5_000)
    queue.blocked_ns += 2_000
    pulse.begin(9_000)
    pulse.end(9_500)
    spans = pulse.traced("bins").spans
    assert spans == [
        ("step", 1_000, 5_000, 25),
        ("blocked", 7_000, 8_999, 25),
        ("step", 9_000, 9_500, 25),
    ]
    assert pulse.worked_ns == 4_500, "it is a pulse like any other"
    pulse.mark(3)
    ((what, begin_ns, end_ns, _),) = pulse.traced("bins").spans
    assert (what, begin_ns) == ("checkpoint 3", end_ns)
    assert pulse.traced("bins") == Traced("bins", [], 0)


def test_a_pulse_that_is_not_asked_keeps_no_more_than_a_few_thousand() -> None:
    pulse = TracedPulse()
    for n in range(5_000):
        pulse.begin(n)
        pulse.end(n + 1)
    traced = pulse.traced("bins")
    assert (len(traced.spans), traced.left_out) == (4096, 904)


def test_the_file_has_a_track_a_stage_and_a_counter_a_queue(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    with Trace(path, ["cam", "out"]) as trace:
        base = trace._begun_ns
        trace.watch(status())
        trace.watch(status(2.0))
        trace.take(Traced("out", [("step", base + 1_000, base + 4_500, 25)], 0))
        trace.take(Traced("cam", [("checkpoint 1", base, base, None)], 0))
    told = events(path)
    tracks = {e["args"]["name"]: e["tid"] for e in told if e["name"] == "thread_name"}
    assert tracks == {"run": 0, "cam": 1, "out": 2}
    (step,) = [e for e in told if e["ph"] == "X"]
    assert (step["tid"], step["ts"], step["dur"]) == (2, 1.0, 3.5)
    assert step["args"] == {"event_us": 25}
    assert [e["name"] for e in told if e["ph"] == "i"] == [
        "running",
        "restart: stage 'out': was killed",
        "checkpoint 1",
    ]
    (count,) = [e for e in told if e["ph"] == "C"]
    assert (count["name"], count["args"]) == ("queue cam->out", {"messages": 3})


def test_the_last_spans_are_kept_and_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.observe.trace, "MOST_SPANS", 10)
    path = tmp_path / "t.json"
    with Trace(path, ["cam"]) as trace:
        for n in range(4):
            trace.take(Traced("cam", [("step", k, k + 1, k) for k in range(4 * n, 4 * n + 4)], n))
        assert trace.left_out == {"cam": 6 + 6}
    steps = [event["args"]["event_us"] for event in events(path) if event["ph"] == "X"]
    assert steps == [*range(6, 16)]


def test_a_run_that_fails_leaves_its_trace(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    with pytest.raises(ZeroDivisionError), Trace(path, ["cam"]):
        _ = 1 / 0
    assert [event["ph"] for event in events(path)] == ["M"] * 5


def test_a_full_disk_takes_the_trace_and_not_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Trace(Path("/dev/full"), ["cam"]):
        pass
    assert capsys.readouterr().err == (
        "warning: /dev/full: the trace cannot be written: No space left on device\n"
    )


def test_a_file_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "none" / "t.json"
    with pytest.raises(PipelineError) as caught:
        Trace(path, ["cam"])
    assert str(caught.value) == (
        f"{path}: the trace cannot be written: No such file or directory; name another place by"
        " --trace"
    )
