"""The summary in words."""

from stages.evaluation.intervals import Interval
from stages.evaluation.load import Load, LoadPoint
from stages.evaluation.summary import waiting


def point(speed: float, reached: float) -> LoadPoint:
    return LoadPoint(speed, reached, 1e3 * speed, 0.9, Interval(0.8, 1.0), 0, {})


def test_a_speed_that_was_not_reached_is_told() -> None:
    assert waiting(Load("its own", [point(1, 0.98), point(8, 7.1)])) == ""
    assert waiting(Load("its own", [point(1, 0.98), point(32, 16.22), point(64, 17)])) == (
        "At 32×, 64× the source waited between recordings, and came to 16.2×, 17×: accuracy there"
        " is not that of a camera so much faster."
    )
