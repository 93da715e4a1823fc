"""One recording of a live stream: its inspection, and how far its time has come.

The times of events are the device's own and are never changed to fit our clock: an event that comes
behind the time that was passed on without it keeps its time, and is counted. Whether an event goes
back in time is judged by the events before it alone.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EventArray, empty_events
from pipeline.messages import EndRecording, Events, Message, Start, control, data
from stages.counts import Counts, add_counts
from stages.formats.inspection import NO_TIME_US, Inspector, Violation
from stages.formats.notes import HANDED_OVER_LATE
from stages.formats.policies import Policies
from stages.sources.capture import Status
from stages.sources.live_state import Under

__all__ = ["LiveRecording"]


class LiveRecording:
    """Makes the messages of a recording.

    Args:
        stream: name of the source.
        epoch: number of the recording.
        under: where it is; one that begins has only its session.
        policies: what to do about mistakes.
        refused: events left out of the recordings before, by reason.
        notes: what else was found in them, by kind.

    Attributes:
        session: the connection that it comes from.
        late_us: by how much the latest batch came behind the time passed on; 0 if it did not.
    """

    def __init__(
        self,
        stream: str,
        epoch: int,
        under: Under,
        policies: Policies,
        refused: Counts = (),
        notes: Counts = (),
    ) -> None:
        session = self.session = under.session
        self.late_us = 0
        self._stream, self._epoch = stream, epoch
        self._inspector = Inspector(session.width, session.height, policies, under.last_us)
        self._inspector.refused.update(dict(refused))
        self._inspector.notes.update(dict(notes))
        self._watermark_us, self._arrived_ns = under.watermark_us, under.arrived_ns

    @property
    def under(self) -> Under:
        """Where it is, to go on from."""
        return Under(self.session, self.last_us, self._watermark_us, self._arrived_ns)

    @property
    def last_us(self) -> int:
        """Time of the latest event, `NO_TIME_US` for none."""
        return self._inspector.last_us

    @property
    def counts(self) -> tuple[Counts, Counts]:
        """Events refused so far and what else was found, with those of the recordings before."""
        return add_counts((), self._inspector.refused), add_counts((), self._inspector.notes)

    def start(self) -> Message:
        """Return the message that begins it."""
        session = self.session
        start = Start(
            stream=self._stream,
            epoch=self._epoch,
            width=session.width,
            height=session.height,
            source=session.source,
            live=True,
            lost_events=session.lost_events,
            gap_us=session.gap_us,
        )
        return control(start)

    def end(self) -> Message:
        """Return the message that ends it."""
        return control(EndRecording(stream=self._stream, epoch=self._epoch))

    def inspect(self, events: EventArray, arrived_ns: int) -> tuple[EventArray, Violation | None]:
        """Return the events that stay, and why they end before the others do.

        Args:
            events: what the device handed over.
            arrived_ns: when the last of them came.
        """
        before_us = self.last_us
        good = self._inspector.inspect(events)
        self.late_us = 0
        if len(good):
            if self._watermark_us > before_us:
                self._find_late(good["t"], before_us)
            self._watermark_us = max(self._watermark_us, self.last_us)
            self._arrived_ns = arrived_ns
        return good, self._inspector.violation

    def events(self, events: EventArray) -> Message:
        """Return a message of events."""
        return self._message(events, int(events["t"][0]), int(events["t"][-1]))

    def idle(self, status: Status, margin_us: int, idle_us: int) -> Message | None:
        """Return the time that has passed without events, if it is worth a message.

        Args:
            status: when the device was found to have nothing, and how much its time lags.
            margin_us: how much later still its events may come.
            idle_us: how much time is worth a message.
        """
        if self.last_us == NO_TIME_US:
            return None
        passed_us = (status.looked_ns - self._arrived_ns) // 1000
        now_us = self.last_us + passed_us - status.lag_us - margin_us
        if now_us < self._watermark_us + idle_us:
            return None
        self._watermark_us = now_us
        return self._message(empty_events(), now_us, now_us)

    def _find_late(self, t: NDArray[np.int64], before_us: int) -> None:
        """Count what lies behind the time that was passed on and not behind an earlier event."""
        late = t[(t < self._watermark_us) & (t >= before_us)]
        if len(late):
            self.late_us = self._watermark_us - int(late.min())
            self._inspector.notes[HANDED_OVER_LATE] += len(late)

    def _message(self, events: EventArray, first_us: int, last_us: int) -> Message:
        return data(
            Events,
            events,
            stream=self._stream,
            epoch=self._epoch,
            t_first_us=first_us,
            t_last_us=last_us,
            watermark_us=self._watermark_us,
        )
