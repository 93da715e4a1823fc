"""The spooler: a process that listens to a device and writes what comes to the disk, at once.

It runs beside the workers and outlives them, so that a crash of theirs costs no event; should it be
killed itself, another goes on in its place, in a segment of its own. A disk that is slow or full
never makes the device wait: a ring stands between, and what finds no room is counted.
"""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from pipeline.report import failure_of
from stages.sources.capture import Capture, Device, Gap, Patience, Status
from stages.sources.drops import Drops
from stages.sources.ring import Ring, Session, Taken
from stages.sources.spool_folder import SpoolFolder
from stages.sources.spool_records import (
    MAGIC,
    Block,
    Counted,
    Damaged,
    Head,
    Idle,
    Over,
    block_parts,
    mark_parts,
    read_record,
)
from stages.sources.spool_writer import NoRoom, SpoolWriter
from stages.sources.tally import DISK_FAILED, DISK_SLOW, LOST_IN_CRASH, SPOOL_FULL, Tally

__all__ = ["SpoolOptions", "Spooler"]

_POLL_S = 0.001
_AGAIN_S = 0.05
"""How soon to try again to begin a segment."""
_COUNTED_NS = 250_000_000
"""How often changes of what devices report are written down."""


class SpoolOptions(NamedTuple):
    """What a live source's options say to its spooler; see `stages.sources.live.LiveConfig`."""

    ring_events: int
    block_events: int
    idle_us: int
    spool_bytes: int
    patience: Patience


class Spooler:
    """Writes the spool of one source.

    Args:
        name: of the source.
        connect: opens the device.
        folder: where the spool is.
        options: of the source.
        tally: shared with the source, and with the spooler that comes after this one.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[], Device],
        folder: SpoolFolder,
        options: SpoolOptions,
        tally: Tally,
    ) -> None:
        self._name, self._connect, self._folder = name, connect, folder
        self._options, self._tally = options, tally

    def run(self, over: threading.Event) -> None:
        """Listen and write from the moment when the source plays until ``over``."""
        tally = self._tally
        tally.process, tally.beat_ns = os.getpid(), time.monotonic_ns()
        lock: int | None = None
        while lock is None:
            tally.beat_ns = time.monotonic_ns()
            if over.wait(_POLL_S):
                return
            lock = self._folder.lock() if tally.listens else None
        try:
            _Spooling(self._name, self._connect, self._folder, self._options, tally).run(over)
        except Exception:
            tally.failures += 1
            raise
        finally:
            os.close(lock)


class _Spooling:
    """The spooler at work."""

    def __init__(
        self,
        name: str,
        connect: Callable[[], Device],
        folder: SpoolFolder,
        options: SpoolOptions,
        tally: Tally,
    ) -> None:
        self._name, self._options, self._tally = name, options, tally
        past, gap = _go_on(folder, tally)
        self._past = past
        numbers = folder.numbers()
        first = max(numbers[-1] if numbers else 0, tally.place) + 1
        self._writer = SpoolWriter(folder, options.spool_bytes, first)
        self._ring = Ring(options.ring_events)
        self._ring.count_into(tally, past.number)
        patience = options.patience
        if gap is not None:
            # A device that was there before is lost, as if it had been unplugged.
            patience = patience._replace(wait=patience.wait or patience.retry)
        self._capture = Capture(connect, self._ring, patience, gap)
        self._session: Session | None = None
        self._named = 0
        """What the session is known by: the number of its first segment."""
        self._begun = self._ended = self._closes = False
        self._idle_ns = self._counted_ns = 0
        self._again_s = 0.0
        self._taken = self._dropped = 0
        """Events taken out of the ring, and dropped by it before those."""
        self._refused = Counter[str]()
        self._written = self._counts
        self._trouble = ""
        """Why the last record could not be written."""
        self._owes = False
        """Whether losses are still to be written down, before any event that comes behind them."""
        self._drops = {
            SPOOL_FULL: Drops(
                f"the spool is full (spool_bytes = {options.spool_bytes})",
                "make the pipeline faster, or give it more",
            ),
            DISK_SLOW: Drops("the disk of the spool is too slow", "use a faster one"),
        }

    def run(self, over: threading.Event) -> None:
        """Listen and write until ``over``, and then what has come until then."""
        self._begin(None)
        try:
            self._capture.start()
        except Exception as error:
            self._end(error)
        while not over.is_set():
            self._tally.beat_ns = time.monotonic_ns()
            if not self._step():
                over.wait(_POLL_S)
        self._closes = True
        self._capture.close()
        while self._step():
            pass
        self._writer.close()

    def _step(self) -> bool:
        """Write what has come; return whether there was something."""
        while self._capture.remarks:
            self._tell(self._capture.remarks.popleft())
        # In this order: what the status says has come is in the ring by then.
        status = self._capture.status
        taken = self._ring.take(self._options.block_events)
        session = status.session if taken is None else taken.session
        if taken is not None:
            self._dropped = taken.number - self._taken
        is_new = not self._begun or session != self._session or self._writer.is_long
        if is_new and not self._ended:
            self._begin(session)
        self._count(in_a_hurry=taken is not None)
        if taken is not None:
            self._put(taken)
        elif status.over and not self._closes:
            self._end(self._capture.failure)
        elif session is not None:
            self._idle(status)
        return taken is not None

    @property
    def _number(self) -> int:
        """How many events the device has handed over before the next to be written."""
        return self._past.number + self._taken + self._dropped

    @property
    def _counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Events lost by reason, and what devices reported, with what was before."""
        lost = Counter(self._past.lost) + self._refused + Counter({DISK_SLOW: self._dropped})
        return dict(lost), dict(Counter(self._past.notes) + Counter(self._capture.notes))

    def _begin(self, session: Session | None) -> None:
        """Begin a segment."""
        if time.monotonic() < self._again_s:
            return
        if session != self._session or not self._named:
            self._named = self._writer.number + 1
        named = None if session is None else session._replace(number=self._named)
        counts = self._counts
        self._session = session
        self._begun = self._tried(lambda: self._writer.begin(Head(named, self._number, *counts)))
        if self._begun:
            self._written, self._owes = counts, False
            self._tally.segment = self._tally.segment or self._writer.number
        else:
            self._again_s = time.monotonic() + _AGAIN_S

    def _append(self, parts: Sequence[bytes | memoryview]) -> bool:
        return self._begun and self._tried(lambda: self._writer.append(parts))

    def _put(self, taken: Taken) -> None:
        """Write events, or count them."""
        block = Block(self._number, taken.first_arrived_ns, taken.last_arrived_ns, taken.events)
        if self._owes or not self._append(block_parts(block)):
            reason = SPOOL_FULL if self._trouble == SPOOL_FULL else DISK_FAILED
            self._refused[reason] += len(taken.events)
            drops = self._drops.get(self._trouble) or self._drops.setdefault(
                self._trouble, Drops(self._trouble, "make space, it goes on as soon as there is")
            )
            self._tell(drops.remark(self._refused[reason]))
        self._taken += len(taken.events)

    def _idle(self, status: Status) -> None:
        """Write that the device has nothing, now and then."""
        if status.looked_ns >= self._idle_ns + 1000 * self._options.idle_us:
            self._idle_ns = status.looked_ns
            self._append(mark_parts(Idle(status.looked_ns, status.lag_us)))

    def _count(self, in_a_hurry: bool) -> None:
        """Write down what has changed: losses before any event that comes behind them."""
        counts = lost, _ = self._counts
        if counts == self._written:
            return
        now_ns = time.monotonic_ns()
        if lost == self._written[0]:
            if in_a_hurry or now_ns < self._counted_ns + _COUNTED_NS:
                return
        else:
            self._tally.lost = lost
            self._tell(self._drops[DISK_SLOW].remark(self._dropped))
        self._counted_ns = now_ns
        self._owes = not self._append(mark_parts(Counted(*counts)))
        if not self._owes:
            self._written = counts

    def _end(self, error: Exception | None) -> None:
        """Write that nothing will come any more, once."""
        if not self._ended:
            failure = None if error is None else failure_of(error)
            self._ended = self._append(mark_parts(Over(failure)))

    def _tried(self, write: Callable[[], None]) -> bool:
        """Write; return whether it worked, or leave behind why not."""
        try:
            write()
        except NoRoom:
            self._trouble = SPOOL_FULL
        except OSError as error:
            self._trouble = f"the spool cannot be written: {error.strerror}"
        else:
            return True
        return False

    def _tell(self, remark: str) -> None:
        if remark:
            print(f"{self._name}: {remark}", file=sys.stderr, flush=True)


