"""The clock of a run: the monotonic clock of the host that supervises it, on every host.

On that host it is the monotonic clock itself. On others the offset to it is measured when they
join, so that times which messages carry from host to host can be compared; they are as good as the
measurement, about half of the time that a message takes from one to the other.
"""

import time

__all__ = ["now_ns", "offset_ns", "set_offset_ns"]

_offset_ns = 0


def set_offset_ns(offset_ns: int) -> None:
    """Say how far the run's clock is ahead of this host's, for this process and its forks."""
    global _offset_ns
    _offset_ns = offset_ns


def offset_ns() -> int:
    """Return how far the run's clock is ahead of this host's."""
    return _offset_ns


def now_ns() -> int:
    """Return the time by the run's clock, in ns."""
    return time.monotonic_ns() + _offset_ns
