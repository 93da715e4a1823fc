"""Queues between hosts over a link that breaks, stalls and delays: nothing lost, twice or late."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import pytest
import zmq
from doubles import end_stream, events
from relay import Relay, disturb

from pipeline.messages import EndStream, Message
from pipeline.queue import guard, link
from pipeline.queue.guard import Guard
from pipeline.queue.keys import KeyPair
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender, wait_for

pytestmark = pytest.mark.timeout(120)

SOON_S = 30
Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
HERE, THERE = KeyPair.new(), KeyPair.new()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead connections are found in a fraction of a second."""
    for name, time_ms in {"_BEAT_MS": 100, "_DEAD_MS": 400, "_AGAIN_MS": 10}.items():
        monkeypatch.setattr(link, name, time_ms)
    monkeypatch.setattr(guard, "_HANDSHAKE_MS", 2_000)


class Ends:
    """The two ends of a queue, each with a context and a key as on a host of its own."""

    def __init__(self, here: Context, there: Context, capacity: int) -> None:
        inside = Guard(there, THERE, lambda: {"here": HERE.public}, "")
        self.outside = Guard(here, HERE, lambda: {"there": THERE.public}, "")
        self.here = here
        self.receiver = Receiver(
            there, "tcp://127.0.0.1:*", "q", capacity, guard=inside, linked=True
        )
        self.port = int(self.receiver.endpoint.rpartition(":")[2])

    def sender(self, port: int) -> Sender:
        return Sender(self.here, f"tcp://127.0.0.1:{port}", "q", guard=self.outside, peer="there")


@pytest.fixture
def contexts() -> Iterator[tuple[Context, Context]]:
    here: Context = zmq.Context()
    there: Context = zmq.Context()
    yield here, there
    for context in (here, there):
        ending = threading.Thread(target=context.term, daemon=True)
        ending.start()
        ending.join(SOON_S)
        assert not ending.is_alive(), "a socket was left open"


def receive_all(receiver: Receiver) -> list[Message]:
    """Everything up to the end of the stream, each dealt with at once."""
    found: list[Message] = []
    while not found or not isinstance(found[-1].header, EndStream):
        message = receiver.receive(timeout_ms=SOON_S * 1000)
        assert message is not None
        found.append(message)
        receiver.deal()
    return found


def deliver(receiver: Receiver, sender: Sender, message: Message) -> None:
    """Send the first message; it goes once the receiver has let the sender in."""
    sending = threading.Thread(target=sender.send, args=(message,))
    sending.start()
    assert receiver.receive(SOON_S * 1000) is not None
    sending.join()


def answer(receiver: Receiver, until: "Future[None]") -> None:
    """What a stage does when its stream is over, until the run is."""
    while not until.done():
        if receiver.socket.poll(10):
            receiver.answer_again()
    receiver.close()


def stream(count: int, size: int) -> list[Message]:
    return [*(events(size, t_us=k * 1_000) for k in range(count)), end_stream()]


def send_all(sender: Sender, messages: list[Message]) -> None:
    for message in messages:
        sender.send(message)
    sender.drain()
    sender.close()


def is_same(found: list[Message], sent: list[Message]) -> bool:
    return [m.header for m in found] == [m.header for m in sent] and all(
        a.array.tobytes() == b.array.tobytes() for a, b in zip(found, sent, strict=True)
    )


@pytest.mark.parametrize("seed", range(6))
def test_whatever_becomes_of_the_link_all_arrives_once_and_in_order(
    contexts: tuple[Context, Context], capfd: pytest.CaptureFixture[str], seed: int
) -> None:
    rng = random.Random(seed)
    ends = Ends(*contexts, capacity=rng.choice([1, 3, 8]))
    sent = stream(300, size=rng.choice([3, 3_000]))
    with Relay(ends.port) as relay, ThreadPoolExecutor(2) as pool:
        relay.delay_s = 0.02  # so that not all is over before anything happens
        sending = pool.submit(send_all, ends.sender(relay.port), sent)
        receiving = pool.submit(receive_all, ends.receiver)
        pause = threading.Event()
        for _ in range(20):
            pause.wait(rng.uniform(0.0, 0.1))
            disturb(relay, rng)
        relay.stalled = False
        assert is_same(receiving.result(SOON_S), sent)
        answer(ends.receiver, sending)
        sending.result(SOON_S)
        assert relay.broken > 0
    # Our own connections are no strangers, but for those that broke before they were known.
    told = capfd.readouterr().err.splitlines()
    assert all("it broke before it had begun" in line for line in told), told


def test_what_was_lost_is_sent_again_though_nothing_new_is(
    contexts: tuple[Context, Context],
) -> None:
    ends = Ends(*contexts, capacity=8)
    with Relay(ends.port) as relay:
        sender = ends.sender(relay.port)
        deliver(ends.receiver, sender, events(3, t_us=0))
        relay.stalled = True
        sender.send(events(3, t_us=1_000))
        relay.cut()
        relay.stalled = False
        # A stage that waits for its input meanwhile, as it does when nothing comes in.
        silent = contexts[0].socket(zmq.PULL)
        waiting = threading.Thread(target=wait_for, args=([silent], [sender]))
        silent.bind("inproc://silent")
        waiting.start()
        message = ends.receiver.receive(SOON_S * 1000)
        assert message is not None
        assert message.header.t_first_us == 1_000
        for _ in range(2):
            ends.receiver.deal()
        waiting.join(SOON_S)
        assert not waiting.is_alive()
        assert sender.in_flight == 0
        silent.close(0)
        sender.close()
        ends.receiver.close()


def test_a_sender_that_missed_the_last_word_is_told_again(
    contexts: tuple[Context, Context],
) -> None:
    ends = Ends(*contexts, capacity=8)
    with Relay(ends.port) as relay, ThreadPoolExecutor(1) as pool:
        sender = ends.sender(relay.port)
        deliver(ends.receiver, sender, end_stream())
        relay.stalled = True
        ends.receiver.deal()
        relay.cut()
        relay.stalled = False
        draining = pool.submit(sender.drain)
        answer(ends.receiver, draining)
        draining.result(SOON_S)
        sender.close()
