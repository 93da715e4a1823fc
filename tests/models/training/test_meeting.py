"""Hosts meet: a wrong address, a wrong number, another recipe and a failure elsewhere are told."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from models import ModelError
from models.errors import PeerError
from models.training.meeting import Meeting


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = rf"^--address 127.0.0.1:{port}: training processes cannot meet there \(Address al"
        with pytest.raises(PeerError, match=message), Meeting(2, 0, "127.0.0.1", port):
            pass


def test_an_address_of_another_host() -> None:
    message = r"203.0.113.9:29500: .* there \(Cannot assign requested address\); name an address of"
    with pytest.raises(PeerError, match=message), Meeting(2, 0, "203.0.113.9", 29500):
        pass


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    message = (
        r"nothing answers there after 0 s \(Connection refused\); start the host of --node-rank"
    )
    with pytest.raises(PeerError, match=message), Meeting(2, 1, "127.0.0.1", port, connect_s=0):
        pass


def test_two_hosts_with_one_number() -> None:
    with Meeting(3) as first, Meeting(3, 1, port=first.port):
        message = rf"another host is --node-rank 1 of the run at 127.0.0.1:{first.port} already"
        with pytest.raises(PeerError, match=message), Meeting(3, 1, port=first.port):
            pass


def compared(*facts: dict[str, object]) -> list[object]:
    """Let hosts with these facts meet; return what each is told, or its error."""

    def host(meeting: Meeting, mine: dict[str, object]) -> object:
        try:
            return meeting.compare(mine)
        except ModelError as error:
            return error

    with Meeting(len(facts)) as first:
        others = [Meeting(len(facts), k, port=first.port) for k in range(1, len(facts))]
        meetings = [first, *(each.__enter__() for each in others)]
        with ThreadPoolExecutor() as pool:
            told = list(pool.map(host, meetings, facts))
        for each in others:
            each.__exit__(None, None, None)
    return told


def test_hosts_that_train_the_same_learn_what_the_first_found() -> None:
    one, two = compared({"recipe": "a", "own finding": 7}, {"recipe": "a", "own finding": None})
    assert one == two
    assert isinstance(one, dict)
    assert one["own finding"] == 7


def test_hosts_that_train_something_else_are_refused() -> None:
    name = re.escape(socket.gethostname())
    for told in compared({"recipe": "a"}, {"recipe": "b"}):
        assert re.match(rf"recipe: host 1 \({name}\) has b, host 0 \({name}\) a; give", str(told))


def test_what_failed_on_one_host_is_told_on_the_others() -> None:
    with Meeting(3) as first, Meeting(3, 1, port=first.port) as second:
        first.look()
        with pytest.raises(ModelError), Meeting(3, 2, port=first.port):
            raise ModelError("the data are not there")
        for meeting in (first, second):
            with pytest.raises(
                PeerError, match=r"host ended .*: host 2 .*: the data are not there"
            ):
                meeting.look()
