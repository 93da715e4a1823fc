"""Queues over real sockets: in order, nothing lost, no more on its way than allowed."""

import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import zmq
from doubles import end_stream, events, units

from pipeline.errors import WireError
from pipeline.messages import EndStream, Message, Shed
from pipeline.queue import sender as sender_end
from pipeline.queue.backlog import Backlog, Loss, Policy, WhenFull
from pipeline.queue.protocol import HELLO, Passed
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender, send_to_all, wait_for

pytestmark = pytest.mark.timeout(60)

SOON_S = 20
Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"


@pytest.fixture
def context() -> Iterator[Context]:
    """A context whose end shows that every socket was closed."""
    context: Context = zmq.Context()
    yield context
    ending = threading.Thread(target=context.term, daemon=True)
    ending.start()
    ending.join(SOON_S)
    assert not ending.is_alive(), "a socket was left open"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(params=["inproc", "ipc", "tcp"])
def endpoint(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "tcp":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    return "inproc://q" if request.param == "inproc" else f"ipc://{folder}/q"


def send_all(sender: Sender, messages: list[Message]) -> None:
    for message in messages:
        sender.send(message)
    sender.drain()
    sender.close()


def receive_all(receiver: Receiver) -> list[Message]:
    """Everything up to the end of the stream; closes at once when that is dealt with."""
    found: list[Message] = []
    while not found or not isinstance(found[-1].header, EndStream):
        message = receiver.receive()
        assert message is not None
        found.append(message)
        receiver.deal()
    receiver.close()
    return found


def stream(count: int, size: int = 3) -> list[Message]:
    return [*(events(size, t_us=k * 1_000) for k in range(count)), end_stream()]


def same(found: list[Message], sent: list[Message]) -> bool:
    return [m.header for m in found] == [m.header for m in sent] and all(
        a.array.tobytes() == b.array.tobytes() for a, b in zip(found, sent, strict=True)
    )


@pytest.mark.parametrize("capacity", [1, 2, 100])
def test_all_messages_arrive_in_order_and_are_counted(
    context: Context, pool: ThreadPoolExecutor, endpoint: str, capacity: int
) -> None:
    receiver = Receiver(context, endpoint, "a→b", capacity)
    sender = Sender(context, endpoint, "a→b")
    sent = stream(200)
    sending = pool.submit(send_all, sender, sent)
    assert same(receive_all(receiver), sent)
    sending.result(SOON_S)
    assert sender.messages == receiver.messages == 201
    assert sender.units == receiver.units == sum(map(units, sent)) == 600
    assert sender.in_flight == 0


def test_a_sender_that_comes_first_loses_nothing(
    context: Context, pool: ThreadPoolExecutor, endpoint: str
) -> None:
    sent = stream(10)
    sender = Sender(context, endpoint, "q")
    sending = pool.submit(send_all, sender, sent)
    assert same(receive_all(Receiver(context, endpoint, "q", 2)), sent)
    sending.result(SOON_S)


@pytest.mark.parametrize("capacity", [1, 3])
def test_never_more_messages_on_their_way_than_the_capacity(
    context: Context, pool: ThreadPoolExecutor, endpoint: str, capacity: int
) -> None:
    receiver = Receiver(context, endpoint, "q", capacity)
    sender = Sender(context, endpoint, "q")
    sending = pool.submit(send_all, sender, stream(20))
    for _ in range(capacity):
        assert receiver.receive() is not None
    dealt = 0
    while True:
        # So long as nothing is dealt with the sender stands still, however long one waits.
        assert receiver.receive(timeout_ms=20) is None
        assert not sending.done()
        assert (sender.messages, sender.in_flight) == (dealt + capacity, capacity)
        receiver.deal()
        dealt += 1
        message = receiver.receive()
        assert message is not None
        if isinstance(message.header, EndStream):
            break
    for _ in range(capacity):
        receiver.deal()
    sending.result(SOON_S)
    assert sender.blocked_ns > 0
    receiver.close()


@pytest.mark.parametrize(
    ("limit_bytes", "in_flight"), [(1, 1), (16 * 1_000 * 3 + 500, 3), (10**9, 8)]
)
def test_what_is_on_its_way_is_bounded_in_bytes_too(
    context: Context,
    pool: ThreadPoolExecutor,
    limit_bytes: int,
    in_flight: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender_end, "_MAX_IN_FLIGHT_BYTES", limit_bytes)
    receiver = Receiver(context, "inproc://q", "q", 8)
    sender = Sender(context, "inproc://q", "q")
    sending = pool.submit(send_all, sender, stream(20, 1_000))
    for _ in range(in_flight):
        assert receiver.receive() is not None
    assert receiver.receive(timeout_ms=20) is None
    assert sender.in_flight == in_flight
    for _ in range(in_flight):
        receiver.deal()
    receive_all(receiver)
    sending.result(SOON_S)


@pytest.mark.parametrize("size", [1, 1_750])
def test_nothing_is_lost_when_both_ends_close_at_once(
    pool: ThreadPoolExecutor, folder: Path, size: int
) -> None:
    """PUSH and PULL over ipc lost the last of such messages in five runs of five."""
    for k in range(50):
        ends: list[Context] = [zmq.Context(), zmq.Context()]
        receiver = Receiver(ends[0], f"ipc://{folder}/{k}", "q", 2)
        sender = Sender(ends[1], receiver.endpoint, "q")
        sent = stream(5, size)
        sending = pool.submit(send_all, sender, sent)
        assert same(receive_all(receiver), sent)
        sending.result(SOON_S)
        for end in ends:
            end.term()


def test_a_large_array_is_not_copied_within_a_process(context: Context) -> None:
    receiver = Receiver(context, "inproc://q", "q", 1)
    sender = Sender(context, "inproc://q", "q")
    assert receiver.receive(timeout_ms=0) is None  # the greeting
    message = events(100_000)
    sender.send(message)
    arrived = receiver.receive()
    assert arrived is not None
    assert np.shares_memory(arrived.array, message.array)
    assert not arrived.array.flags.writeable
    sender.close()
    receiver.close()


def test_one_message_goes_into_several_queues(context: Context, pool: ThreadPoolExecutor) -> None:
    receivers = [Receiver(context, f"inproc://{k}", f"q{k}", k + 1) for k in range(3)]
    senders = [Sender(context, receiver.endpoint, receiver.name) for receiver in receivers]

    def send() -> None:
        for message in stream(30):
            send_to_all(senders, message)
        for sender in senders:
            sender.drain()
            sender.close()

    sending = pool.submit(send)
    taken = [pool.submit(receive_all, receiver) for receiver in receivers]
    assert all(same(each.result(SOON_S), stream(30)) for each in taken)
    sending.result(SOON_S)


def test_an_idle_queue_gives_nothing_in_time(context: Context, endpoint: str) -> None:
    receiver = Receiver(context, endpoint, "q", 1)
    assert receiver.receive(timeout_ms=0) is None
    receiver.close()


@pytest.mark.parametrize("endpoint", ["inproc://q", "tcp://127.0.0.1:*"])
def test_an_endpoint_is_bound_once(context: Context, endpoint: str) -> None:
    first = Receiver(context, endpoint, "q", 1)
    with pytest.raises(WireError, match=r"queue q: cannot bind .*: Address already in use"):
        Receiver(context, first.endpoint, "q", 1)
    first.close()


def test_a_tcp_port_may_be_left_to_the_system(context: Context) -> None:
    receiver = Receiver(context, "tcp://127.0.0.1:*", "q", 1)
    assert receiver.endpoint.rpartition(":")[2].isdigit()
    receiver.close()


NUMBER = struct.Struct("<Q")


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([b"pipeline-queue/9"], "queue q: the sender does not speak pipeline-queue/1"),
        ([b"a", b"b"], "queue q: no message begins with frames of [1, 1] bytes"),
        ([b"a", b"b", b"c"], "queue q: no message begins with frames of [1, 1] bytes"),
        ([NUMBER.pack(1), b"", b""], "queue q: message 1 arrived, 0 was next"),
        ([NUMBER.pack(0), b"", b""], "queue q: message header not understood"),
    ],
    ids=["hello", "two frames", "no number", "gap", "header"],
)
def test_what_is_not_a_message_is_refused(context: Context, frames: list[bytes], text: str) -> None:
    receiver = Receiver(context, "inproc://q", "q", 1)
    stranger = context.socket(zmq.DEALER)
    stranger.connect(receiver.endpoint)
    stranger.send(HELLO)
    stranger.send_multipart(frames)
    with pytest.raises(WireError) as caught:
        receiver.receive()
    assert text in str(caught.value)
    stranger.close(0)
    receiver.close()


