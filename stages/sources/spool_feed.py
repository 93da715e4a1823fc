"""Reads a spool while it grows, as a feed: from any place again, and ever the same.

Marks are followed one by one, so that time passes on at the same events whenever it is read. The
numbers that events have show what is missing, whatever has become of it.
"""

import os
import signal
import time
from collections import Counter, deque
from contextlib import suppress

from pipeline.errors import DeviceError
from pipeline.report import Failure
from stages.counts import Counts, add_counts
from stages.sources.capture import Status
from stages.sources.feed import Feed, Look
from stages.sources.live_state import LiveState, Place
from stages.sources.ring import Session, Taken
from stages.sources.spool_folder import SpoolFolder
from stages.sources.spool_records import (
    MAGIC,
    Block,
    Counted,
    Damaged,
    Head,
    Idle,
    Over,
    Record,
    read_record,
)
from stages.sources.tally import SPOOL_DAMAGED, Tally

__all__ = ["SpoolFeed"]

_SILENT_NS = 10_000_000_000
"""A spooler that has not been busy for so long is taken for dead."""
_FAILURES = 3
_DAMAGED_NS = 1_000_000_000
"""What is no record for so long is not just being written."""


class SpoolFeed(Feed):
    """What a spooler has written.

    Args:
        folder: of the spool.
        tally: shared with the spooler.
    """

    def __init__(self, folder: SpoolFolder, tally: Tally) -> None:
        self._folder, self._tally = folder, tally
        self._file: int | None = None
        self._segment, self._offset = 0, 0
        self._status = Status(None, 0)
        self._lost: Counts = ()
        self._notes: Counts = ()
        self._passed = 0
        """Events that were taken before."""
        self._remarks = deque[str]()
        self._failure: Exception | None = None
        self._damaged_since_ns = self._looked_ns = 0
        self._removed_to = 0

    def start(self, state: LiveState) -> None:
        """Go to the place of a state, and let the device be listened to."""
        self._lost, self._notes, self._passed = state.lost, state.device, state.passed
        self._tally.passed = state.accounted
        if state.place is not None:
            self._segment, self._offset = state.place
            self._tally.place = state.place.segment
        if state.under is not None:
            self._status = Status(state.under.session, 0)
        self._tally.listens = 1

    def look(self, most: int) -> Look:
        """Return the next events, or what the next mark says."""
        self._watch()
        # What an earlier run has written is read once it is known where that ends.
        record = self._next() if self._tally.segment else None
        if record is None:
            return Look(self._status, None, self._lost, self._place)
        content = record.content
        taken = None
        if isinstance(content, Block):
            taken = self._taken(content)
        elif isinstance(content, Head):
            self._begin(content)
        elif isinstance(content, Counted):
            self._count(content.lost, content.notes)
        elif isinstance(content, Idle):
            session = self._status.session
            self._status = Status(session, content.looked_ns, content.lag_us)
        elif isinstance(content, Over) and self._is_latest:
            self._failure = _error_of(content.failure)
            self._status = self._status._replace(session=None, over=True)
        self._offset = record.end
        return Look(self._status, taken, self._lost, self._place, more=True)

    def remark(self) -> str:
        """Return what is wrong with the spool; the spooler tells the rest itself."""
        return self._remarks.popleft() if self._remarks else ""

    @property
    def failure(self) -> Exception | None:
        """Why the spooler's capture ended before its time."""
        return self._failure

    @property
    def received(self) -> int:
        """How many events the spoolers have received."""
        return self._tally.received

    @property
    def lost(self) -> dict[str, int]:
        """What spoolers and damage took, also of what was not read yet."""
        return dict(Counter(dict(self._lost)) | Counter(self._tally.lost))

    @property
    def notes(self) -> dict[str, int]:
        """What the devices reported until the place that was read."""
        return dict(self._notes)

    def forget(self, place: Place) -> None:
        """Remove all that lies before a place."""
        if place.segment > self._removed_to:
            self._removed_to = place.segment
            self._folder.remove([n for n in self._folder.numbers() if n < place.segment])

    def close(self) -> None:
        """Close the segment that is read."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def _place(self) -> Place:
        return Place(self._segment, self._offset)

    @property
    def _is_latest(self) -> bool:
        """Whether the segment is of the spooler that works now, and no other follows it."""
        return self._segment >= self._tally.segment and not self._follows()

    def _follows(self) -> bool:
        return self._folder.segment(self._segment + 1).exists()

    def _next(self) -> Record | None:
        """Return the next record, of the next segment if this one is at its end."""
        while self._file is not None or self._open():
            assert self._file is not None
            # Asked first: a segment is not written any more when the next is there.
            follows = self._follows()
            is_damaged = False
            record = None
            try:
                record = read_record(self._file, self._offset)
            except Damaged:
                is_damaged = True
            if record is not None:
                self._damaged_since_ns = 0
                return record
            if not follows:
                if is_damaged:
                    self._wait_for_better()
                return None
            left = os.fstat(self._file).st_size - self._offset
            if left > 0:
                self._remarks.append(
                    f"{self._folder.segment(self._segment)}: its last {left} bytes are no whole"
                    " record, as where its writer was killed, and are left out"
                )
            self.close()
            self._segment, self._offset = self._segment + 1, 0
        return None

    def _open(self) -> bool:
        """Open the segment to be read; return whether there is one."""
        there = self._folder.numbers()
        if self._segment not in there:
            later = [number for number in there if number > self._segment]
            if not later:
                return False
            self._segment, self._offset = later[0], 0
        path = self._folder.segment(self._segment)
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if not self._offset:
            if not MAGIC.startswith(os.pread(self._file, len(MAGIC), 0)):
                raise DeviceError(
                    f"{path}: is no segment of a spool, or of another version; remove it, or name"
                    " another folder"
                )
            self._offset = len(MAGIC)
        return True

    def _begin(self, head: Head) -> None:
        """Take over what a segment begins with; see how many events are missing before it."""
        self._count(head.lost, head.notes)
        missing = head.number - self._passed - sum(count for _, count in self._lost)
        if missing > 0:
            self._lost = add_counts(self._lost, {SPOOL_DAMAGED: missing})
            self._remarks.append(
                f"{self._folder.segment(self._segment)}: {missing:,} events before it are lost:"
                " the spool is damaged"
            )
        session: Session | None = head.session
        if session is None or session != self._status.session:
            self._status = Status(session, 0)

    def _count(self, lost: dict[str, int], notes: dict[str, int]) -> None:
        self._lost = add_counts((), Counter(dict(self._lost)) | Counter(lost))
        self._notes = add_counts((), Counter(dict(self._notes)) | Counter(notes))

    def _taken(self, block: Block) -> Taken | None:
        """Return the events of a block that were not taken before."""
        skip = self._passed + sum(count for _, count in self._lost) - block.number
        events = block.events[max(0, skip) :]
        session = self._status.session
        if not len(events) or session is None:
            return None
        self._passed += len(events)
        first_ns, last_ns = block.first_arrived_ns, block.last_arrived_ns
        return Taken(events, session, first_ns, last_ns, block.number + max(0, skip))

    def _wait_for_better(self) -> None:
        """Tell, once, that what lies there does not become a record."""
        now_ns = time.monotonic_ns()
        if not self._damaged_since_ns:
            self._damaged_since_ns = now_ns
        elif 0 < self._damaged_since_ns < now_ns - _DAMAGED_NS:
            self._damaged_since_ns = -1
            self._remarks.append(
                f"{self._folder.segment(self._segment)}: is damaged at byte {self._offset}; what"
                " follows is left out until the next segment begins"
            )

    def _watch(self) -> None:
        """Kill a spooler that hangs; another is started then."""
        tally, now_ns = self._tally, time.monotonic_ns()
        looked_ns, self._looked_ns = self._looked_ns, now_ns
        if tally.failures >= _FAILURES:
            raise DeviceError(
                f"the process that fills {self._folder.path} has failed {tally.failures} times;"
                " what it printed says why"
            )
        if now_ns - looked_ns > _SILENT_NS // 2:
            # We were stopped ourselves, it with us perhaps: it gets its time anew.
            tally.beat_ns = now_ns
        elif tally.process and now_ns - tally.beat_ns > _SILENT_NS:
            tally.beat_ns = now_ns
            self._remarks.append(
                f"the process of its spool, {tally.process}, has not answered for"
                f" {_SILENT_NS / 1e9:g} s and is killed; another goes on in its place"
            )
            with suppress(ProcessLookupError):
                os.kill(tally.process, signal.SIGKILL)


def _error_of(failure: Failure | None) -> Exception | None:
    """Return an error as it was before it was written down."""
    if failure is None:
        return None
    if failure.details:
        return RuntimeError(f"{failure.text}\n{failure.details}")
    return DeviceError(failure.text)
