"""Mutated messages into a queue: each is taken, refused by name, or ignored, and nothing else.

Usage: python -m benchmarks.fuzz_queue [--count 100000] [--seed 0] [--first 0]

Three kinds of peers speak to one receiver over tcp: the queue's own sender, whose messages are
mutated; a stranger, who says what it likes; and now and then bytes that are no ZeroMQ at all. After
each the sender passes a message that is as it should be. What would be a failure: an exception but
`WireError`, an error over a stranger, a message that is lost, much more memory, a wait of 5 s.
"""

import argparse
import contextlib
import io
import resource
import socket
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import zmq

from benchmarks.mutation import mutate
from pipeline.errors import WireError
from pipeline.events import EVENT
from pipeline.messages import (
    Barrier,
    Clock,
    EndStream,
    Events,
    Frames,
    Message,
    Outputs,
    Predictions,
    Span,
    Start,
    Windows,
    control,
    data,
    encode,
)
from pipeline.queue.protocol import HELLO
from pipeline.queue.receiver import Receiver

__all__ = ["Tally", "fuzz", "main"]

LIMIT_MS = 5_000
"""Longest time that a message may take."""
GROWTH_BYTES = 256 << 20
"""Most memory that all messages together may take."""
_RAW_EVERY = 100
_NUMBER = struct.Struct("<Q")
_NASTY = (-1, 0, 2**31, 2**63 - 1, 2**63, 2**64 - 1, float("nan"), None, "", "x" * 300, [], {}, b"")
_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
_ANNOUNCES_2_GB = b"\x02" + struct.pack(">Q", 2 << 30)


class Tally(NamedTuple):
    """How the messages ended."""

    taken: int
    refused: int
    ignored: int
    failures: list[str]
    growth_bytes: int


def _messages() -> list[Message]:
    """Return a message of each kind."""
    times = {"stream": "cam", "t_first_us": 0, "t_last_us": 20}
    grid = Windows(0, 0, 10, 10, (3, None))
    listed = Windows(0, 0, 0, 0, (3, None), spans_us=((0, 5), (5, 20)))
    rows = np.zeros((2, 3), np.float32)
    spans = (Span(0, 0, 10, 1, 3), Span(1, 10, 20, 1))
    clock = Clock(0, 5, 1.0)
    return [
        control(Start(stream="cam", width=4, height=3, source="a.aedat4", clock=clock)),
        control(Barrier(stream="cam", checkpoint=3)),
        control(EndStream(stream="cam")),
        data(Events, np.zeros(5, EVENT), watermark_us=20, **times),
        data(Frames, np.zeros((2, 2, 3, 4), np.uint8), windows=grid, **times),
        data(Outputs, rows, windows=listed, **times),
        data(Predictions, rows, spans=spans, by="head", classes=("a", "b", "c"), **times),
    ]


def _mutated(number: int, rng: np.random.Generator, messages: list[Message]) -> list[bytes]:
    """Return the frames of a message with something wrong in them, or perhaps not."""
    header, buffer = map(bytes, encode(messages[rng.integers(len(messages))]))
    frames = [_NUMBER.pack(number), header, buffer]
    match rng.integers(6):
        case 0 | 1:
            frames[1] = mutate(header, rng)[0]
        case 2:
            frames[1] = _replaced(header, rng)
        case 3:
            frames[2] = mutate(buffer + b"\0", rng)[0]
        case 4:
            frames[0] = mutate(frames[0], rng)[0]
        case _:
            k = int(rng.integers(4))
            frames = [frames[:k], frames * 2, [*frames, header], [HELLO[: 4 * k]]][
                int(rng.integers(4))
            ] or [b""]
    return frames


def _replaced(header: bytes, rng: np.random.Generator) -> bytes:
    """Put a value that does not belong there in place of one of the header's."""
    plain = msgspec.msgpack.decode(header)
    at, part = int(rng.integers(len(plain))), plain
    if isinstance(plain[at], list) and plain[at] and rng.random() < 0.7:
        part = plain[at]
        at = int(rng.integers(len(part)))
    part[at] = _NASTY[rng.integers(len(_NASTY))]
    if rng.random() < 0.1:
        part[at] = msgspec.Raw(b"\xdd\xff\xff\xff\xff")  # a list of 4 billion
    return msgspec.msgpack.encode(plain)