@pytest.mark.parametrize(
    ("credit", "text"),
    [
        (b"what?", "queue q: the receiver does not speak pipeline-queue/1"),
        (struct.pack("<QI", 1, 8), "queue q: 1 messages acknowledged, 0 were sent"),
    ],
)
def test_what_is_not_a_credit_is_refused(context: Context, credit: bytes, text: str) -> None:
    stranger = context.socket(zmq.DEALER)
    stranger.bind("inproc://q")
    sender = Sender(context, "inproc://q", "q")
    stranger.send(credit)
    with pytest.raises(WireError) as caught:
        sender.send(end_stream())
    assert str(caught.value) == text
    stranger.close(0)
    sender.close()


def until_terminated(work: Callable[[], object], close: Callable[[], None]) -> str:
    try:
        work()
    except zmq.ContextTerminated:
        return "terminated"
    finally:
        close()
    return "went on"


def test_the_end_of_the_context_ends_all_waiting(pool: ThreadPoolExecutor) -> None:
    context: Context = zmq.Context()
    receiver = Receiver(context, "inproc://idle", "idle", 1)
    sender = Sender(context, "inproc://nobody", "nobody")
    full = Receiver(context, "inproc://full", "full", 1)
    drained = Sender(context, "inproc://full", "full")
    assert full.receive(timeout_ms=0) is None
    drained.send(end_stream())
    waiting: list[Future[str]] = [
        pool.submit(until_terminated, receiver.receive, receiver.close),
        pool.submit(until_terminated, lambda: sender.send(end_stream()), sender.close),
        pool.submit(until_terminated, drained.drain, drained.close),
    ]
    full.close()
    pool.submit(context.term).result(SOON_S)
    assert [each.result(SOON_S) for each in waiting] == ["terminated"] * 3


