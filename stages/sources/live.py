"""What every live source is: a device behind a ring, never made to wait.

A source's module says how to connect; capture, ring, inspection, idle time and the account are the
same for all and are here. Each connection is a recording of its own: when the device is lost the
recording ends, and when it is back the next one starts, at which every stage begins anew. So does
it when the device's clock is set back by a second or more.

While nothing comes the watermark follows the wall clock, behind by the interval at which the
device hands its events over and by ``margin_us``, so that windows close. An event that comes later
than that lies before the watermark and is treated as one that goes back in time.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Literal, NamedTuple, TypeVar

from pydantic import Field

from pipeline.errors import DeviceError
from pipeline.events import EventArray, empty_events
from pipeline.messages import EndRecording, Events, Message, Start, control, data
from pipeline.ports import EventsPort
from pipeline.stage import Account, Played, Source
from stages.counts import Counts, add_counts
from stages.formats.inspection import NO_TIME_US, Inspector, Violation
from stages.formats.policies import Policies
from stages.sources.capture import Capture, Device, Status
from stages.sources.ring import Ring, Session, Taken

__all__ = ["LiveConfig", "LiveSource", "LiveState"]

_POLL_S = 0.001


class LiveConfig(Policies):
    """Options that every live source has."""

    on_damage: Literal["raise", "drop"] = "drop"
    """At bytes that are no events: ``drop`` leaves them out, ``raise`` ends the run."""
    on_time_back: Literal["clamp", "drop", "keep", "raise"] = "clamp"
    """At an event earlier than one before it: ``clamp`` gives it that one's time, as long as the
    step is below a second (a longer one is a clock that was set back, and begins a new recording);
    ``drop`` leaves it out; ``keep`` passes it on as it is, and bins may then find it late."""
    ring_events: int = Field(4_000_000, ge=1, le=1 << 28)
    """Events, of 16 bytes, that may wait for a slow pipeline; the oldest are dropped for more."""
    batch_events: int = Field(16_384, ge=1, le=16_777_216)
    """Events in a message, at most; it never changes the result."""
    idle_us: int = Field(5_000, ge=1_000, le=60_000_000)
    """How often the time is passed on while no events come, in µs."""
    margin_us: int = Field(5_000, ge=0, le=60_000_000)
    """How much later than its interval says the device may hand events over, in µs."""
    wait: bool = False
    """Whether the device may be missing at first."""
    on_lost: Literal["retry", "end"] = "retry"
    """When the device is unplugged or its connection closed: ``retry`` connects again, after 0.1 s
    at first and every second later on, ``end`` ends the stream."""
    give_up_s: float | None = Field(None, ge=0, allow_inf_nan=False)
    """How long to try to connect before that is an error, in s; for ever when left out."""


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


C = TypeVar("C", bound=LiveConfig)


class LiveSource(Source[C, LiveState]):
    """A source of events that come when they come."""

    def __init__(self, name: str, config: C, inputs: tuple[()] = ()) -> None:
        super().__init__(name, config, inputs)
        self._ring: Ring | None = None
        self._capture: Capture | None = None

    @abstractmethod
    def connect(self) -> Device:
        """Open the device.

        Raises:
            DeviceError: it is not there; the text says what was looked for, what is there, and
                what to do.
        """

    def port(self) -> EventsPort:
        """Return events of a sensor that only the device will tell."""
        return EventsPort(None, None, live=True)

    def open(self) -> None:
        """Make the ring. The device is left alone until every stage is ready."""
        config = self.config
        self._ring = Ring(config.ring_events)
        self._capture = Capture(self.connect, self._ring, config.on_lost, config.give_up_s)
        # Loads the kernels while nothing waits for them yet.
        odd = empty_events(1)
        odd["p"] = 2
        Inspector(1, 1, config).inspect(odd)

    def close(self) -> None:
        """Let go of the device."""
        if self._capture is not None:
            self._capture.close()

    def initial_state(self) -> LiveState:
        """Return the state before the first event."""
        return LiveState(0, 0, (), ())

    def play(self, state: LiveState) -> Iterator[Played[LiveState]]:
        """Connect and yield what comes in, until the device is lost for good.

        Raises:
            DeviceError: the device is missing, and ``wait`` is not set; or it was given up.
        """
        assert self._capture is not None
        assert self._ring is not None
        self._capture.start(self.config.wait)
        recording: _Recording | None = None
        while True:
            while self._capture.remarks:
                yield Played([], state, remark=self._capture.remarks.popleft())
            # In this order: what the status says has come is in the ring by then.
            status = self._capture.status
            taken = self._ring.take(self.config.batch_events)
            session = status.session if taken is None else taken.session
            if recording is not None and session != recording.session:
                yield Played([recording.end()], state)
                recording = None
            if recording is None and session is not None:
                state = state._replace(recordings=state.recordings + 1)
                recording = _Recording(self.name, self.config, session, state)
                yield Played([recording.start()], state)
            if taken is not None:
                assert recording is not None
                recording, state = yield from self._send(recording, taken, state)
            elif status.over:
                break
            else:
                idle = recording.idle(status) if recording is not None else None
                yield Played([] if idle is None else [idle], state, wait_s=_POLL_S)
        while self._capture.remarks:
            yield Played([], state, remark=self._capture.remarks.popleft())
        if self._capture.failure is not None:
            raise self._capture.failure

    def account(self, state: LiveState) -> Account:
        """Return events received, sent and refused, those that the ring dropped among them."""
        refused, notes = Counter(dict(state.refused)), Counter(dict(state.notes))
        received = state.sent + sum(refused.values())
        if self._ring is not None and self._capture is not None:
            count = self._ring.count()
            # What was taken out and is not in the state was about to be sent.
            refused["not sent when the run was stopped"] = count.put - count.dropped - received
            refused["dropped: the pipeline was too slow"] = count.dropped
            received = count.put
            notes.update(self._capture.notes)
        return Account(
            taken=received,
            used=state.sent,
            made=state.sent,
            unit_in="events",
            unit_out="events",
            refused={reason: count for reason, count in refused.items() if count},
            notes={kind: count for kind, count in notes.items() if count},
        )

    def _send(
        self, recording: "_Recording", taken: Taken, state: LiveState
    ) -> Generator[Played[LiveState], None, tuple["_Recording", LiveState]]:
        """Inspect and send events; where the clock was set back a new recording starts."""
        events = taken.events
        while True:
            good, violation = recording.inspect(events, taken.arrived_ns)
            state = recording.count(state, len(good))
            yield Played([recording.events(good)] if len(good) else [], state)
            if violation is None:
                return recording, state
            if not violation.reset:
                raise DeviceError(f"{recording.session.source}: {violation}")
            events = events[violation.number :]
            ended, state = recording, state._replace(recordings=state.recordings + 1)
            recording = _Recording(self.name, self.config, ended.session, state)
            yield Played([ended.end(), recording.start()], state)


class _Recording:
    """One recording of a live stream: its inspection and how far its time has come."""

    def __init__(self, stream: str, config: LiveConfig, session: Session, state: LiveState) -> None:
        self.session = session
        self._config = config
        self._stream = stream
        self._epoch = state.recordings - 1
        self._inspector = Inspector(session.width, session.height, config)
        self._before = state
        self._time_us, self._arrived_ns = NO_TIME_US, 0
        """How far time had come with the latest event, and when that came."""

    def start(self) -> Message:
        session = self.session
        start = Start(
            stream=self._stream,
            epoch=self._epoch,
            width=session.width,
            height=session.height,
            source=session.source,
        )
        return control(start)

    def end(self) -> Message:
        return control(EndRecording(stream=self._stream, epoch=self._epoch))

    def inspect(self, events: EventArray, arrived_ns: int) -> tuple[EventArray, Violation | None]:
        """Return the events that stay, and why they end before the others do."""
        good = self._inspector.inspect(events)
        if len(good):
            self._time_us, self._arrived_ns = self._inspector.passed_us, arrived_ns
        return good, self._inspector.violation

    def count(self, state: LiveState, sent: int) -> LiveState:
        before = self._before
        return state._replace(
            sent=state.sent + sent,
            refused=add_counts(before.refused, self._inspector.refused),
            notes=add_counts(before.notes, self._inspector.notes),
        )

    def events(self, events: EventArray) -> Message:
        first_us, last_us = int(events["t"][0]), int(events["t"][-1])
        return self._message(events, first_us, last_us, self._inspector.passed_us)

    def idle(self, status: Status) -> Message | None:
        """Return the time that has passed without events, if it is worth a message."""
        if self._time_us == NO_TIME_US:
            return None
        passed_us = (status.looked_ns - self._arrived_ns) // 1000
        now_us = self._time_us + passed_us - self.session.interval_us - self._config.margin_us
        if now_us < self._inspector.passed_us + self._config.idle_us:
            return None
        # What comes later than this goes back in time.
        self._inspector.pass_time(now_us)
        return self._message(empty_events(), now_us, now_us, now_us)

    def _message(
        self, events: EventArray, first_us: int, last_us: int, watermark_us: int
    ) -> Message:
        return data(
            Events,
            events,
            stream=self._stream,
            epoch=self._epoch,
            t_first_us=first_us,
            t_last_us=last_us,
            watermark_us=watermark_us,
        )
