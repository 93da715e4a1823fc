"""Who may join the tcp queues of a process: CurveZMQ, and a list of public keys.

Every tcp queue is encrypted, and its receiver lets in only peers whose keys it knows. There is no
way to turn that off in a pipeline. Processes of one run on one host share a pair of keys that is
drawn for the run and lies in its private folder; hosts know each other by keys that last
(`pipeline.queue.keys`).

ZeroMQ asks about each peer that has proved to hold a key (ZAP, rfc.zeromq.org/spec/27); what never
gets that far, such as bytes that are no greeting, shows as a connection that ends before it began.
Both are answered by one thread of each process. A refusal is told once, and harms nobody.
"""

import ipaddress
import itertools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import zmq
from zmq.utils.monitor import parse_monitor_message

from pipeline.errors import PipelineError, WireError
from pipeline.queue.keys import KeyFolder, KeyPair, read_secret
from pipeline.run.folder import RUN_KEY

__all__ = ["Guard", "host_guard", "refuse_open_tcp", "run_guard"]

_ASKS = "inproc://zeromq.zap.01"
_HANDSHAKE_MS = 5_000
_TOLD = 100
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH
_WATCHED = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _REFUSED
_names = itertools.count()


def run_guard(context: "zmq.Context[zmq.Socket[bytes]]", folder: Path) -> "Guard":
    """Return the guard of a process of a run, which lets in the run's other processes alone."""
    pair = read_secret(folder / RUN_KEY)
    return Guard(
        context, pair, lambda: {"run": pair.public}, "only the run's own processes join it"
    )


def host_guard(context: "zmq.Context[zmq.Socket[bytes]]", folder: Path) -> "Guard":
    """Return a guard with the user's own key, which lets in whom ``pipeline keys`` allows."""
    keys = KeyFolder(folder)
    advice = "if it is one of yours: pipeline keys allow NAME KEY"
    return Guard(context, keys.own(), keys.allowed, advice)


def refuse_open_tcp(endpoint: str, name: str) -> None:
    """Refuse a tcp endpoint without keys that is not of this host alone.

    Raises:
        WireError: it is one.
    """
    scheme, _, address = endpoint.partition("://")
    host = address.rpartition(":")[0].strip("[]")
    if scheme != "tcp" or host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:  # "*", an interface or the name of a host
        pass
    raise WireError(
        f"queue {name}: {endpoint} leaves this host and needs keys; make them: pipeline keys make"
    )


