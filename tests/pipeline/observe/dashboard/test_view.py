"""What is known of a run: rates, decisions, what is drawn, what is forgotten."""

import numpy as np
import pytest
import watched_run as run

from pipeline.observe.dashboard.view import View
from pipeline.observe.status import EdgeStatus, StageStatus
from pipeline.report import QueueCount


def test_rates_are_of_the_last_two_seconds() -> None:
    view = View()
    for at_s in (1.0, 8.0, 9.0, 10.0):
        view.take(run.status(at_s))
    assert view.status is not None
    camera, bins, *_ = view.status.stages
    assert view.events_per_s == pytest.approx(90_000)
    assert view.rates(bins)[:3] == pytest.approx((0.2, 90_000, 40))
    assert view.rates(camera).taken == 0


def test_there_are_no_rates_before_two_statuses_nor_behind_a_restart() -> None:
    view = View()
    view.take(run.status(9.0))
    assert view.events_per_s == 0
    view.take(run.status(9.5))
    view.take(run.status(10.0, stages=run.status(1.0).stages, restarts=1))
    assert view.events_per_s == 0


def test_a_status_that_is_overtaken_is_left_out() -> None:
    view = View()
    view.take(run.status(9.5))
    view.take(run.status(9.0))
    assert view.status is not None
    assert view.status.at_s == 9.5


def test_a_decision_holds_while_predictions_agree() -> None:
    view = View()
    view.take(run.status(9.0))
    view.take(run.predictions(0, [0, 0, 2]))
    view.take(run.predictions(3, [2, 2]))
    first, second = view.decisions
    assert (first.class_, first.start_us, first.end_us) == (0, 0, 2 * run.STEP_US)
    assert (second.class_, second.start_us, second.end_us) == (2, 2 * run.STEP_US, 5 * run.STEP_US)
    assert list(view.line) == [0, 0, 2, 2, 2]
    assert view.shares[2] == pytest.approx(0.75)


def test_another_recording_begins_a_decision_of_its_own() -> None:
    view = run.view()
    view.take(run.start(epoch=1))
    assert not view.decisions


def test_predictions_are_those_that_a_dashboard_takes() -> None:
    edges = [
        EdgeStatus("a→x", "a", "x", 0, 8, "predictions", "jsonl"),
        EdgeStatus("b→y", "b", "y", 0, 8, "predictions", "dashboard"),
    ]
    view = View()
    view.take(run.status(1.0, edges=edges))
    assert view.decided == "b"


def test_the_last_events_before_the_network_are_drawn_and_others_in_turn() -> None:
    edges = [
        EdgeStatus("a→b", "a", "b", 0, 8, "events"),
        EdgeStatus("b→c", "b", "c", 0, 8, "events"),
        EdgeStatus("c→d", "c", "d", 0, 8, "frames"),
    ]
    view = View()
    view.take(run.status(1.0, edges=edges))
    assert view.pictured == "b"
    view.picture_next()
    assert view.pictured == "a"
    assert view.image.size == (0, 0)


def test_who_sends_to_several_has_made_each_unit_once() -> None:
    def stage(units: int) -> StageStatus:
        return StageStatus(
            "camera", 0.0, 0.0, sent=[QueueCount("a", 1, units), QueueCount("b", 1, units)]
        )

    view = View()
    for at_s, units in ((1.0, 0), (2.0, 100)):
        view.take(run.status(at_s, stages=[stage(units)]))
    assert view.rates(stage(100)).made == pytest.approx(100)


def test_events_of_another_stage_than_is_drawn_are_no_picture() -> None:
    view = View()
    view.take(run.status(1.0))
    view.take(run.start())
    view.take(run.ring()._replace(stage="bins"))
    assert not np.any(view.image.pixels(20, 20))


@pytest.mark.parametrize("state", ["paused", "over", "gone"])
def test_a_picture_stays_while_nothing_is_played(state: str) -> None:
    view = run.view()
    view.fade(100.0)
    view.take(run.ring())
    view.take(run.status(12.0, state=state))
    view.fade(200.0)
    assert np.any(view.image.pixels(20, 20))
    view.take(run.status(13.0))
    view.fade(200.1)
    assert np.any(view.image.pixels(20, 20))  # not all the time that it stood still passes at once
    view.fade(300.0)
    assert not np.any(view.image.pixels(20, 20))
