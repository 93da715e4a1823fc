"""The web view over HTTP: what is told of a run, and who may ask."""

import threading
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
from doubles import start
from shown_run import ShownRun, status

from pipeline.events import events_from_columns
from pipeline.messages import Events, Message, data
from pipeline.observe.dashboard.view import View
from pipeline.observe.web.told import told
from pipeline.observe.web.viewer import WebView
from pipeline.run.control import Pause, Speed


def four_events() -> Message:
    columns = [np.array(each) for each in ([1, 2, 3, 4], [0, 1, 2, 7], [0, 0, 5, 5], [1, 0, 1, 1])]
    return data(
        Events,
        events_from_columns(*columns),
        stream="cam",
        t_first_us=1,
        t_last_us=4,
        watermark_us=4,
    )


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


class Page:
    """The page of a run that is shown, as a browser asks for it."""

    def __init__(self, run: ShownRun, view: WebView) -> None:
        self.run, self.view = run, view
        address = urlsplit(view.url)
        self.path = address.path
        assert address.hostname is not None
        self._connection = HTTPConnection(address.hostname, address.port, timeout=10)

    def ask(self, method: str, what: str, body: str = "") -> Answer:
        self._connection.request(method, what if what[:1] == "/" else self.path + what, body)
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.read(), dict(answer.getheaders()))

    def status(self) -> Any:
        """Ask until the run has spoken."""
        for _ in range(500):
            if (known := msgspec.json.decode(self.ask("GET", "status").body)) is not None:
                return known
            threading.Event().wait(0.01)
        raise AssertionError("the run has said nothing")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def page() -> Iterator[Page]:
    with ShownRun(status, [start(), four_events()]) as run:
        view = WebView(run.folder)
        serving = threading.Thread(target=view.serve)
        serving.start()
        page = Page(run, view)
        yield page
        page.close()
        run.end()
        serving.join(20)
        assert not serving.is_alive()


def test_the_page_is_told_how_the_run_stands(page: Page) -> None:
    known = page.status()
    assert (known["name"], known["state"]) == ("shown", "running")
    assert known["facts"][-1] == {"text": "1 restart", "wrong": False}
    assert known["pictured"] == "cam"
    assert known["queues"][0]["fill"] == 3
    assert known["stages"][1]["lost"] == {"dropped": 40}
    assert known["stages"][1]["latency"]["p99_ms"] == 4.0
    assert known["layers"] == [{"name": "fc", "firing": 0.125, "membrane": None}]


def test_the_picture_is_that_of_the_events(page: Page) -> None:
    shades = np.zeros(0)
    for _ in range(500):
        answer = page.ask("GET", "picture")
        width, height = int(answer.headers["X-Width"]), int(answer.headers["X-Height"])
        shades = np.frombuffer(zlib.decompress(answer.body), np.uint8).reshape(2, height, width)
        if shades.any():
            break
    assert shades.shape == (2, 6, 8)
    off, on = shades
    assert [tuple(place) for place in np.argwhere(on)] == [(0, 0), (5, 2), (5, 7)]
    assert [tuple(place) for place in np.argwhere(off)] == [(0, 1)]


def test_orders_reach_the_run_and_what_is_none_is_refused(page: Page) -> None:
    page.status()
    assert page.ask("POST", "order", '{"type": "pause"}').status == 204
    assert page.ask("POST", "order", '{"type": "speed", "speed": 2}').status == 204
    refused = page.ask("POST", "order", '{"type": "abort"}')
    assert refused.status == 400
    assert refused.body.startswith(b"no order: Invalid value 'abort'")
    assert page.ask("GET", "order").status == 404
    for _ in range(500):
        if len(page.run.orders) == 2:
            break
        threading.Event().wait(0.01)
    assert page.run.orders == [Pause(), Speed(2.0)]


@pytest.mark.parametrize("path", ["/", "/status", "/x/status", "//", "/../status", "/%C3%A9/"])
def test_nothing_is_told_without_the_secret(page: Page, path: str) -> None:
    answer = page.ask("GET", path)
    assert answer.status == 404
    assert answer.body == b"no such page; use the address that `pipeline view` printed\n"


def test_each_view_has_a_secret_of_its_own(page: Page) -> None:
    other = WebView(page.run.folder)
    assert len(page.path) > 30
    other.serve(gone=lambda: True)
    assert urlsplit(other.url).path != page.path


def test_the_page_may_run_only_its_own_script_and_tells_nobody_its_address(page: Page) -> None:
    first, second = page.ask("GET", ""), page.ask("GET", "")
    rules = first.headers["Content-Security-Policy"]
    assert "default-src 'none'" in rules
    assert "frame-ancestors 'none'" in rules
    nonce = rules.partition("script-src 'nonce-")[2].partition("'")[0]
    assert f'<script nonce="{nonce}">'.encode() in first.body
    assert rules != second.headers["Content-Security-Policy"]
    assert first.headers["Referrer-Policy"] == "no-referrer"
    assert b"http://www.w3.org/2000/svg" in first.body
    assert first.body.count(b"http") == 1, "the page loads nothing from anywhere"


def test_nothing_is_known_before_the_run_has_spoken() -> None:
    assert told(View()) == b"null"
