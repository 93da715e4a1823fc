"""The page, with what is unusual: no answer, one step, many classes, names that mean harm."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from browser import Browser, has_browser
from evaluations import result
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.charts import Line, lines, reliability
from stages.evaluation.measures import measure
from stages.evaluation.page import page
from stages.evaluation.report import Report
from stages.evaluation.results import Request, Result
from stages.evaluation.trained import Trained


def shown(results: list[Result], classes: list[str], trained: Sequence[Trained] = ()) -> str:
    request = Request(
        "<b>", "p.toml", ["a.b=<i>"], "decision", "set", "all", classes, len(results), "rate", "0"
    )
    return page(
        Report(request, measure(results, classes, "rate"), [*trained], None, None, "0"), results
    )


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


def test_a_single_mistake_among_many_is_seen_and_short_names_stand_upright() -> None:
    right = [result(k, 0, [1.0, 0.0]) for k in range(99)]
    text = shown([*right, result(99, 0, [0.0, 1.0])], ["0", "1"])
    assert '<th class="c">0</th>' in text
    strengths = {
        kind: float(strength)
        for kind, strength in re.findall(r"rgb\(var\(--(good|bad)\) / ([\d.]+)\)", text)
    }
    assert 0.15 <= strengths["bad"] < strengths["good"] < 0.8
    assert '<th class="c long">hand clapping</th>' in shown(right, ["hand clapping", "other"])


def test_recordings_that_were_trained_on_are_told_of_before_any_number() -> None:
    trained = Trained("out/net.safetensors", "digits", "all right", 1)
    text = shown([result(0, 0, [1.0, 0.0])], ["<0>", "1"], [trained])
    assert (
        0
        < text.index('<p class="note">1 of these 1 recordings were trained on')
        < text.index('<div class="tiles">')
    )


@pytest.mark.skipif(not has_browser(), reason="needs chromium and chromedriver")
def test_on_a_telephone_nothing_is_cut_off_or_laid_over_another(tmp_path: Path) -> None:
    classes = ["left arm counter-clockwise", "right arm counter-clockwise", "other"]
    results = [result(k, k % 3, [0.1, 0.2, 0.7], [2, 1, 2]) for k in range(9)]
    (tmp_path / "report.html").write_text(shown(results, classes))
    with Browser(400, 800) as browser:
        browser.open(f"file://{tmp_path}/report.html")
        browser.resize(400, 800)
        assert browser.run("return innerWidth") == 400
        assert browser.run("return document.documentElement.scrollWidth") == 400
        assert browser.run(_LAID_OVER) == []
        assert browser.complaints() == []


_LAID_OVER = """
const over = [];
for (const svg of document.querySelectorAll("svg")) {
  const texts = [...svg.querySelectorAll("text")].map(
    text => [text.textContent, text.getBoundingClientRect()]);
  for (const [a, one] of texts) for (const [b, other] of texts)
    if (one !== other && one.left < other.right - 1 && other.left < one.right - 1
        && one.top + 3 < other.bottom - 3 && other.top + 3 < one.bottom - 3) over.push([a, b]);
}
return over;
"""
"""Which texts of a chart lie over others, less the room above and below their letters."""
