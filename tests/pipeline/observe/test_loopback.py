"""HTTP for this machine alone: who is answered, who is not."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from pipeline.errors import PipelineError
from pipeline.observe.loopback import Loopback, Reply, Request


def echo(request: Request) -> Reply:
    return Reply(200, body=f"{request.method} {request.path} {request.body.decode()}".encode())


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(0, echo) as loopback:
        yield loopback


def ask(server: Loopback, method: str, path: str, body: str = "", **headers: str) -> Reply:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return Reply(answer.status, body=answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["127.0.0.1:{port}", "localhost:{port}", "localhost:1", "[::1]"])
def test_this_machine_may_be_called_by_its_names_also_through_a_tunnel(
    server: Loopback, name: str
) -> None:
    host = name.format(port=server.port)
    assert ask(server, "GET", "/a?b=c", Host=host) == Reply(200, body=b"GET /a ")


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "", "[", "10.0.0.1"])
def test_another_name_that_leads_here_is_refused(server: Loopback, name: str) -> None:
    assert ask(server, "GET", "/", Host=name).status == 403


def test_a_page_of_another_site_cannot_send_anything(server: Loopback) -> None:
    own = f"http://127.0.0.1:{server.port}"
    assert ask(server, "POST", "/", "x", Origin=own) == Reply(200, body=b"POST / x")
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        assert ask(server, "POST", "/", "x", Origin=origin).status == 403


def test_a_long_body_is_not_read(server: Loopback) -> None:
    assert ask(server, "POST", "/", "x" * 5000).status == 413
    assert ask(server, "POST", "/", **{"Content-Length": "-1"}).status == 413
    assert ask(server, "POST", "/", **{"Transfer-Encoding": "chunked"}).status == 413


def test_only_loopback_is_listened_at(server: Loopback) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}/"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", server.port), timeout=10)


def test_a_port_that_is_taken_is_one_clear_error(server: Loopback) -> None:
    with pytest.raises(PipelineError) as caught:
        Loopback(server.port, echo, "metrics.port")
    assert str(caught.value) == (
        f"metrics.port {server.port}: cannot be listened at: Address already in use;"
        " choose another, 0 takes a free one"
    )
    with pytest.raises(PipelineError, match="--port 70000: cannot be listened at"):
        Loopback(70_000, echo)