class Guard:
    """Encrypts the tcp sockets of one context, and answers who may join them."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        own: KeyPair,
        allowed: Callable[[], Mapping[str, bytes]],
        advice: str,
    ) -> None:
        """Take over the questions of ``context`` once its first queue is bound.

        Args:
            context: that of the queues; the guard ends with it.
            own: what this process proves to be.
            allowed: public keys of the peers by name; asked anew for each that comes.
            advice: what whoever runs this may do about a key that is refused.
        """
        self._context = context
        self._own = own
        self._allowed = allowed
        self._advice = advice
        self._told = set[str]()
        self._new: deque[tuple[str, zmq.Socket[bytes]]] = deque()
        self._lock = threading.Lock()
        self._wake: int | None = None

    def bind(self, socket: "zmq.Socket[bytes]", queue: str) -> None:
        """Lock a socket that will be bound for ``queue``."""
        self._start()
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._own.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, queue.encode()[:200])
        # Nobody is let in, should there be no one to ask.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        self._new.append((queue, _monitor(self._context, socket, _WATCHED)))
        assert self._wake is not None
        os.write(self._wake, b"!")

    def connect(
        self, socket: "zmq.Socket[bytes]", queue: str, peer: str | None, watched: int = _REFUSED
    ) -> "zmq.Socket[bytes]":
        """Make a socket speak to ``peer`` and nobody else.

        Args:
            socket: not connected yet.
            queue: its queue's name.
            peer: who has bound it; None where all share one key.
            watched: what its monitor tells of.

        Returns:
            Its monitor; it tells at least when the peer has refused our key (`refusal`).

        Raises:
            PipelineError: the peer has no key here.
        """
        allowed = self._allowed()
        server = self._own.public if peer is None else allowed.get(peer)
        if server is None:
            known = ", ".join(allowed) or "nobody"
            raise PipelineError(
                f"queue {queue}: no key of '{peer}' is known; known are: {known}. Add it: pipeline"
                f" keys allow {peer} KEY"
            )
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        socket.setsockopt(zmq.CURVE_SERVERKEY, server)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._own.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._own.secret)
        return _monitor(self._context, socket, watched)

    def refusal(self, queue: str, endpoint: str) -> WireError:
        """Return the error of a sender whose key was refused."""
        return WireError(
            f"queue {queue}: {endpoint} does not let this key in; allow it there: pipeline keys"
            f" allow NAME {self._own.public.hex()}"
        )

    def _start(self) -> None:
        with self._lock:
            if self._wake is None:
                asks = self._context.socket(zmq.REP)
                asks.linger = 0
                asks.bind(_ASKS)
                hear, self._wake = os.pipe()
                threading.Thread(
                    target=self._serve, args=(asks, hear), name="guard", daemon=True
                ).start()

    def _serve(self, asks: "zmq.Socket[bytes]", hear: int) -> None:
        watched: dict[zmq.Socket[bytes], _Door] = {}
        poller = zmq.Poller()
        poller.register(asks, zmq.POLLIN)
        poller.register(hear, zmq.POLLIN)
        try:
            while True:
                for ready, _ in poller.poll():
                    if ready == hear:
                        os.read(hear, 4096)
                        while self._new:
                            queue, monitor = self._new.popleft()
                            watched[monitor] = _Door(queue)
                            poller.register(monitor, zmq.POLLIN)
                    elif ready is asks:
                        asks.send_multipart(self._answer(asks.recv_multipart()))
                    else:
                        event = parse_monitor_message(ready.recv_multipart())["event"]
                        if event == zmq.EVENT_MONITOR_STOPPED:
                            poller.unregister(ready)
                            del watched[ready]
                            ready.close(0)
                        elif watched[ready].ended_early(event):
                            self._refused(watched[ready].queue, "a connection", b"")
        except zmq.ContextTerminated:
            pass
        finally:
            for socket in (asks, *watched, *(monitor for _, monitor in self._new)):
                socket.close(0)
            os.close(hear)

    def _answer(self, question: list[bytes]) -> list[bytes]:
        """Answer one question: 200 lets the peer in, 400 does not."""
        version, number, domain, address, _identity, mechanism, *credentials = question
        key = credentials[0] if mechanism == b"CURVE" else b""
        name = self._names().get(key, "")
        if not name:
            self._refused(domain.decode(errors="replace"), address.decode(errors="replace"), key)
        # Whoever reads what the peer sends is told its name with it, as "User-Id".
        return [version, number, b"200" if name else b"400", b"", name.encode(), b""]

    def _names(self) -> Mapping[bytes, str]:
        """Return the name of each key that is let in."""
        try:
            return {key: name for name, key in self._allowed().items()}
        except PipelineError as error:
            self._tell(f"nobody is let in: {error}")
            return {}

    def _refused(self, queue: str, who: str, key: bytes) -> None:
        why = "it does not speak CurveZMQ with the right key, or it broke before it had begun"
        if key:
            why = f"its key {key.hex()} is not allowed; {self._advice}"
        self._tell(f"queue {queue}: {who} was refused: {why}")

    def _tell(self, what: str) -> None:
        """Say it once; a flood of strangers is no flood of lines."""
        if what in self._told or len(self._told) >= _TOLD:
            return
        self._told.add(what)
        rest = "; no more of these are told" if len(self._told) == _TOLD else ""
        print(f"warning: {what}{rest}", file=sys.stderr, flush=True)


class _Door:
    """Sees which connections to a queue end before they have begun."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self._knocking = 0
        self._refused = 0

    def ended_early(self, event: int) -> bool:
        if event == zmq.EVENT_ACCEPTED:
            self._knocking += 1
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._knocking -= 1
        elif event == _REFUSED:
            self._refused += 1  # its key has been told
        elif self._knocking:
            # ZeroMQ does not say which connection it was: with a peer inside and another at the
            # door it is taken for that at the door.
            self._knocking -= 1
            if not self._refused:
                return True
            self._refused -= 1
        return False


def _monitor(
    context: "zmq.Context[zmq.Socket[bytes]]", socket: "zmq.Socket[bytes]", events: int
) -> "zmq.Socket[bytes]":
    address = f"inproc://monitor-{next(_names)}"
    socket.monitor(address, events)
    monitor = context.socket(zmq.PAIR)
    monitor.linger = 0
    monitor.connect(address)
    return monitor
