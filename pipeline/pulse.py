"""What a stage's thread is doing, for another thread to read: counters, never waited for."""

import time
from collections.abc import Sequence

from pipeline.latency import LatencyHistogram
from pipeline.queues import Receiver, Sender
from pipeline.report import QueueCount
from pipeline.status import StageStatus

__all__ = ["Pulse"]


class Pulse:
    """Written by the thread that drives the stage, read by any.

    Attributes:
        event_us: event time of the latest data.
        latency: of a sink.
        refused: units that it did not use, by reason.
        gauges: what the stage shows.
    """

    def __init__(self) -> None:
        self.event_us: int | None = None
        self.latency: LatencyHistogram | None = None
        self.refused: dict[str, int] = {}
        self.gauges: dict[str, float] = {}
        self.worked_ns = 0
        self._since_ns = 0
        self._receivers: Sequence[Receiver] = ()
        self._senders: Sequence[Sender] = ()

    def watch(self, receivers: Sequence[Receiver], senders: Sequence[Sender]) -> None:
        """Tell of these queues from now on."""
        self._receivers, self._senders = receivers, senders

    def begin(self, now_ns: int) -> None:
        """The stage is given something to do."""
        self._since_ns = now_ns

    def end(self, now_ns: int) -> None:
        """It has done it."""
        self.worked_ns += now_ns - self._since_ns
        self._since_ns = 0

    def busy_s(self) -> float:
        """Return for how long it has been busy with one thing, 0 if it is not."""
        since_ns = self._since_ns
        return (time.monotonic_ns() - since_ns) / 1e9 if since_ns else 0.0

    def status(self, name: str, over: bool) -> StageStatus:
        """Return what is known now."""
        return StageStatus(
            name=name,
            busy_s=round(self.busy_s(), 6),
            worked_s=self.worked_ns / 1e9,
            received=[QueueCount(r.name, r.messages, r.units) for r in self._receivers],
            sent=[
                QueueCount(s.name, s.messages, s.units, s.blocked_ns / 1e9) for s in self._senders
            ],
            event_us=self.event_us,
            latency=None if self.latency is None else self.latency.summary(),
            gauges=self.gauges,
            refused=self.refused,
            over=over,
        )
