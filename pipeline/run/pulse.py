"""What a stage's thread is doing, for another thread to read: counters, never waited for."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.clock import now_ns
from pipeline.observe.latency import LatencyHistogram
from pipeline.observe.status import StageStatus
from pipeline.queue.backlog import Backlog
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender

__all__ = ["Pulse"]


class Pulse:
    """Written by the thread that drives the stage, read by any.

    Attributes:
        event_us: event time of the latest data.
        latency: of a sink.
        gauges: what the stage shows.
        refused: units that it did not use, by reason.
    """

    def __init__(self) -> None:
        self.event_us: int | None = None
        self.latency: LatencyHistogram | None = None
        self.gauges: dict[str, float] = {}
        self.refused: dict[str, int] = {}
        self.worked_ns = 0
        self._since_ns = 0
        self._due_ns = self._worst_ns = 0
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

    def take(self, due_ns: int) -> None:
        """A message of data has come that was due, or came in, by the run's clock."""
        self._due_ns = due_ns
        self._worst_ns = max(self._worst_ns, now_ns() - due_ns)

    def deal(self) -> None:
        """All that follows from the message has been sent."""
        self._due_ns = 0

    def _steered(self) -> list[tuple[Sender, Backlog]]:
        """Return the queues that overload's ladder steers."""
        pairs = [(sender, sender.backlog) for sender in self._senders]
        return [(sender, one) for sender, one in pairs if one is not None and one.steered]

    def _lag_s(self) -> float:
        """Return how far behind its messages were, at worst, since this was asked."""
        worst_ns, self._worst_ns, due_ns = self._worst_ns, 0, self._due_ns
        if due_ns:
            worst_ns = max(worst_ns, now_ns() - due_ns)
        return worst_ns / 1e9

    @contextmanager
    def busy(self) -> Iterator[None]:
        """The stage does something beside its steps: it opens, it commits."""
        self._since_ns = time.monotonic_ns()
        try:
            yield
        finally:
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
            lag_s=self._lag_s(),
            offered=sum(sender.units for sender, _ in self._steered()),
            pressed=sum(backlog.pressed for _, backlog in self._steered()),
            received=[receiver.count() for receiver in self._receivers],
            sent=[sender.count() for sender in self._senders],
            event_us=self.event_us,
            latency=None if self.latency is None else self.latency.summary(),
            gauges=self.gauges,
            refused=self.refused,
            over=over,
        )
