"""The board of a run: where others read how it stands, and say what they want of it.

Two sockets in the run's folder: one publishes a `RunStatus` a few times a second, the other takes
orders to the sources: pause, step, play on, another speed, reset, stop.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import zmq

from pipeline.observe.status import RunStatus
from pipeline.run.control import Order, Pause, Resume, Step

__all__ = ["Board", "orders_endpoint", "status_endpoint"]

_PERIOD_S = 0.25
_LAST_WORDS_MS = 100
_LARGEST_ORDER_BYTES = 4096


def status_endpoint(folder: Path) -> str:
    """Return where a run publishes how it stands."""
    return f"ipc://{folder}/status"


def orders_endpoint(folder: Path) -> str:
    """Return where a run takes orders."""
    return f"ipc://{folder}/orders"


class Board:
    """The run's end."""

    def __init__(self, folder: Path) -> None:
        self._context = zmq.Context()
        self._status = self._context.socket(zmq.PUB)
        self._orders = self._context.socket(zmq.PULL)
        self._orders.setsockopt(zmq.MAXMSGSIZE, _LARGEST_ORDER_BYTES)
        for socket in (self._status, self._orders):
            socket.linger = 0
        self._status.bind(status_endpoint(folder))
        self._orders.bind(orders_endpoint(folder))
        self._next_s = 0.0
        self.paused = False
        """As far as orders taken here tell."""

    def show(self, status: Callable[[], RunStatus]) -> None:
        """Publish how the run stands, if it is time to."""
        now_s = time.monotonic()
        if now_s >= self._next_s:
            # Between two beats of the workers: then all have told of the same moment.
            self._next_s = (now_s // _PERIOD_S + 1.5) * _PERIOD_S
            self.show_last(status())

    def show_last(self, status: RunStatus) -> None:
        """Publish how the run stands, whenever it is."""
        self._status.send(msgspec.msgpack.encode(status))

    def next_order(self) -> Order | None:
        """Return the oldest order that was not carried out; what is none is passed over."""
        with suppress(zmq.Again):
            while True:
                raw = self._orders.recv(zmq.NOBLOCK)
                with suppress(msgspec.MsgspecError):
                    order: Order = msgspec.msgpack.decode(raw, type=Order)
                    self.paused = isinstance(order, Pause | Step) or (
                        self.paused and not isinstance(order, Resume)
                    )
                    return order
        return None

    def close(self) -> None:
        """Close the sockets; who listens is still told what was said last."""
        self._status.close(_LAST_WORDS_MS)
        self._orders.close(0)
        self._context.term()
