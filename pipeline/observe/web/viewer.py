"""The web view: one page, what it asks for, and orders back to the run.

The page asks for what it can show, and asks again when it has shown it: a slow browser or link
skips what it had no time for. While no page asks, the run is not asked to show anything either.

Whoever knows the address may look and steer. It holds a secret that is drawn anew each time, is
not told to other sites, and no other page can guess.
"""

import hmac
import queue
import secrets
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import msgspec

from pipeline.observe.attach import Attached
from pipeline.observe.dashboard.app import give_way
from pipeline.observe.dashboard.view import View
from pipeline.observe.loopback import Loopback, Reply, Request
from pipeline.observe.web.told import picture, told
from pipeline.run.control import Order

__all__ = ["WebView"]

_WAIT_S = 0.05
_LOOKS_S = 3.0
"""Nobody looks any more who has not asked for so long."""
_LAST_S = 1.0
"""How long a page has to be told that the run is over."""


class WebView:
    """Serves the page of one run.

    Args:
        folder: of the run.
        port: 0 for one that is free.

    Attributes:
        url: of the page, secret included.

    Raises:
        PipelineError: the port cannot be listened at.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self._view = View()
        self._lock = threading.Lock()
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._asked_s = 0.0
        self._secret = secrets.token_urlsafe(24)
        self._page = (files("pipeline.observe.web") / "page.html").read_text(encoding="utf-8")
        self._server = Loopback(port, self._answer)
        self.url = f"{self._server.url}{self._secret}/"

    def serve(self, gone: Callable[[], bool] = lambda: False) -> None:
        """Serve until the run is over, or the viewer is gone."""
        give_way()
        with self._server, Attached(self._folder) as attached:
            while not (attached.over or gone()):
                self._watch(attached)
                for news in attached.news(_WAIT_S):
                    with self._lock:
                        self._view.take(news)
                while not self._orders.empty():
                    attached.order(self._orders.get())
                status = self._view.status
                if status is not None and status.state == "over":
                    break
            else:
                with self._lock:
                    self._view.lose()
            over_s = time.monotonic()
            while time.monotonic() < min(over_s, self._asked_s) + _LAST_S and not gone():
                time.sleep(_WAIT_S)

    def _watch(self, attached: Attached) -> None:
        view = self._view
        if time.monotonic() > self._asked_s + _LOOKS_S:
            attached.watch(set())
            return
        seen = {stage for stage in (view.pictured, view.decided) if stage is not None}
        attached.watch(seen, view.gauged - seen)

    def _answer(self, request: Request) -> Reply:
        """Answer a request, in a thread of its own."""
        _, secret, *rest = [*request.path.split("/", 2), ""]
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            return Reply(404, body=b"no such page; use the address that `pipeline view` printed\n")
        self._asked_s = time.monotonic()
        what = request.method, rest[0]
        if what == ("GET", ""):
            return self._the_page()
        if what == ("GET", "status"):
            with self._lock:
                return Reply(200, "application/json", told(self._view))
        if what == ("GET", "picture"):
            return self._picture()
        if what == ("POST", "order"):
            return self._order(request)
        if what == ("POST", "next"):
            with self._lock:
                self._view.picture_next()
            return Reply(204)
        return Reply(404, body=b"no such thing\n")

    def _the_page(self) -> Reply:
        nonce = secrets.token_urlsafe(16)
        only = f"'nonce-{nonce}'"
        rules = (
            f"default-src 'none'; connect-src 'self'; script-src {only}; style-src {only};"
            " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {"Content-Security-Policy": rules, "Referrer-Policy": "no-referrer"}
        page = self._page.replace("NONCE", nonce).encode()
        return Reply(200, "text/html; charset=utf-8", page, headers)

    def _picture(self) -> Reply:
        with self._lock:
            self._view.fade(time.monotonic())
            width, height, packed = picture(self._view)
        size = {"Content-Encoding": "deflate", "X-Width": str(width), "X-Height": str(height)}
        return Reply(200, "application/octet-stream", packed, size)

    def _order(self, request: Request) -> Reply:
        try:
            order = msgspec.json.decode(request.body, type=Order)
        except msgspec.MsgspecError as error:
            return Reply(400, body=f"no order: {error}\n".encode())
        self._orders.put(order)
        return Reply(204)
