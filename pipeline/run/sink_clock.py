"""How long a prediction took: from its last event, or from when that came in, to its delivery."""

from pipeline.clock import now_ns
from pipeline.messages import Clock, Data, Header, Predictions, Retime, Start
from pipeline.observe.latency import LatencyHistogram

__all__ = ["SinkClock"]


class SinkClock:
    """Measures how long after its last event a prediction was delivered.

    Attributes:
        latency: from when the event was due, or came in.
        transit: of paced sources, from when the message that closed the window left them; what is
            left out is how well the source kept its clock.
    """

    def __init__(self) -> None:
        self.latency, self.transit = LatencyHistogram(), LatencyHistogram("release")
        self._clocks: dict[str, Clock | None] = {}
        self._live: dict[str, bool] = {}

    def follow(self, header: Header) -> None:
        """Take note of the clock of a stream."""
        if isinstance(header, Start | Retime):
            self._clocks[header.stream] = header.clock
        if isinstance(header, Start):
            self._live[header.stream] = header.live

    def due_ns(self, header: Data) -> int:
        """Return when data were due, or came in."""
        clock = self._clocks.get(header.stream)
        return header.born_ns if clock is None else clock.due_ns(header.t_last_us)

    def observe(self, header: Header) -> None:
        """Predictions have just been delivered."""
        now = now_ns()
        if not isinstance(header, Predictions):
            return
        clock = self._clocks.get(header.stream)
        for span in header.spans:
            if clock is None:
                if self._live.get(header.stream):
                    self.latency.add(now - header.born_ns)
            elif span.last_event_us is not None:
                self.latency.since = "event"
                self.latency.add(now - clock.due_ns(span.last_event_us))
                self.transit.add(now - header.born_ns)