def shed(context: Context, receiver: Receiver, room: int, when_full: WhenFull) -> Sender:
    waiting = Backlog(lambda: Policy(when_full), room)
    return Sender(context, receiver.endpoint, "q", backlog=waiting)


def let_in(receiver: Receiver) -> None:
    """Grant the first credit, without which nothing would be shed."""
    assert receiver.receive(timeout_ms=0) is None


def test_a_queue_that_sheds_never_holds_its_sender_up_and_both_ends_know_what_was_lost(
    context: Context,
) -> None:
    receiver = Receiver(context, "inproc://q", "q", 2)
    sender = shed(context, receiver, 3, "drop_oldest")
    let_in(receiver)
    for message in stream(20):
        sender.offer(message)
    assert sender.blocked_ns == 0
    with ThreadPoolExecutor(1) as pool:
        draining = pool.submit(sender.drain)
        found = receive_all_but_close(receiver)
        draining.result(SOON_S)
    starts = [m.array["t"][0] for m in found if not m.is_control]
    assert starts == [0, 1_000, 17_000, 18_000, 19_000]
    (behind,) = [m for m in found if m.header.shed is not None]
    assert (behind.array["t"][0], behind.header.shed) == (17_000, Shed(events=45))
    assert sender.count() == receiver.count()
    assert sender.count().lost == {"dropped": 45}
    assert (sender.count().messages, sender.count().units) == (21, 60)
    sender.close()
    receiver.close()


def receive_all_but_close(receiver: Receiver) -> list[Message]:
    found: list[Message] = []
    while not found or not isinstance(found[-1].header, EndStream):
        message = receiver.receive()
        assert message is not None
        found.append(message)
        receiver.deal()
    return found


def test_both_ends_count_on_from_what_was_lost_before_a_checkpoint(context: Context) -> None:
    passed = Passed(5, 15, Loss(15, 45))
    receiver = Receiver(context, "inproc://q", "q", 2, passed)
    waiting = Backlog(lambda: Policy("drop_oldest"), 3)
    sender = Sender(context, "inproc://q", "q", passed, backlog=waiting)
    assert sender.count() == receiver.count()
    assert (sender.count().messages, sender.count().units) == (20, 60)
    assert sender.count().arrived == 15
    sender.close()
    receiver.close()


def test_what_waits_goes_on_while_its_stage_waits_for_something_else(context: Context) -> None:
    receiver = Receiver(context, "inproc://q", "q", 1)
    sender = shed(context, receiver, 2, "drop_oldest")
    let_in(receiver)
    for k in range(2):
        sender.offer(events(1, t_us=k))
    assert sender.backlog
    other = Receiver(context, "inproc://other", "other", 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for, [other.socket], [sender])
        # Nobody offers anything any more, and yet the second message comes when there is credit.
        assert receiver.receive() is not None
        receiver.deal()
        assert receiver.receive() is not None
        word = Sender(context, "inproc://other", "other")  # its greeting ends the waiting
        waiting.result(SOON_S)
    for end in (sender, receiver, other, word):
        end.close()
