"""The page, with what is unusual: no answer, one step, many classes, names that mean harm."""

import re

from evaluations import result
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.charts import Line, lines, reliability
from stages.evaluation.measures import measure
from stages.evaluation.page import page
from stages.evaluation.report import Report
from stages.evaluation.results import Request, Result


def shown(results: list[Result], classes: list[str]) -> str:
    request = Request(
        "<b>", "p.toml", ["a.b=<i>"], "decision", "set", "all", classes, len(results), "rate", "0"
    )
    return page(Report(request, measure(results, classes, "rate"), [], None, None, "0"), results)


def test_without_any_answer() -> None:
    text = shown([result(0, 0, None), result(1, 1, None)], ["cat", "dog"])
    assert "0.00% (0 of 2)" in text
    assert "2 recordings, too short for a prediction" in text
    assert "No recording has a step." in text


def test_many_classes_show_their_mistakes_alone() -> None:
    classes = [f"class {k}" for k in range(40)]
    wrong = [1.0 if k == 7 else 0.0 for k in range(40)]
    text = shown([result(0, 3, wrong)], classes)
    assert "<td>class 3</td><td>class 7</td>" in text
    assert "The most frequent mistakes" in text


def test_names_are_texts() -> None:
    text = shown([result(0, 0, [0.0, 1.0])], ["<script>", "&"])
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "--set a.b=&lt;i&gt;" in text


@given(st.lists(st.floats(0, 1), min_size=1, max_size=100), st.integers(-5, 5))
def test_a_chart_stays_within_its_frame(shares: list[float], first: int) -> None:
    text = lines([Line("a", range(first, first + len(shares)), shares)] * 2, "steps")
    places = re.search(r'points="([^"]*)"', text)
    assert places is not None
    for place in places[1].split():
        x, y = map(float, place.split(","))
        assert 0 <= x <= 460
        assert 0 <= y <= 280


def test_bins_without_recordings_have_no_bar() -> None:
    text = reliability([(0.0, 0.5, 0, None), (0.5, 1.0, 4, 0.75)])
    assert text.count("<rect") == 1
    assert "4 recordings, 75.0% right" in text
