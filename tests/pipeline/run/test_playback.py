"""Pause, step, resume and stop: what the source's thread does when another one says so."""

from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any

import pytest
from doubles import ListSender, ListSource, end_recording, events, kinds, start

from pipeline import clock as run_clock
from pipeline.messages import Message, Retime
from pipeline.report import Pace, StageReport
from pipeline.run.loop import drive_source
from pipeline.run.playback import Pacer, Playback


class Watched(ListSender):
    """A sender that tells, in the source's thread, when so many messages have arrived."""

    def __init__(self, tell: dict[int, Callable[[], None]] | None = None) -> None:
        super().__init__()
        self.tell = tell or {}

    def put(self, parts: tuple[bytes, memoryview], units: int, others: Sequence[Any] = ()) -> None:
        super().put(parts, units)
        self.tell.get(self.messages, lambda: None)()


def play(items: list[Message], told: Playback, sender: Watched, speed: float = 0.0) -> StageReport:
    senders: Any = [sender]
    return drive_source(ListSource(items, speed), senders, told)


ITEMS = [start(), *(events(2, t_us=10 * k) for k in range(6)), end_recording()]
MANY = [start(), *(events(2, t_us=10 * k) for k in range(2000)), end_recording()]
"""So many that a source which is not held has sent hundreds before anyone can stop it."""


def test_only_as_many_turns_leave_as_steps_were_told() -> None:
    told, third, fifth = Playback(), Event(), Event()
    sender = Watched({3: third.set, 5: fifth.set})
    told.step(3)
    thread = Thread(target=play, args=(MANY, told, sender), daemon=True)
    thread.start()
    assert third.wait(10)
    told.step(2)
    assert fifth.wait(10)
    told.stop()
    thread.join(10)
    assert kinds(sender.arrived) == ["Start", *["Events"] * 4, "EndRecording", "EndStream"]


def test_what_is_resumed_plays_to_its_end() -> None:
    told, second = Playback(), Event()
    sender = Watched({2: second.set})
    told.step(2)
    thread = Thread(target=play, args=(ITEMS, told, sender), daemon=True)
    thread.start()
    assert second.wait(10)
    assert len(sender.arrived) == 2
    told.resume()
    thread.join(10)
    assert kinds(sender.arrived) == ["Start", *["Events"] * 6, "EndRecording", "EndStream"]


class Frozen:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.now_ns = 10**9

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Frozen:
    clock = Frozen()
    monkeypatch.setattr(run_clock, "time", clock)
    return clock


def test_a_clock_goes_on_from_where_it_was_paused(clock: Frozen) -> None:
    told = Playback()
    pacer = Pacer(1.0, told)
    opened = pacer.anchor(start(t_first_us=0))
    clock.now_ns += 5_000_000
    assert pacer.wait(5_000, 0.0) == (True, False)
    told.step()
    clock.now_ns += 60 * 10**9
    assert pacer.wait(6_000, 0.0) == (True, True)
    told.resume()
    clock.now_ns += 1_000_000
    assert pacer.wait(7_000, 0.0) == (True, False)
    header = pacer.retime(opened).header
    assert isinstance(header, Retime)
    assert header.clock is not None
    assert header.clock.due_ns(7_000) == clock.now_ns
    pace = pacer.report()
    assert pace is not None
    # The minute under the pause counts as neither.
    assert (pace.event_s, pace.wall_s, pace.late_max_ms) == (0.006, 0.006, 0.0)


def test_how_the_clock_was_kept_is_told_of_the_last_speed(clock: Frozen) -> None:
    told = Playback()
    pacer = Pacer(1.0, told)
    pacer.anchor(start(t_first_us=0))
    clock.now_ns += 5_000_000
    pacer.wait(5_000, 0.0)
    told.play_at(2.0)
    pacer.wait(6_000, 0.0)
    clock.now_ns += 1_500_000
    pacer.wait(8_000, 0.0)
    assert pacer.report() == Pace(speed=2.0, event_s=0.002, wall_s=0.0015, late_max_ms=0.5)


def test_a_pause_ends_a_wait_for_the_clock() -> None:
    told = Playback()
    pacer = Pacer(1.0, told)
    pacer.anchor(start(t_first_us=0))
    outcome: list[tuple[bool, bool]] = []
    due_us = 3_600_000_000
    thread = Thread(target=lambda: outcome.append(pacer.wait(due_us, 0.0)), daemon=True)
    thread.start()
    told.step()
    thread.join(10)
    assert outcome == [(True, True)]


def test_a_retime_reaches_the_sinks() -> None:
    told = Playback()
    sender = Watched({2: told.step, 4: told.resume})
    play(ITEMS, told, sender, speed=1000.0)
    assert kinds(sender.arrived)[:4] == ["Start", "Events", "Retime", "Events"]
