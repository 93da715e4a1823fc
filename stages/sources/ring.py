"""The bounded ring between a device and the pipeline: it never makes the device wait.

One thread puts events in, another takes them out. When the ring is full the oldest events make room
for the new ones and are counted, so that what leaves it is always the latest that there is. While
all processes live it is the only place of a live source where events are lost.
"""

import threading
from collections import deque
from typing import NamedTuple

import numpy as np

from pipeline.events import EventArray, empty_events
from stages.sources.tally import Tally

__all__ = ["Ring", "RingCount", "Session", "Taken"]


class Session(NamedTuple):
    """One connection to a device, from plugging it in to its loss."""

    number: int
    width: int
    height: int
    source: str
    """The camera, or where the events come from."""
    lost_events: int = 0
    """Events that had come before it and were lost in a crash."""
    gap_us: int = 0
    """For how long before it nobody listened, the run being interrupted."""


class Taken(NamedTuple):
    """Events of one session, in the order in which they were put in."""

    events: EventArray
    session: Session
    first_arrived_ns: int
    """Monotonic time at which the first of them had arrived."""
    last_arrived_ns: int
    """When the last of them had."""
    number: int = 0
    """How many had been put in before the first of them, those that were dropped too."""


class RingCount(NamedTuple):
    """Events at one moment; ``put == dropped + taken + held``."""

    put: int
    dropped: int
    taken: int
    held: int
    highest: int
    """The most that were ever held."""


class Ring:
    """A circular buffer of events.

    Args:
        capacity: how many events it holds, at 24 bytes each with the times of arrival.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._words = empty_events(capacity).view(np.int64).reshape(-1, 2)
        self._arrived_ns = np.empty(capacity, np.int64)
        self._lock = threading.Lock()
        self._begin = 0
        """Where in the buffer the oldest event is."""
        self._first = 0
        """How many events had been put in before the oldest."""
        self._put = 0
        self._dropped = 0
        self._taken = 0
        self._highest = 0
        self._tally: Tally | None = None
        self._before = 0
        self._sessions: deque[tuple[int, Session]] = deque()
        """Sessions, each with the number of events put in before its first."""

    def count_into(self, tally: Tally, before: int) -> None:
        """Keep count of all that was ever put in where a crash does not reach.

        Args:
            tally: outlives this process.
            before: how many events were received in the processes before.
        """
        self._tally, self._before = tally, before
        tally.received = before

    def put(self, events: EventArray, session: Session, arrived_ns: int) -> None:
        """Put events in, at the cost of the oldest; they are copied."""
        words = events.view(np.int64).reshape(-1, 2)
        count = len(words)
        if not count:
            return
        with self._lock:
            if not self._sessions or self._sessions[-1][1] != session:
                self._sessions.append((self._put, session))
            self._put += count
            if self._tally is not None:
                self._tally.received = self._before + self._put
            surplus = max(0, self._put - self._first - self._capacity)
            self._dropped += surplus
            self._advance(surplus)
            if self._first == self._put - count:
                # Empty: staying at the front keeps the memory in use, and the cache, small.
                self._begin = 0
            words = words[-self._capacity :]
            place = (self._begin + self._put - len(words) - self._first) % self._capacity
            whole = min(len(words), self._capacity - place)
            self._words[place : place + whole] = words[:whole]
            self._words[: len(words) - whole] = words[whole:]
            self._arrived_ns[place : place + whole] = arrived_ns
            self._arrived_ns[: len(words) - whole] = arrived_ns
            self._highest = max(self._highest, self._put - self._first)

    def take(self, most: int) -> Taken | None:
        """Take up to ``most`` of the oldest events, None if there are none; never waits."""
        with self._lock:
            end = self._sessions[1][0] if len(self._sessions) > 1 else self._put
            count = min(most, end - self._first)
            if not count:
                return None
            whole = min(count, self._capacity - self._begin)
            events = empty_events(count)
            words = events.view(np.int64).reshape(-1, 2)
            words[:whole] = self._words[self._begin : self._begin + whole]
            words[whole:] = self._words[: count - whole]
            first, last = self._begin, (self._begin + count - 1) % self._capacity
            taken = Taken(
                events,
                self._sessions[0][1],
                int(self._arrived_ns[first]),
                int(self._arrived_ns[last]),
                self._first,
            )
            self._taken += count
            self._advance(count)
            return taken

    def count(self) -> RingCount:
        """Return the counts, all of the same moment."""
        with self._lock:
            held = self._put - self._first
            return RingCount(self._put, self._dropped, self._taken, held, self._highest)

    def _advance(self, count: int) -> None:
        """Let go of the oldest events, and of the sessions that have none left."""
        self._begin = (self._begin + count) % self._capacity
        self._first += count
        while len(self._sessions) > 1 and self._sessions[1][0] <= self._first:
            self._sessions.popleft()
