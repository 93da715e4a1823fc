"""Strangers at a queue: refused, told once, and the stream goes on."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import pytest
import zmq
from doubles import end_stream, events

from benchmarks.fuzz_queue import fuzz
from pipeline.errors import PipelineError, WireError
from pipeline.messages import encode
from pipeline.queue.guard import Guard, host_guard, run_guard
from pipeline.queue.keys import KeyFolder, KeyPair, write_secret
from pipeline.queue.protocol import HELLO
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender
from pipeline.run.folder import RUN_KEY

pytestmark = pytest.mark.timeout(60)

SOON_S = 20
Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
RUN, OTHER = KeyPair.new(), KeyPair.new()


@pytest.fixture
def contexts() -> Iterator[Callable[[], Context]]:
    """Makes contexts, one for each process that there would be; all end with the test."""
    made: list[Context] = []

    def make() -> Context:
        made.append(zmq.Context())
        return made[-1]

    yield make
    for context in made:
        ending = threading.Thread(target=context.term, daemon=True)
        ending.start()
        ending.join(SOON_S)
        assert not ending.is_alive(), "a socket was left open"


def guard(
    context: Context, own: KeyPair = RUN, allowed: Mapping[str, bytes] | None = None
) -> Guard:
    return Guard(context, own, lambda: allowed or {"run": RUN.public}, "ask the run")


def send(sender: Sender, count: int) -> None:
    for k in range(count):
        sender.send(events(3, t_us=k))
    sender.send(end_stream())
    sender.drain()
    sender.close()


def take(receiver: Receiver, count: int) -> None:
    for _ in range(count):
        assert receiver.receive(SOON_S * 1000) is not None
        receiver.deal()


def raw(endpoint: str, content: bytes) -> None:
    """Say something on a plain TCP connection, and wait until it is closed at the other end."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    stranger = socket.create_connection((host, int(port)), timeout=SOON_S)
    with stranger, suppress(ConnectionResetError):
        stranger.sendall(content)
        while stranger.recv(4096):
            pass


def dealer(context: Context, endpoint: str, own: KeyPair, server: bytes) -> "zmq.Socket[bytes]":
    """A stranger that speaks CurveZMQ; what it holds may be wrong."""
    found = context.socket(zmq.DEALER)
    found.linger = 0
    found.setsockopt(zmq.CURVE_PUBLICKEY, own.public)
    found.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
    found.setsockopt(zmq.CURVE_SERVERKEY, server)
    found.connect(endpoint)
    return found


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"\xff" * 300,
        GREETING.replace(b"CURVE", b"NULL\0"),
        GREETING.replace(b"\x7f\x03", b"\x7f\x01"),
        GREETING + b"\x06" + struct.pack(">Q", 2 << 30),
        GREETING + b"\x04\xc8\x05HELLO" + bytes(194),
    ],
    ids=["another protocol", "garbage", "no key", "old ZeroMQ", "2 GB", "wrong hello"],
)
def test_who_does_not_speak_as_a_peer_does_is_refused(
    content: bytes, contexts: Callable[[], Context], capfd: pytest.CaptureFixture[str]
) -> None:
    here, there = contexts(), contexts()
    receiver = Receiver(here, "tcp://127.0.0.1:*", "a→b", 4, guard=guard(here))
    with ThreadPoolExecutor() as pool:
        raw(receiver.endpoint, content)
        sender = Sender(there, receiver.endpoint, "a→b", guard=guard(there))
        sending = pool.submit(send, sender, 10)
        take(receiver, 5)
        raw(receiver.endpoint, content)
        take(receiver, 6)
        sending.result(SOON_S)
    receiver.close()
    assert capfd.readouterr().err == (
        "warning: queue a→b: a connection was refused: it does not speak CurveZMQ with the right"
        " key, or it broke before it had begun\n"
    )


def test_a_key_that_is_not_allowed_is_refused_by_name(
    contexts: Callable[[], Context], capfd: pytest.CaptureFixture[str]
) -> None:
    here, there = contexts(), contexts()
    receiver = Receiver(here, "tcp://127.0.0.1:*", "q", 4, guard=guard(here))
    for _ in range(2):
        stranger = Sender(
            there,
            receiver.endpoint,
            "q",
            guard=guard(there, OTHER, {"lab": RUN.public}),
            peer="lab",
        )
        with pytest.raises(WireError) as caught:
            stranger.send(end_stream())
        assert str(caught.value) == (
            f"queue q: {receiver.endpoint} does not let this key in; allow it there: pipeline keys"
            f" allow NAME {OTHER.public.hex()}"
        )
        stranger.close()
    receiver.close()
    assert capfd.readouterr().err == (
        f"warning: queue q: 127.0.0.1 was refused: its key {OTHER.public.hex()} is not allowed;"
        " ask the run\n"
    )


def test_a_receiver_that_holds_another_key_is_not_spoken_to(
    contexts: Callable[[], Context], capfd: pytest.CaptureFixture[str]
) -> None:
    here = contexts()
    receiver = Receiver(here, "tcp://127.0.0.1:*", "q", 4, guard=guard(here))
    stranger = dealer(here, receiver.endpoint, RUN, OTHER.public)
    stranger.send(HELLO)
    assert receiver.receive(300) is None
    stranger.close(0)
    receiver.close()
    assert capfd.readouterr().err.count("a connection was refused") == 1


