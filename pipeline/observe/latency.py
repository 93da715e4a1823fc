"""Latency statistics in constant memory: a histogram with buckets one percent wide.

Latency is how long a prediction comes behind the last event of its window. It has a meaning only
where events come at a time of their own: live, when they arrive; replayed at a speed, when they are
due. Recordings that are read as fast as the pipeline can have none: their events would only tell
how long they stood in queues.
"""

import math

import msgspec

__all__ = ["Latency", "LatencyHistogram"]

_BUCKETS_PER_E = 100


class Latency(msgspec.Struct, frozen=True):
    """Quantiles in milliseconds; each is exact to one percent, ``max_ms`` to the nanosecond."""

    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    since: str
    """What it is counted from: ``event``, when the last event was due, ``arrival``, when the
    oldest of the live events that came in with it did, or ``release``, when the message that
    closed the window left the source."""


class LatencyHistogram:
    """Gathers durations in ns; ``since`` says what they are counted from."""

    def __init__(self, since: str = "arrival") -> None:
        self._counts: dict[int, int] = {}
        self._max_ns = 0
        self.since = since

    def add(self, duration_ns: int) -> None:
        """Add one duration; negative ones count as zero."""
        duration_ns = max(duration_ns, 0)
        bucket = math.ceil(math.log(max(duration_ns, 1)) * _BUCKETS_PER_E)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._max_ns = max(self._max_ns, duration_ns)

    def quantile_ms(self, fraction: float) -> float:
        """Return the duration that ``fraction`` of all do not exceed."""
        total, seen = sum(self._counts.values()), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= fraction * total:
                return min(math.exp(bucket / _BUCKETS_PER_E), self._max_ns) / 1e6
        return 0.0

    def summary(self) -> Latency | None:
        """Return the statistics, None when nothing was added."""
        if not self._counts:
            return None
        return Latency(
            count=sum(self._counts.values()),
            p50_ms=round(self.quantile_ms(0.5), 3),
            p99_ms=round(self.quantile_ms(0.99), 3),
            max_ms=round(self._max_ns / 1e6, 3),
            since=self.since,
        )
