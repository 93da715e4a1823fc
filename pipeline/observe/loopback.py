"""HTTP on this machine's loopback alone: what serves metrics and the web view.

A page of any site that a person visits can send requests to ports of their machine, and by a name
of its own that leads to 127.0.0.1 even read what comes back. So only requests that name this
machine as such are answered. Whoever must not be guessed needs a secret in the path besides.
"""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

from pipeline.errors import PipelineError

__all__ = ["Loopback", "Reply", "Request"]

_HOST = "127.0.0.1"
_NAMES = {_HOST, "localhost", "::1"}
_LONGEST_BODY_BYTES = 4096
_PATIENCE_S = 10.0


class Request(NamedTuple):
    """What is asked for."""

    method: str
    path: str
    """Without a query."""
    body: bytes


class Reply(NamedTuple):
    """What is answered."""

    status: int
    kind: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Loopback:
    """Serves requests, each in a thread of its own, while it is in a ``with``.

    Args:
        port: 0 for one that is free.
        answer: called in the thread of a request.
        option: what sets the port, for an error.

    Raises:
        PipelineError: the port is taken, or not for this user.
    """

    def __init__(
        self, port: int, answer: Callable[[Request], Reply], option: str = "--port"
    ) -> None:
        try:
            self._server = _Server((_HOST, port), _handler(answer))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise PipelineError(
                f"{option} {port}: cannot be listened at: {why}; choose another, 0 takes a free one"
            ) from None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{_HOST}:{self.port}/"

    def __enter__(self) -> "Loopback":
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.1,), name="loopback", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Say nothing of those who leave in the middle of an answer."""


def _handler(answer: Callable[[Request], Reply]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "pipeline", ""
        timeout = _PATIENCE_S

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            reply = self._reply()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def _reply(self) -> Reply:
            host = self.headers.get("Host", "")
            try:
                known = urlsplit(f"//{host}").hostname in _NAMES
                length = int(self.headers.get("Content-Length", "0"))
            except ValueError:
                known, length = False, -1
            origin = self.headers.get("Origin")
            if not known or (origin is not None and origin != f"http://{host}"):
                self.close_connection = True
                return Reply(403, body=b"only for pages of this machine itself\n")
            if not 0 <= length <= _LONGEST_BODY_BYTES or "Transfer-Encoding" in self.headers:
                self.close_connection = True
                return Reply(413, body=b"too long\n")
            body = self.rfile.read(length)
            path = urlsplit(self.path).path
            return answer(Request(self.command, path, body))

        def log_message(self, *_: object) -> None:
            """Say nothing: who looks at a run leaves no trace in what it prints."""

    return Handler