@pytest.mark.parametrize(
    ("said", "answer", "told"),
    [
        ([HELLO], b"refused: taken", "it has a sender, and another one came"),
        (
            [b"pipeline-queue/0"],
            b"refused: other version",
            "somebody does not speak pipeline-queue/1; do both ends run the same version?",
        ),
        (
            [bytes(8), encode(end_stream())[0], b"a buffer"],
            b"refused: other version",
            "somebody does not speak pipeline-queue/1; do both ends run the same version?",
        ),
        (
            [b""] * 100,
            b"refused: other version",
            "somebody does not speak pipeline-queue/1; do both ends run the same version?",
        ),
    ],
    ids=["second sender", "old version", "control message with a buffer", "frames"],
)
def test_a_second_peer_with_the_right_key_does_no_harm(
    said: list[bytes],
    answer: bytes,
    told: str,
    contexts: Callable[[], Context],
    capfd: pytest.CaptureFixture[str],
) -> None:
    here, there = contexts(), contexts()
    receiver = Receiver(here, "tcp://127.0.0.1:*", "q", 4, guard=guard(here))
    sender = Sender(there, receiver.endpoint, "q", guard=guard(there))
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(send, sender, 10)
        take(receiver, 3)
        stranger = dealer(there, receiver.endpoint, RUN, RUN.public)
        for _ in range(3):
            stranger.send_multipart(said)
        while not stranger.poll(0) or receiver.messages < 11:
            if receiver.receive(20) is not None:
                receiver.deal()
        assert stranger.recv() == answer
        sending.result(SOON_S)
    stranger.close(0)
    receiver.close()
    assert capfd.readouterr().err == f"warning: queue q: refused: {told}\n"


def test_a_second_sender_is_told_that_it_is_one(contexts: Callable[[], Context]) -> None:
    context = contexts()
    receiver = Receiver(context, "inproc://q", "q", 4)
    first, second = (Sender(context, "inproc://q", "q") for _ in range(2))
    assert receiver.receive(timeout_ms=0) is None
    with pytest.raises(WireError, match="queue q: its receiver listens to another sender"):
        second.send(end_stream())
    for end in (first, second, receiver):
        end.close()


def test_a_flood_of_strangers_is_no_flood_of_lines(
    contexts: Callable[[], Context], capfd: pytest.CaptureFixture[str]
) -> None:
    here = guard(contexts())
    for number in range(300):
        here._answer([b"1.0", b"1", b"q", b"10.0.0.%d" % number, b"", b"CURVE", os.urandom(32)])
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 100
    assert lines[-1].endswith("; no more of these are told")


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://*:*", "tcp://0.0.0.0:5000", "tcp://[::]:5000", "tcp://eth0:1", "tcp://lab:1"],
)
def test_tcp_beyond_this_host_needs_keys(endpoint: str, contexts: Callable[[], Context]) -> None:
    text = f"queue q: {endpoint} leaves this host and needs keys; make them: pipeline keys make"
    for end in (
        lambda: Receiver(contexts(), endpoint, "q", 1),
        lambda: Sender(contexts(), endpoint, "q"),
    ):
        with pytest.raises(WireError) as caught:
            end()
        assert str(caught.value) == text


def test_hosts_join_by_the_keys_that_they_allow(
    contexts: Callable[[], Context], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What ``pipeline keys`` does on two hosts, and what becomes of it."""
    lab, roof = KeyFolder(tmp_path / "lab"), KeyFolder(tmp_path / "roof")
    keys = {"lab": lab.make().public.hex(), "roof": roof.make().public.hex()}
    here, there = contexts(), contexts()
    roof_guard = host_guard(there, roof.folder)
    receiver = Receiver(here, "tcp://0.0.0.0:*", "q", 4, guard=host_guard(here, lab.folder))
    endpoint = receiver.endpoint.replace("0.0.0.0", "127.0.0.1")
    with pytest.raises(PipelineError, match=r"no key of 'lab' is known; known are: nobody. Add it"):
        Sender(there, endpoint, "q", guard=roof_guard, peer="lab")

    roof.allow("lab", keys["lab"])
    refused = Sender(there, endpoint, "q", guard=roof_guard, peer="lab")
    with pytest.raises(WireError, match=f"keys allow NAME {keys['roof']}"):
        refused.send(end_stream())
    refused.close()

    lab.allow("roof", keys["roof"])
    sender = Sender(there, endpoint, "q", guard=roof_guard, peer="lab")
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(send, sender, 3)
        take(receiver, 4)
        sending.result(SOON_S)
    receiver.close()
    assert "if it is one of yours: pipeline keys allow NAME KEY" in capfd.readouterr().err


def test_processes_of_a_run_share_its_key(contexts: Callable[[], Context], tmp_path: Path) -> None:
    write_secret(tmp_path / RUN_KEY, RUN)
    here, there = contexts(), contexts()
    receiver = Receiver(here, "tcp://127.0.0.1:*", "q", 2, guard=run_guard(here, tmp_path))
    sender = Sender(there, receiver.endpoint, "q", guard=run_guard(there, tmp_path))
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(send, sender, 3)
        take(receiver, 4)
        sending.result(SOON_S)
    receiver.close()


def test_a_broken_list_of_keys_lets_nobody_in(
    contexts: Callable[[], Context], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.make()
    keys.allow("roof", OTHER.public.hex())
    here = host_guard(contexts(), keys.folder)
    question = [b"1.0", b"1", b"q", b"10.0.0.1", b"", b"CURVE", OTHER.public]
    assert here._answer(question)[2] == b"200"
    (keys.folder / "allowed" / "lab").write_text("no key")
    assert here._answer(question)[2] == b"400"
    assert "warning: nobody is let in: " in capfd.readouterr().err


def test_mutated_messages_are_taken_refused_or_ignored() -> None:
    tally = fuzz(2_000)
    assert tally.failures == []
    assert tally.taken + tally.refused + tally.ignored == 2_000
    assert min(tally.taken, tally.refused, tally.ignored) > 20
