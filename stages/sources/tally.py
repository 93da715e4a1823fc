"""The tally of a live source: a few numbers in memory that outlives the processes which share it.

It is made before workers are forked. When one is killed, what it had counted is still there, so
that it can be told how many events were lost with it.
"""

import mmap
from collections.abc import Mapping

import numpy as np

__all__ = [
    "DISK_FAILED",
    "DISK_SLOW",
    "LOST_IN_CRASH",
    "NOT_SENT",
    "SPOOL_DAMAGED",
    "SPOOL_FULL",
    "TOO_SLOW",
    "Tally",
]

# Why events that a device handed over came into no recording.

TOO_SLOW = "dropped: the pipeline was too slow"
"""They were the oldest in a full ring."""
DISK_SLOW = "dropped: the disk of the spool was too slow"
"""They were the oldest in a full ring before the spool."""
SPOOL_FULL = "dropped: the spool was full"
"""The spool held all the bytes that it may."""
DISK_FAILED = "dropped: the spool could not be written"
"""The disk was full, or refused to write."""
SPOOL_DAMAGED = "lost: the spool is damaged"
"""They were in parts of the spool that cannot be read."""
LOST_IN_CRASH = "lost in a crash"
"""They were in the memory of a process that was killed."""
NOT_SENT = "not sent when the run was stopped"
"""They waited when the run ended."""

_FIRST_REASON = 8
_REASONS = (LOST_IN_CRASH, DISK_SLOW, SPOOL_FULL, DISK_FAILED)


class _Number:
    """One of the numbers, by its place among them."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, tally: "Tally", _: type) -> int:
        return int(tally.numbers[self._place])

    def __set__(self, tally: "Tally", value: int) -> None:
        tally.numbers[self._place] = value


class Tally:
    """Numbers that all forks of a process see; each is written by one of them at a time.

    Attributes:
        numbers: int64, all of them.
        listens: 1 once the source plays, and the device may be opened.
        passed: by the source: events that it accounted for when it began to play.
        place: by the source: the segment of the spool in which it began.
        segment: by the spooler: the first segment of this run, 0 before there is one.
        process: by the spooler: its process.
        beat_ns: by the spooler: when it was last busy, by the monotonic clock.
        failures: by the spooler: how often it has met an error that it cannot deal with.
        received: events that have come from the device, in all processes together.
    """

    listens, passed, place = _Number(0), _Number(1), _Number(2)
    segment, process, beat_ns, failures = _Number(3), _Number(4), _Number(5), _Number(6)
    received = _Number(7)

    def __init__(self) -> None:
        self.numbers = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.int64)

    @property
    def lost(self) -> dict[str, int]:
        """Events that the spooler lost so far, by reason."""
        counts = self.numbers[_FIRST_REASON : _FIRST_REASON + len(_REASONS)].tolist()
        return {reason: count for reason, count in zip(_REASONS, counts, strict=True) if count}

    @lost.setter
    def lost(self, counts: Mapping[str, int]) -> None:
        for place, reason in enumerate(_REASONS, start=_FIRST_REASON):
            self.numbers[place] = counts.get(reason, 0)
