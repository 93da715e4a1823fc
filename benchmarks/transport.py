"""One queue of the pipeline, between two processes, beside plain ZeroMQ and a copy.

Usage: python -m benchmarks.transport [--quick] [--json FILE]

A queue counts and acknowledges every message and never loses one; plain ZeroMQ, which is measured
with the same bytes, does neither. Events take 16 bytes.
"""

import multiprocessing
import sys
import tempfile
import time
from functools import partial

import numpy as np
import zmq

from benchmarks.limits import raw_zmq
from benchmarks.measure import Options, Rows, command, compare, in_turns, rate
from pipeline.events import EVENT, EventArray, events_from_columns
from pipeline.messages import EndStream, Events, control, data
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender

__all__ = ["rows"]

_BATCHES = (1_024, 16_384, 65_536)
_CAPACITY = 8


def _events(count: int) -> EventArray:
    column = np.zeros(count, np.int64)
    return events_from_columns(np.arange(count), column, column, column)


def _send(endpoint: str, batch: int, count: int) -> None:
    times = {"t_first_us": 0, "t_last_us": batch - 1, "watermark_us": batch - 1}
    message = data(Events, _events(batch), stream="bench", **times)
    with zmq.Context() as context:
        sender = Sender(context, endpoint, "q")
        for _ in range(count):
            sender.send(message)
        sender.send(control(EndStream(stream="bench")))
        sender.drain()
        sender.close()


def through_queue(scheme: str, folder: str, batch: int, count: int) -> float:
    """Pass messages from a process to this one through a queue; return events a second.

    The clock starts at the first message, so the start of the process does not count.
    """
    endpoint = "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{folder}/queue"
    started = time.perf_counter()
    with zmq.Context() as context:
        receiver = Receiver(context, endpoint, "q", capacity=_CAPACITY)
        process = multiprocessing.get_context("spawn").Process(
            target=_send, args=(receiver.endpoint, batch, count + 1)
        )
        process.start()
        while (message := receiver.receive()) is not None:
            receiver.deal()
            if receiver.messages == 1:
                started = time.perf_counter()
            if isinstance(message.header, EndStream):
                break
        seconds = time.perf_counter() - started
        process.join()
        receiver.close()
    return batch * count / seconds


def _copies(batch: int, count: int) -> int:
    """Copy events, a message at a time, from one place to another; return how many."""
    words = np.zeros((8, batch * EVENT.itemsize // 8), np.int64)  # as many as lie in a queue
    into = np.zeros_like(words)
    for k in range(count):
        into[k % 8] = words[k % 8]
    return batch * count


def rows(options: Options) -> Rows:
    """Yield queues with messages of several sizes, each beside plain ZeroMQ and a copy."""
    with tempfile.TemporaryDirectory() as folder:
        for batch in _BATCHES:
            count = (1 << (20 if options.quick else 25)) // batch
            size = batch * EVENT.itemsize
            work = {f"copy of {batch:,} events at a time": rate(partial(_copies, batch, count))}
            for scheme in ("ipc", "tcp"):
                raw = partial(raw_zmq, scheme, folder, count, size)
                queue = partial(through_queue, scheme, folder, batch, count)
                work[f"plain ZeroMQ, {scheme}, {batch:,} events a message"] = partial(
                    lambda raw: raw() / EVENT.itemsize / 1e6, raw
                )
                work[f"queue, {scheme}, {batch:,} events a message"] = partial(
                    lambda queue: queue() / 1e6, queue
                )
            found = in_turns(work, options.runs)
            names = list(found)
            yield from compare("transport", "Mev/s", {names[0]: found[names[0]]})
            for plain in (names[1], names[3]):
                own = plain.replace("plain ZeroMQ", "queue")
                pair = {plain: found[plain], own: found[own]}
                yield from compare("transport", "Mev/s", pair, plain)


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
