"""The ladder: up while a stage is too far behind, down when it is not and stays so."""

import pytest

from pipeline.ports import EventsPort, FramesPort, PredictionsPort
from pipeline.queue.backlog import Policy
from pipeline.queue.overload import HIGHEST, Ladder, Overload, may_shed, policy_at, step_name

EVENTS = EventsPort(8, 6)
FRAMES = FramesPort(2, 6, 8, 1000, 1000)
BEAT_S = 0.05


class Run:
    """A run whose stage is behind by what a test says, heard of at each beat."""

    def __init__(self, latency_ms: float = 100) -> None:
        self.ladder, self.now_s = Ladder(latency_ms, 0.0), 0.0
        self.offered = self.pressed = 0

    def go_on(self, seconds: float, lag_s: float, gives_up: int = 0) -> list[int]:
        """The steps that were taken, as numbers of their levels."""
        levels = []
        for _ in range(round(seconds / BEAT_S)):
            self.now_s += BEAT_S
            self.offered += 10
            self.pressed += gives_up
            self.ladder.hear("network", lag_s, self.offered, self.pressed)
            if self.ladder.step(self.now_s):
                levels.append(self.ladder.level)
        return levels


def test_a_run_in_time_sheds_nothing() -> None:
    run = Run()
    assert run.go_on(100, lag_s=0.099) == []
    assert run.ladder.result() == Overload()


def test_a_step_is_taken_and_given_time_to_show_what_it_does() -> None:
    assert Run().go_on(0.7, lag_s=0.11) == [1, 2, 3, 4, 5, 6]
    assert Run().go_on(10, lag_s=0.11) == [1, 2, 3, 4, 5, 6]


def test_far_behind_it_goes_up_by_several_at_once() -> None:
    assert Run().go_on(0.2, lag_s=0.35) == [3, 6]
    assert Run().go_on(0.2, lag_s=50.0) == [HIGHEST]


def test_it_goes_down_step_by_step_when_all_is_well() -> None:
    run = Run()
    run.go_on(0.1, lag_s=50.0)
    assert run.go_on(5, lag_s=0.01) == [5, 4, 3, 2, 1, 0]
    result = run.ladder.result()
    assert (result.highest, result.risen, result.recovered) == (6, 1, True)
    assert 3 <= result.shed_s < 5


def test_a_person_is_told_where_it_begins_gets_worse_and_is_over() -> None:
    run, remarks = Run(), []
    for seconds, lag_s in ((0.1, 0.11), (0.1, 0.25), (0.6, 0.01), (0.1, 0.11), (5, 0.01)):
        for _ in range(round(seconds / BEAT_S)):
            if run.go_on(BEAT_S, lag_s):
                remarks.append(run.ladder.remark)
    assert [remark for remark in remarks if remark] == [
        "overload: 110 ms behind (overload.latency_ms = 100); one event in 2 stays",
        "overload: 250 ms behind (overload.latency_ms = 100); one event in 8 stays",
        "overload: over, nothing is shed any more",
    ]


def test_between_half_the_limit_and_the_limit_it_stays() -> None:
    run = Run()
    run.go_on(0.1, lag_s=0.25)
    assert run.go_on(100, lag_s=0.07) == []


def test_it_stays_as_long_as_windows_have_to_be_dropped() -> None:
    run = Run()
    run.go_on(0.1, lag_s=50.0)
    assert run.go_on(100, lag_s=0.01, gives_up=5) == []
    # That now and then one waits is no reason to.
    assert run.go_on(5, lag_s=0.01, gives_up=1) == [5, 4, 3, 2, 1, 0]


def test_a_step_that_was_left_too_early_is_kept_longer_each_time() -> None:
    run, kept_s = Run(), []
    run.go_on(0.1, lag_s=0.11)
    for _ in range(5):
        begun_s = run.now_s
        while run.ladder.level:
            run.go_on(BEAT_S, lag_s=0.01)
        kept_s.append(round(run.now_s - begun_s, 2))
        while not run.ladder.level:
            run.go_on(BEAT_S, lag_s=0.11)
    assert kept_s == pytest.approx([0.5, 1, 2, 4, 8], abs=0.2)


def test_new_workers_begin_with_nothing_shed() -> None:
    run = Run()
    run.go_on(0.1, lag_s=50.0)
    run.ladder.begin_anew(run.now_s)
    assert run.ladder.level == 0
    assert run.go_on(1, lag_s=0.01) == []


def test_each_step_stays_in_force_with_those_above_it() -> None:
    events = [policy_at(level, Policy(), EVENTS) for level in range(HIGHEST + 1)]
    assert [one.every for one in events] == [1, 2, 4, 8, 8, 8, 8]
    assert [one.when_full for one in events] == ["block"] * 6 + ["thin"]
    frames = [policy_at(level, Policy(), FRAMES) for level in range(HIGHEST + 1)]
    assert [one.merge for one in frames] == [1, 1, 1, 1, 2, 4, 4]
    assert [one.when_full for one in frames] == ["block"] * 6 + ["drop_oldest"]


def test_what_a_queue_does_anyway_it_goes_on_doing() -> None:
    own = Policy("drop_newest")
    assert [policy_at(level, own, FRAMES).when_full for level in (0, 6)] == ["drop_newest"] * 2


def test_only_events_of_sources_and_windows_are_shed() -> None:
    assert may_shed(EVENTS, from_source=True)
    assert may_shed(FRAMES, from_source=False)
    assert not may_shed(EVENTS, from_source=False)
    assert not may_shed(PredictionsPort(("a",)), from_source=False)


def test_each_step_has_a_name() -> None:
    assert [step_name(level) for level in (0, 1, 5, 6)] == [
        "nothing is shed",
        "one event in 2 stays",
        "windows that wait are merged, up to 4 into one",
        "windows are dropped",
    ]