def _go_on(folder: SpoolFolder, tally: Tally) -> tuple[Head, Gap | None]:
    """Return the counts to go on from, and what is missing before them."""
    last = _last(folder)
    if last is None:
        return Head(None, tally.passed, {}, {}), None
    past, since_s = last
    # What the spooler before knew to be lost, and had not come to write down.
    lost = dict(Counter(past.lost) | Counter(tally.lost))
    number = past.number + sum(lost.values()) - sum(past.lost.values())
    crashed = max(0, tally.received - number)
    if crashed:
        lost[LOST_IN_CRASH] = lost.get(LOST_IN_CRASH, 0) + crashed
    tally.lost = lost
    number = max(number + crashed, tally.passed)
    return Head(None, number, lost, past.notes), Gap(crashed, since_s)


def _last(folder: SpoolFolder) -> tuple[Head, float] | None:
    """Return the counts as of the end of a spool, and when that was; None if there is none."""
    for segment in reversed(folder.numbers()):
        file = os.open(folder.segment(segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            head, offset = None, len(MAGIC)
            with suppress(Damaged):
                while record := read_record(file, offset):
                    content, offset = record
                    if isinstance(content, Head):
                        head = content
                    elif isinstance(content, Block) and head is not None:
                        number = content.number + len(content.events)
                        head = msgspec.structs.replace(head, number=number)
                    elif isinstance(content, Counted) and head is not None:
                        head = msgspec.structs.replace(head, lost=content.lost, notes=content.notes)
            if head is not None:
                return head, os.fstat(file).st_mtime
        finally:
            os.close(file)
    return None
