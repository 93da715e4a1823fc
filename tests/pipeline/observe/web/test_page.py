"""The page in a real browser, where one is installed."""

import threading
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from browser import Browser, has_browser
from doubles import start
from shown_run import ShownRun, status

from pipeline.messages import Message, Predictions, Span, data
from pipeline.observe.latency import Latency
from pipeline.observe.status import EdgeStatus, HostStatus, RunStatus
from pipeline.observe.web.viewer import WebView
from pipeline.run.control import Pause

pytestmark = pytest.mark.skipif(not has_browser(), reason="chromium and chromedriver are not there")
BEYOND = """[...document.querySelectorAll('#graph text.inside')].filter((text) => {
    const node = document.querySelector('#graph rect.node').getBoundingClientRect();
    return text.getBoundingClientRect().width > node.width - 8;
}).map((text) => text.textContent)"""
"""Texts that do not fit into the box of a stage."""
CUT = """[...document.querySelectorAll('#layers .bar :first-child')]
    .filter((name) => name.scrollWidth > name.clientWidth).map((name) => name.textContent)"""
"""Names that are cut."""
HOSTILE = "<img src=x onerror=document.title='owned'>"


def deciding(at_s: float) -> RunStatus:
    edge = EdgeStatus("cam->out", "cam", "out", 8, 8, "predictions", "jsonl")
    roof = HostStatus("roof", joined=False)
    shown = status(at_s)
    cam, out = shown.stages
    late = msgspec.structs.replace(out, latency=Latency(3, 1.5, 4.0, 1234.5, "event"))
    return msgspec.structs.replace(shown, stages=[cam, late], edges=[edge], hosts=[roof], level=1)


def prediction() -> Message:
    return data(
        Predictions,
        np.array([[0.25, 0.75]]),
        stream="cam",
        t_first_us=0,
        t_last_us=1_500_000,
        by="cam",
        classes=("rest", HOSTILE),
        spans=(Span(0, 0, 1_500_000, 60),),
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def test_the_page_shows_a_run_to_its_end_and_steers_it(browser: Browser) -> None:
    with ShownRun(deciding, [start(), prediction()]) as run:
        view = WebView(run.folder)
        serving = threading.Thread(target=view.serve)
        serving.start()
        browser.open(view.url)
        browser.until("document.querySelectorAll('#classes .bar').length == 2")
        assert browser.text("#name") == "shown"
        assert browser.text("#notice") == "restarted: stage 'out': was killed"
        assert browser.text("#facts").endswith("checkpoint 4 (0.5 s old) · 1 restart")
        wrong = "[...document.querySelectorAll('#facts .wrong')].map((each) => each.textContent)"
        overload, host = browser.run(f"return {wrong}")
        assert overload.startswith("overload step 1 of ")
        assert host == "host roof: not joined"
        # A name is a text, whatever it looks like.
        assert browser.text("#class") == HOSTILE
        assert browser.run("return document.title").startswith("shown: ")
        assert browser.text("#graph text.full") == "8/8"
        assert browser.run(f"return {BEYOND}") == []
        assert browser.run(f"return {CUT}") == []
        assert "40 dropped" in browser.text("#stages")
        assert "1.5 ms4 ms1235 ms" in browser.text("#stages")
        assert browser.text("#layers .bar span:last-child") == "12.5 %"
        browser.run("document.querySelector('#pause').click()")
        for _ in range(500):
            if run.orders:
                break
            threading.Event().wait(0.01)
        assert run.orders == [Pause()]
        run.end()
        browser.until("document.querySelector('#notice').textContent.startsWith('The run is over')")
        assert browser.run("return document.querySelector('#pause').disabled")
        serving.join(20)
        assert not serving.is_alive()
        assert browser.complaints() == []


def test_the_page_fits_a_narrow_window(browser: Browser) -> None:
    with ShownRun(deciding, [start(), prediction()]) as run:
        view = WebView(run.folder)
        serving = threading.Thread(target=view.serve)
        serving.start()
        browser.resize(500, 900)
        browser.open(view.url)
        browser.until("document.querySelectorAll('#classes .bar').length == 2")
        left = "document.querySelector('main > :nth-child({})').getBoundingClientRect().left"
        assert browser.run(f"return {left.format(1)} == {left.format(2)}"), "one column"
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        run.end()
        serving.join(20)