class _Peers:
    """The two ends of a queue, and a stranger."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]") -> None:
        self.receiver = Receiver(context, "tcp://127.0.0.1:*", "q", 4)
        self.port = int(self.receiver.endpoint.rpartition(":")[2])
        self.sender, self.stranger = (context.socket(zmq.DEALER) for _ in range(2))
        for peer in (self.sender, self.stranger):
            peer.linger = 0
            peer.connect(self.receiver.endpoint)
        self.sender.send(HELLO)
        self.good = encode(_messages()[3])

    def close(self) -> None:
        for peer in (self.sender, self.stranger, self.receiver):
            peer.close()

    def send(self, frames: list[bytes]) -> str:
        """Send what the queue's own sender may not; return how it ended."""
        self.sender.send_multipart(frames)
        if frames == [HELLO]:
            return "taken"
        try:
            message = self.receiver.receive(LIMIT_MS)
        except WireError as error:
            text = str(error)
            if not text.startswith("queue q: ") or "\n" in text:
                raise RuntimeError(f"not one line that names the queue: {text!r}") from None
            return "refused"
        assert message is not None, "nothing came"
        self.receiver.deal()
        return "taken"

    def knock(self, content: bytes) -> str:
        """Connect as no peer of ours would."""
        stranger = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        with stranger, contextlib.suppress(OSError):
            stranger.sendall(content)
        return "ignored"

    def go_on(self) -> None:
        """Pass a message that must arrive, and see that credit comes back."""
        number = _NUMBER.pack(self.receiver.messages)
        self.sender.send_multipart([number, *self.good])
        until = time.monotonic() + LIMIT_MS / 1000
        while (message := self.receiver.receive(LIMIT_MS)) is None:
            assert time.monotonic() < until, "a message was lost"
        assert isinstance(message.header, Events)
        self.receiver.deal()
        for peer in (self.sender, self.stranger):
            while peer.poll(0):
                peer.recv()


def fuzz(count: int, seed: int = 0, first: int = 0) -> Tally:
    """Send mutated messages; return how they ended."""
    ended, failures, messages = Counter[str](), list[str](), _messages()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with zmq.Context() as context, contextlib.redirect_stderr(io.StringIO()) as told:
        peers = _Peers(context)
        for number in range(first, first + count):
            rng = np.random.default_rng((seed, number))
            try:
                ended[_one(peers, number, rng, messages)] += 1
                peers.go_on()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                where = traceback.extract_tb(error.__traceback__)[-1]
                failures.append(f"{number}: {type(error).__name__}: {error} ({where.lineno})"[:200])
                peers.close()
                peers = _Peers(context)
        peers.close()
    if len(told.getvalue().splitlines()) > 2 * (1 + len(failures)):
        failures.append("strangers were told more than once")
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    if growth > GROWTH_BYTES:
        failures.append(f"took {growth >> 20} MiB of memory")
    return Tally(ended["taken"], ended["refused"], ended["ignored"], failures, growth)


def _one(peers: _Peers, number: int, rng: np.random.Generator, messages: list[Message]) -> str:
    if number % _RAW_EVERY == 0:
        whole = _GREETING + _ANNOUNCES_2_GB
        return peers.knock(whole if number % 1000 == 0 else mutate(whole, rng)[0])
    frames = _mutated(peers.receiver.messages, rng, messages)
    if number % 2:
        peers.stranger.send_multipart(frames)
        return "ignored"
    return peers.send(frames)


def _lines(tally: Tally, seconds: float) -> Iterator[str]:
    mib = tally.growth_bytes >> 20
    yield (
        f"{tally.taken} taken, {tally.refused} refused, {tally.ignored} of strangers ignored,"
        f" {len(tally.failures)} failures, {mib} MiB, {seconds:.0f} s"
    )
    yield from (f"  {failure}" for failure in tally.failures[:20])


def main() -> int:
    """Fuzz a queue; return the exit code."""
    parser = argparse.ArgumentParser(description="send mutated messages into a queue")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first message")
    asked = parser.parse_args()
    since = time.monotonic()
    tally = fuzz(asked.count, asked.seed, asked.first)
    print("\n".join(_lines(tally, time.monotonic() - since)))
    return int(bool(tally.failures))


if __name__ == "__main__":
    sys.exit(main())
