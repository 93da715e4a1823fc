"""A feed: where a live source takes events from; the ring in its own process, or a spool.

Both say what came, in order, and what is known while nothing comes. A feed is played once, from the
state that the source is put back to after a crash.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from stages.counts import Counts, add_counts
from stages.formats.notes import HIGHEST_FILL
from stages.sources.capture import Capture, Device, Gap, Patience, Status
from stages.sources.drops import Drops
from stages.sources.live_state import LiveState, Place
from stages.sources.ring import Ring, Taken
from stages.sources.tally import LOST_IN_CRASH, TOO_SLOW, Tally

__all__ = ["Feed", "Look", "RingFeed"]


class Look(NamedTuple):
    """What a look into a feed gave."""

    status: Status
    taken: Taken | None = None
    """Events, if there were any."""
    lost: Counts = ()
    """Events lost before these, in all, by reason."""
    place: Place | None = None
    """Where the spool is read on, behind what was taken."""
    more: bool = False
    """Whether to look again at once."""


class Feed(ABC):
    """What comes from a device."""

    @abstractmethod
    def start(self, state: LiveState) -> None:
        """Begin to listen, or go on from a state that a checkpoint kept.

        Raises:
            DeviceError: the device is not there and is not waited for, or it cannot be used.
        """

    @abstractmethod
    def look(self, most: int) -> Look:
        """Return up to ``most`` events, or how it stands; never wait.

        Raises:
            PipelineError: what was put by for it cannot be read.
        """

    @abstractmethod
    def remark(self) -> str:
        """Return what a person should know, each remark once; empty for nothing."""

    @property
    @abstractmethod
    def failure(self) -> Exception | None:
        """Why nothing will come any more; None if the device's stream has just ended."""

    @property
    @abstractmethod
    def received(self) -> int:
        """How many events have come from the device, before a crash too."""

    @property
    @abstractmethod
    def lost(self) -> dict[str, int]:
        """How many of them are lost, by reason."""

    @property
    @abstractmethod
    def notes(self) -> dict[str, int]:
        """What the devices reported, by kind."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the device."""


class RingFeed(Feed):
    """Events of a device that this process listens to itself.

    Args:
        connect: opens the device.
        ring_events: the most that may wait.
        patience: how much is waited for the device.
        tally: outlives this process.
    """

    def __init__(
        self, connect: Callable[[], Device], ring_events: int, patience: Patience, tally: Tally
    ) -> None:
        self.ring = Ring(ring_events)
        self.capture = Capture(connect, self.ring, patience)
        self._connect, self._patience, self._tally = connect, patience, tally
        self._drops = Drops(
            "the pipeline is too slow",
            "make it faster, or filter or limit events before the slow stage",
        )
        self._before: Counts = ()
        self._device: Counts = ()
        self._base = self._taken = self._dropped = 0
        self._lost: Counts = ()
        self._ends_old = False

    def start(self, state: LiveState) -> None:
        """Connect; behind a checkpoint what had come since is lost."""
        self._before, self._device, self._base = state.lost, state.device, state.accounted
        if state.kept_at_s:
            lost = max(0, self._tally.received - state.accounted)
            self._before = add_counts(state.lost, {LOST_IN_CRASH: lost})
            self._base += lost
            # A device that was there before is lost, as if it had been unplugged.
            patience = self._patience._replace(wait=self._patience.wait or self._patience.retry)
            gap = Gap(lost, state.kept_at_s)
            self.capture = Capture(self._connect, self.ring, patience, gap)
            self._ends_old = state.under is not None
        self._lost = self._before
        self.ring.count_into(self._tally, self._base)
        self.capture.start()

    def look(self, most: int) -> Look:
        """Take events out of the ring."""
        if self._ends_old:
            self._ends_old = False
            return Look(Status(None, 0), lost=self._lost, more=True)
        # In this order: what the status says has come is in the ring by then.
        status = self.capture.status
        taken = self.ring.take(most)
        if taken is not None:
            dropped = taken.number - self._taken
            self._taken += len(taken.events)
            if dropped != self._dropped:
                self._dropped = dropped
                self._lost = add_counts(self._before, {TOO_SLOW: dropped})
        return Look(status, taken, self._lost)

    def remark(self) -> str:
        """Return what the capture has to say, or that the ring drops events."""
        if self.capture.remarks:
            return self.capture.remarks.popleft()
        return self._drops.remark(self.ring.count().dropped)

    @property
    def failure(self) -> Exception | None:
        """Why the capture ended before its time."""
        return self.capture.failure

    @property
    def received(self) -> int:
        """How many events were put into the ring, and into those of the processes before."""
        return self._base + self.ring.count().put

    @property
    def lost(self) -> dict[str, int]:
        """What the ring dropped, and what crashes took."""
        return dict(add_counts(self._before, {TOO_SLOW: self.ring.count().dropped}))

    @property
    def notes(self) -> dict[str, int]:
        """What the devices reported."""
        before = Counter(dict(self._device))
        highest = max(before.pop(HIGHEST_FILL, 0), self.ring.count().highest)
        return dict(before + Counter(self.capture.notes) + Counter({HIGHEST_FILL: highest}))

    def close(self) -> None:
        """Let go of the device."""
        self.capture.close()
