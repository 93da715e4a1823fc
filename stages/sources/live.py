"""What every live source is: a device behind a ring, never made to wait.

A source's module says how to connect; capture, ring, inspection, idle time and the account are the
same for all and are here. Each connection is a recording of its own: when the device is lost the
recording ends, and when it is back the next one starts, at which every stage begins anew. So does
it when the device's clock is set back by a second or more.

While nothing comes the watermark follows the wall clock, so that windows close. It stays behind by
the `Lag` that is learned from how the device hands its events over, and by ``margin_us``. An event
that comes later than that keeps its time, and is counted as handed over late.
"""

import math
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Literal, NamedTuple, TypeVar

from pydantic import Field

from pipeline.errors import DeviceError
from pipeline.events import empty_events
from pipeline.ports import EventsPort
from pipeline.stage import Account, Played, Source
from stages.counts import Counts
from stages.formats.inspection import Inspector
from stages.formats.notes import HIGHEST_FILL
from stages.formats.policies import Policies
from stages.sources.capture import Capture, Device, Patience
from stages.sources.live_recording import LiveRecording
from stages.sources.ring import Ring, Session, Taken

__all__ = ["ConnectionConfig", "LiveConfig", "LiveSource", "LiveState"]

_POLL_S = 0.001
_DROPS_TOLD_S = 5.0


class LiveConfig(Policies):
    """Options that every live source has."""

    on_damage: Literal["raise", "drop"] = "drop"
    """At bytes that are no events: ``drop`` leaves them out, ``raise`` ends the run."""
    on_time_back: Literal["clamp", "drop", "keep", "raise"] = "clamp"
    """At an event earlier than one before it: ``clamp`` gives it that one's time, as long as the
    step is below a second (a longer one is a clock that was set back, and begins a new recording);
    ``drop`` leaves it out; ``keep`` passes it on as it is, and bins may then find it late."""
    ring_events: int = Field(4_000_000, ge=1, le=1 << 28)
    """Events, of 24 bytes, that may wait for a slow pipeline; the oldest are dropped for more. It
    bounds how far the pipeline can fall behind the camera."""
    batch_events: int = Field(16_384, ge=1, le=16_777_216)
    """Events in a message, at most; it never changes the result."""
    idle_us: int = Field(5_000, ge=1_000, le=60_000_000)
    """How often the time is passed on while no events come, in µs."""
    margin_us: int = Field(5_000, ge=0, le=60_000_000)
    """How much later than ever so far the device may hand events over, in µs, and still find their
    windows open."""

    @property
    def patience(self) -> Patience:
        """How much is waited for the device."""
        return Patience()


class ConnectionConfig(LiveConfig):
    """Options of a live source whose device may be missing, or be lost."""

    wait: bool = False
    """Whether the device may be missing at first."""
    on_lost: Literal["retry", "end"] = "retry"
    """When the device is unplugged or its connection closed: ``retry`` connects again, after 0.1 s
    at first and every second later on, ``end`` ends the stream."""
    give_up_s: float | None = Field(None, ge=0, allow_inf_nan=False)
    """How long to try to connect before that is an error, in s; for ever when left out. A device
    that is missing at first is tried for only with ``wait``."""

    @property
    def patience(self) -> Patience:
        """How much is waited for the device."""
        return Patience(self.wait, self.on_lost == "retry", self.give_up_s)


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
        self._told_late = False

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

    def imports(self) -> tuple[str, ...]:
        """Return what the kernels that inspect events need."""
        return ("numba",)

    def open(self) -> None:
        """Make the ring. The device is left alone until every stage is ready."""
        config = self.config
        self._ring = Ring(config.ring_events)
        self._capture = Capture(self.connect, self._ring, config.patience)
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
        config = self.config
        self._capture.start()
        recording: LiveRecording | None = None
        drops = _Drops()
        while True:
            while self._capture.remarks:
                yield Played([], state, remark=self._capture.remarks.popleft())
            if remark := drops.remark(self._ring.count().dropped):
                yield Played([], state, remark=remark)
            # In this order: what the status says has come is in the ring by then.
            status = self._capture.status
            taken = self._ring.take(config.batch_events)
            session = status.session if taken is None else taken.session
            if recording is not None and session != recording.session:
                yield Played([recording.end()], state)
                recording = None
            if recording is None and session is not None:
                state = state._replace(recordings=state.recordings + 1)
                recording = self._recording(session, state)
                yield Played([recording.start()], state)
            if taken is not None:
                assert recording is not None
                recording, state = yield from self._send(recording, taken, state)
            elif status.over:
                break
            else:
                idle = None
                if recording is not None:
                    idle = recording.idle(status, config.margin_us, config.idle_us)
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
            notes[HIGHEST_FILL] = count.highest
        return Account(
            taken=received,
            used=state.sent,
            made=state.sent,
            unit_in="events",
            unit_out="events",
            refused={reason: count for reason, count in refused.items() if count},
            notes={kind: count for kind, count in notes.items() if count},
        )

    def _recording(self, session: Session, state: LiveState) -> LiveRecording:
        """Return the recording that the state counts as its latest."""
        number = state.recordings - 1
        return LiveRecording(self.name, number, session, self.config, state.refused, state.notes)

    def _send(
        self, recording: LiveRecording, taken: Taken, state: LiveState
    ) -> Generator[Played[LiveState], None, tuple[LiveRecording, LiveState]]:
        """Inspect and send events; where the clock was set back a new recording starts."""
        assert self._capture is not None
        events, source = taken.events, recording.session.source
        while True:
            good, violation = recording.inspect(events, taken.last_arrived_ns)
            state = LiveState(state.recordings, state.sent + len(good), *recording.counts)
            messages = [recording.events(good)] if len(good) else []
            yield Played(messages, state, born_ns=taken.first_arrived_ns)
            if recording.late_us and not self._told_late:
                self._told_late = True
                self._capture.remarks.append(
                    f"{source}: its events came up to {recording.late_us / 1000:.1f} ms after time"
                    " had been passed on without them; they keep their times, but windows that"
                    " are closed count them late; set margin_us ="
                    f" {self.config.margin_us + _rounded_up(recording.late_us)} if it happens often"
                )
            if violation is None:
                return recording, state
            if not violation.reset:
                raise DeviceError(f"{source}: {violation}")
            events = events[violation.number :]
            back_s = (recording.last_us - int(events["t"][0])) / 1e6
            self._capture.remarks.append(
                f"{source}: its clock was set back by {back_s:.3f} s; a new recording begins"
            )
            state = state._replace(recordings=state.recordings + 1)
            ended, recording = recording, self._recording(recording.session, state)
            yield Played([ended.end(), recording.start()], state)


class _Drops:
    """Tells that the ring drops events: when it begins, and now and then while it goes on."""

    def __init__(self) -> None:
        self._told, self._told_s = 0, -math.inf

    def remark(self, dropped: int) -> str:
        """Return what is to be told, given how many were dropped so far; empty for nothing."""
        now_s = time.monotonic()
        if dropped == self._told or now_s < self._told_s + _DROPS_TOLD_S:
            return ""
        self._told, self._told_s = dropped, now_s
        return (
            f"the pipeline is too slow: {dropped:,} events dropped so far; make it faster, or"
            " filter or limit events before the slow stage"
        )


def _rounded_up(late_us: int) -> int:
    return -(-late_us // 5_000) * 5_000
