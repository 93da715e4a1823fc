"""The state of a live source: what became of its events, and where its recording is."""

from typing import NamedTuple

from stages.counts import Counts
from stages.formats.inspection import NO_TIME_US
from stages.sources.ring import Session

__all__ = ["LiveState", "Place", "Under"]


class Place(NamedTuple):
    """Where a spool is read on."""

    segment: int
    """Number of the file."""
    offset: int
    """Bytes in it that are done with; the next record may be half worked on."""


class Under(NamedTuple):
    """The recording that is under way."""

    session: Session
    """The connection that it comes from."""
    last_us: int = NO_TIME_US
    """Time of its latest event."""
    watermark_us: int = NO_TIME_US
    """How far its time has been passed on."""
    arrived_ns: int = 0
    """When its latest events came in, by the monotonic clock."""


class LiveState(NamedTuple):
    """What became of the events so far."""

    recordings: int
    """Recordings started."""
    sent: int
    """Events sent in all."""
    refused: Counts
    """Events refused, by reason."""
    notes: Counts
    """What else was found, by kind."""
    lost: Counts = ()
    """Events that a device handed over and that came into no recording, by reason."""
    device: Counts = ()
    """What devices reported in the processes before, by kind."""
    under: Under | None = None
    """The recording under way, None between two."""
    place: Place | None = None
    """Where the spool is read on, None without one, or before it is read."""
    kept_at_s: float = 0.0
    """When a checkpoint was made of it, in s since 1970; 0 if none was."""

    @property
    def passed(self) -> int:
        """Events that were inspected: sent or refused."""
        return self.sent + sum(count for _, count in self.refused)

    @property
    def accounted(self) -> int:
        """Events of which it is known what became of them."""
        return self.passed + sum(count for _, count in self.lost)
