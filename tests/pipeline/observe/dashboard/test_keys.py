"""The keys: the last line follows the run, and says only what can be done."""

import pytest
import watched_run as run
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.observe.dashboard.keys import keys_line, keys_now
from pipeline.observe.dashboard.view import View
from pipeline.observe.status import EdgeStatus

ALL = {"space": "pause", "s": "step", "+ -": "speed", "r": "reset", "q": "stop"}


def seen(state: str, **changes: object) -> View:
    view = View()
    view.take(run.status(1.0, state=state, **changes))
    return view


@pytest.mark.parametrize(
    ("state", "keys"),
    [
        ("starting", {"space": "pause", "q": "stop"}),
        ("running", ALL),
        ("paused", ALL | {"space": "go on"}),
        ("restarting", {"space": "pause", "q": "stop"}),
        ("stopping", {"q": "stop at once"}),
        ("over", {}),
        ("gone", {}),
    ],
)
def test_they_follow_the_state(state: str, keys: dict[str, str]) -> None:
    assert keys_now(seen(state), stops=True) == keys


def test_who_only_watches_leaves() -> None:
    assert keys_now(View(), stops=False) == {"q": "leave"}
    assert keys_now(seen("stopping"), stops=False) == {"q": "leave"}


@pytest.mark.parametrize("gauges", [{}, {"speed": 0.0}])
def test_a_source_that_is_not_paced_has_no_speed_to_change(gauges: dict[str, float]) -> None:
    camera, *others = run.status(1.0).stages
    view = seen("running", stages=[replace(camera, gauges=gauges), *others])
    assert "+ -" not in keys_now(view, stops=True)


def test_another_image_is_offered_where_there_is_one() -> None:
    edges = [EdgeStatus(f"{a}→x", a, "x", 0, 8, "events") for a in ("camera", "bins")]
    assert keys_now(seen("paused", edges=edges), stops=True)["i"] == "image"


@given(st.integers(1, 200))
def test_how_one_leaves_is_told_whatever_the_width(columns: int) -> None:
    line = keys_line(ALL, columns)
    assert line.endswith("q stop")
    assert len(line) <= columns or line == " q stop"
