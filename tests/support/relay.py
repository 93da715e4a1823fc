"""A link between hosts that delays, stalls and breaks when it is told to: a TCP relay."""

import random
import selectors
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType

__all__ = ["Relay", "disturb"]

_RESET = struct.pack("ii", 1, 0)
_TICK_S = 0.005


class _Way:
    """Bytes on their way from one end of a connection to the other."""

    def __init__(self, from_: socket.socket, to: socket.socket) -> None:
        self.from_, self.to = from_, to
        self.chunks = deque[tuple[float, bytes]]()


class Relay:
    """Passes on every connection to ``port``; use it in a ``with``.

    Attributes:
        port: of the relay.
        delay_s: how long bytes are under way.
        stalled: nothing goes through, as on a cable that was pulled out; what was under way does
            when it is put back.
        broken: how many connections were cut.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.delay_s, self.stalled, self.broken = 0.0, False, 0
        self._ways: list[_Way] = []
        self._cuts = deque[str]()
        self._over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Relay":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        self._thread.join()

    def cut(self, end: str = "both") -> None:
        """Break all connections; only one ``end``, "client" or "server", may be told of it."""
        self._cuts.append(end)

    def _serve(self) -> None:
        untold: list[socket.socket] = []
        while not self._over:
            while self._cuts:
                untold += self._cut(self._cuts.popleft())
            if not self.stalled:
                self._accept()
                for way in [*self._ways]:
                    self._pass(way)
            self._wait()
        self._cut("both")
        for each in (*untold, self._listener):
            each.close()

    def _wait(self) -> None:
        if self.stalled:
            threading.Event().wait(_TICK_S)
            return
        with selectors.DefaultSelector() as selector:
            for one in (self._listener, *(way.from_ for way in self._ways)):
                selector.register(one, selectors.EVENT_READ)
            selector.select(_TICK_S)

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    _reset(client)
                    continue
                for end in (client, server):
                    end.setblocking(False)
                self._ways += [_Way(client, server), _Way(server, client)]

    def _pass(self, way: _Way) -> None:
        try:
            with suppress(BlockingIOError):
                chunk = way.from_.recv(1 << 16)
                if not chunk:
                    raise ConnectionResetError
                way.chunks.append((time.monotonic() + self.delay_s, chunk))
            with suppress(BlockingIOError):
                while way.chunks and way.chunks[0][0] <= time.monotonic():
                    due_s, chunk = way.chunks.popleft()
                    sent = way.to.send(chunk)
                    if sent < len(chunk):
                        way.chunks.appendleft((due_s, chunk[sent:]))
        except OSError:
            self._ways = [each for each in self._ways if not {each.from_, each.to} & {way.from_}]
            for end in (way.from_, way.to):
                _reset(end)

    def _cut(self, end: str) -> list[socket.socket]:
        """Reset the ends of all connections; return those that were not told."""
        ways, self._ways = self._ways, []
        untold = []
        for k in range(0, len(ways), 2):
            self.broken += 1
            ends = {"client": ways[k].from_, "server": ways[k].to}
            for name, one in ends.items():
                if end in (name, "both"):
                    _reset(one)
                else:
                    untold.append(one)
        return untold


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.close()


def disturb(relay: Relay, rng: random.Random) -> None:
    """Do something to a link."""
    relay.delay_s = rng.choice([0.0, 0.0, 0.001, 0.02])
    relay.stalled = rng.random() < 0.2
    if rng.random() < 0.5:
        relay.cut(rng.choice(["both", "client", "server"]))
