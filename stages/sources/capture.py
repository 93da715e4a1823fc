"""Capture: the thread that takes events from a device into the ring, and brings a lost one back.

It does nothing else, so that the device never waits: what is slow happens on the other side of the
ring. What a device is, and how it is lost, is here too.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from pipeline.errors import DeviceError
from pipeline.events import EventArray
from stages.sources.lag import Lag
from stages.sources.ring import Ring, Session

__all__ = ["Capture", "Device", "Gap", "Lost", "NotThere", "Patience", "Status"]

_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 1.0
_CLOSE_S = 1.0
_REMARKS = 100


class Lost(Exception):
    """A device is gone: unplugged, or its connection closed; the text says which."""


class NotThere(DeviceError):
    """A device cannot be used now and may be later; the text says what a person can do."""


class Patience(NamedTuple):
    """How much is waited for a device; see `ConnectionConfig`."""

    wait: bool = False
    retry: bool = True
    give_up_s: float | None = None


class Gap(NamedTuple):
    """What a crash has left open before a device is listened to again."""

    lost_events: int
    """Events that had come and are lost."""
    since_s: float
    """When it was last listened to, in s since 1970."""


class Device(ABC):
    """An open camera or connection. It belongs to the capture thread once it is open.

    Attributes:
        width: columns of the sensor.
        height: rows of the sensor.
        source: the camera's name, or where the events come from.
        interval_us: how often it says that it hands events over, None if it does not say.
        notes: counts of what else it reports, such as its own overflows.
    """

    width: int
    height: int
    source: str
    interval_us: int | None = None

    def __init__(self) -> None:
        self.notes: Counter[str] = Counter()

    @abstractmethod
    def read(self) -> EventArray | None:
        """Return what has come in, of dtype `EVENT`; None after a few ms without anything.

        Padding must be zero; coordinates that are no int16 must be -1. The array may be used again
        by the next call.

        Raises:
            Lost: the device is gone.
            DeviceError: what it sends cannot be used, and connecting again would not help.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the device, also of one that was lost."""


class Status(NamedTuple):
    """What the capture thread knows; it is replaced as a whole.

    All that arrived before ``looked_ns``, and all of any session but this one, is in the ring.
    """

    session: Session | None
    """None while there is no device."""
    looked_ns: int
    """When the device was last found to have nothing."""
    lag_us: int = 0
    """How far behind the wall clock its time must stay, see `Lag`."""
    over: bool = False
    """No event will come any more."""


class Capture:
    """Reads a device into a ring until it is closed.

    Args:
        connect: opens the device; raises `NotThere` when it may come later.
        ring: where the events go.
        patience: how much is waited for the device.
        gap: what a crash before has left open; the first session tells it.

    Attributes:
        status: what is known; read it before looking into the ring.
        failure: why the capture ended before its time.
        remarks: what a person should know, oldest first; take them out on the left.
    """

    def __init__(
        self,
        connect: Callable[[], Device],
        ring: Ring,
        patience: Patience,
        gap: Gap | None = None,
    ) -> None:
        self.status = Status(None, time.monotonic_ns())
        self.failure: Exception | None = None
        self.remarks: deque[str] = deque(maxlen=_REMARKS)
        self._connect = connect
        self._ring = ring
        self._patience = patience
        self._gap = gap
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._device: Device | None = None
        self._sessions = 0
        self._notes: Counter[str] = Counter()

    def start(self) -> None:
        """Connect and begin to read.

        Raises:
            DeviceError: the device is not there and is not waited for, or it cannot be used.
        """
        if not self._patience.wait:
            try:
                self._device = self._connect()
            except NotThere as error:
                raise NotThere(f"{error}, or set wait = true") from None
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading and let go of the device."""
        self._stop.set()
        if self._thread is not None:
            # It may still be about to connect, and is then left behind.
            self._thread.join(_CLOSE_S)

    @property
    def notes(self) -> dict[str, int]:
        """What all devices so far reported, and how often one was lost and came back."""
        device, notes = self._device, Counter(self._notes)
        if device is not None:
            notes.update(dict(device.notes))
        notes["reconnections"] = max(0, self._sessions - 1)
        return dict(notes)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._device = self._device or self._connected()
                if self._device is None:
                    break
                if self._read(self._device) and not self._patience.retry:
                    break
        except Exception as error:
            self.failure = error
        finally:
            with suppress(Exception):
                self._let_go()
            self.status = Status(None, self.status.looked_ns, over=True)

    def _read(self, device: Device) -> bool:
        """Read a device until it is lost or the capture is closed; return whether it is lost."""
        session = self._session(device)
        lag = Lag(device.interval_us)
        self._sessions += 1
        self.status = Status(session, time.monotonic_ns())
        try:
            while not self._stop.is_set():
                looked_ns = time.monotonic_ns()
                events = device.read()
                if events is None:
                    self.status = Status(session, looked_ns, lag.us)
                else:
                    arrived_ns = time.monotonic_ns()
                    lag.learn(events, arrived_ns)
                    self._ring.put(events, session, arrived_ns)
        except Lost as loss:
            again = "; connecting again" if self._patience.retry else ""
            self.remarks.append(f"{device.source}: {loss}{again}")
            self._let_go()
            self.status = Status(None, time.monotonic_ns())
            return True
        return False

    def _session(self, device: Device) -> Session:
        session = Session(self._sessions, device.width, device.height, device.source)
        gap, self._gap = self._gap, None
        if gap is None:
            return session
        gap_us = max(0, round(1e6 * (time.time() - gap.since_s)))
        lost = f", and {gap.lost_events:,} events that had come are lost" if gap.lost_events else ""
        self.remarks.append(
            f"{device.source}: nobody listened for {gap_us / 1e6:.1f} s, while the run was"
            f" interrupted{lost}; a new recording begins"
        )
        return session._replace(lost_events=gap.lost_events, gap_us=gap_us)

    def _connected(self) -> Device | None:
        """Try to connect until it works; None when the capture is closed before."""
        began, give_up_s = time.monotonic(), self._patience.give_up_s
        pause_s = _FIRST_RETRY_S if self._sessions else 0.0
        told = self._sessions > 0
        while not self._stop.wait(pause_s):
            try:
                device = self._connect()
                if told:
                    self.remarks.append(f"{device.source}: is there")
                return device
            except NotThere as error:
                if not told and not self._sessions:
                    self.remarks.append(f"{error}; waiting for it")
                told = True
                tried_s = time.monotonic() - began
                if give_up_s is not None and tried_s >= give_up_s:
                    raise DeviceError(f"{error}; gave up after {tried_s:.1f} s") from None
            pause_s = min(max(2 * pause_s, _FIRST_RETRY_S), _LONGEST_RETRY_S)
        return None

    def _let_go(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()
            self._notes.update(device.notes)
