"""A tap: a socket at which a stage shows some of what it puts out to whoever looks.

It is sampled: one message in 40 ms at most, or in 4 ms of those that are small, none while nobody
looks, and few are kept for a viewer that is slow. What flows between the stages is not touched. The
Start of the recording is shown to whoever comes later, since it says how large the sensor is.
"""

import time
import zlib
from base64 import b32encode
from contextlib import suppress
from pathlib import Path

import zmq

from pipeline.messages import Data, Message, Start, encode

__all__ = ["GAUGES", "Tap", "tap_endpoint"]

GAUGES = b"gauges"
"""What to subscribe to in order to be shown a stage's gauges alone; no message begins like this."""
_PERIOD_NS = 40_000_000
_SMALL_BYTES = 8192
_SMALL_PERIOD_NS = 4_000_000
"""A paced source sends a message each millisecond, with few events: a picture takes many."""
_WAITING = 32


def tap_endpoint(folder: Path, stage: str) -> str:
    """Return where a stage of the run in ``folder`` shows what it puts out."""
    # Not by its name: paths of sockets may be no longer than 107 bytes.
    short = b32encode(zlib.crc32(stage.encode()).to_bytes(4)).decode().strip("=").lower()
    return f"ipc://{folder}/t-{short}"


class Tap:
    """The stage's end; it belongs to the stage's thread."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str) -> None:
        self._socket = context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.sndhwm = _WAITING
        # Whoever comes is told of, though another looks already: it has not seen the Start.
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._socket.bind(endpoint)
        self._next_ns = 0
        self._watchers = self._viewers = 0
        self._start: Message | None = None

    @property
    def viewers(self) -> int:
        """How many look at the messages, as of the last that was offered."""
        return self._viewers

    @property
    def watched(self) -> bool:
        """Whether anybody looks, if only at the gauges, as of the last message offered."""
        return self._viewers + self._watchers > 0

    def offer(self, message: Message) -> None:
        """Show a message, if it is time for one and somebody looks; control is not shown."""
        header = message.header
        if isinstance(header, Start):
            self._start = message
            if self._viewers > 0:
                self._show(message)
        now_ns = time.monotonic_ns()
        if now_ns < self._next_ns or not isinstance(header, Data):
            return
        small = message.array.nbytes <= _SMALL_BYTES
        self._next_ns = now_ns + (_SMALL_PERIOD_NS if small else _PERIOD_NS)
        if self._hear() and self._start is not None:
            self._show(self._start)
        if self._viewers > 0:
            self._show(message)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(0)

    def _hear(self) -> bool:
        """Count who looks; return whether somebody has come."""
        news = False
        with suppress(zmq.Again):
            while True:
                said = self._socket.recv(zmq.NOBLOCK)
                change = 1 if said[:1] == b"\1" else -1
                if said[1:] == GAUGES:
                    self._watchers += change
                else:
                    self._viewers += change
                    news = news or change > 0
        return news

    def _show(self, message: Message) -> None:
        with suppress(zmq.Again):
            self._socket.send_multipart(encode(message), zmq.NOBLOCK)
