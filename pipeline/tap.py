"""A tap: a socket at which a stage shows some of what it puts out to whoever looks.

It is sampled: one message in 40 ms at most, none while nobody looks, and none is kept for a viewer
that is slow. What flows between the stages is not touched.
"""

import time
from contextlib import suppress
from pathlib import Path

import zmq

from pipeline.messages import Data, Message, encode

__all__ = ["Tap", "tap_endpoint"]

_PERIOD_NS = 40_000_000
_WAITING = 2


def tap_endpoint(folder: Path, stage: str) -> str:
    """Return where a stage of the run in ``folder`` shows what it puts out."""
    return f"ipc://{folder}/tap-{stage}"


class Tap:
    """The stage's end; it belongs to the stage's thread."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str) -> None:
        self._socket = context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.sndhwm = _WAITING
        self._socket.bind(endpoint)
        self._next_ns = 0
        self._viewers = 0

    @property
    def viewers(self) -> int:
        """How many look, as of the last message that was offered."""
        return self._viewers

    def offer(self, message: Message) -> None:
        """Show a message of data, if it is time for one and somebody looks."""
        now_ns = time.monotonic_ns()
        if now_ns < self._next_ns or not isinstance(message.header, Data):
            return
        self._next_ns = now_ns + _PERIOD_NS
        with suppress(zmq.Again):
            while True:
                self._viewers += 1 if self._socket.recv(zmq.NOBLOCK)[:1] == b"\1" else -1
        if self._viewers > 0:
            with suppress(zmq.Again):
                self._socket.send_multipart(encode(message), zmq.NOBLOCK)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(0)
