"""What the machine itself can do: copy memory, pass bytes between processes, multiply matrices.

Usage: python -m benchmarks.limits [--quick] [--json FILE]
"""

import multiprocessing
import sys
import tempfile
import time

import numpy as np
import zmq

from benchmarks.measure import Options, Rows, command, compare, in_turns, rate

__all__ = ["raw_zmq", "rows"]

_MESSAGE_BYTES = 1_048_576


def _send(endpoint: str, count: int, size: int) -> None:
    """Push messages through a plain ZeroMQ socket."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.setsockopt(zmq.LINGER, -1)
        socket.connect(endpoint)
        message = bytes(size)
        for _ in range(count):
            socket.send(message, copy=False)


def raw_zmq(scheme: str, folder: str, count: int, size: int) -> float:
    """Pass messages from a process to this one through plain ZeroMQ; return bytes a second.

    The clock starts at the first message, so the start of the process does not count.
    """
    endpoint = "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{folder}/raw"
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.bind(endpoint)
        bound = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        process = multiprocessing.get_context("spawn").Process(
            target=_send, args=(bound, count + 1, size)
        )
        process.start()
        socket.recv(copy=False)
        started = time.perf_counter()
        total = sum(len(socket.recv(copy=False)) for _ in range(count))
        seconds = time.perf_counter() - started
        process.join()
    return total / seconds


def rows(options: Options) -> Rows:
    """Yield the limits."""
    size = 1 << (22 if options.quick else 27)
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    side = 128 if options.quick else 1024
    a = np.random.default_rng(0).random((side, side), np.float32)
    vector = a[0].copy()

    def copy() -> int:
        target[:] = source
        return size

    def matrix() -> int:
        for _ in range(3):
            np.matmul(a, a)
        return 3 * 2 * side**3

    def times_vector() -> int:
        for _ in range(100):
            np.matmul(a, vector)
        return 100 * 2 * side**2

    work = {"copy of memory (memcpy)": rate(copy, 1e9)}
    with tempfile.TemporaryDirectory() as folder:
        count = 50 if options.quick else 2_000
        for scheme in ("ipc", "tcp"):
            name = f"plain ZeroMQ between processes, {scheme}, messages of 1 MiB"
            work[name] = lambda scheme=scheme: raw_zmq(scheme, folder, count, _MESSAGE_BYTES) / 1e9
        yield from compare("machine", "GB/s", in_turns(work, options.runs))
    products = {
        f"matrix product, float32, {side}×{side}, NumPy": rate(matrix, 1e9),
        f"matrix times vector, float32, {side}×{side}, NumPy": rate(times_vector, 1e9),
    }
    yield from compare("machine", "Gflop/s", in_turns(products, options.runs))


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
