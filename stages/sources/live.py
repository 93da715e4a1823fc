"""What every live source is: a device behind a ring, never made to wait.

A source's module says how to connect; capture, ring, inspection, idle time and the account are the
same for all and are here. Each connection is a recording of its own: when the device is lost the
recording ends, and when it is back the next one starts, at which every stage begins anew. So does
it when the device's clock is set back by a second or more.

While nothing comes the watermark follows the wall clock, so that windows close. It stays behind by
the `Lag` that is learned from how the device hands its events over, and by ``margin_us``. An event
that comes later than that keeps its time, and is counted as handed over late.
"""

import threading
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Literal, TypeVar

from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import DeviceError
from pipeline.events import empty_events
from pipeline.ports import EventsPort
from pipeline.stage import Account, Played, Source
from stages.counts import add_counts
from stages.formats.inspection import Inspector
from stages.formats.policies import Policies
from stages.sources.capture import Device, Patience
from stages.sources.feed import Feed, RingFeed
from stages.sources.live_recording import LiveRecording
from stages.sources.live_state import LiveState, Place, Under
from stages.sources.ring import Session, Taken
from stages.sources.spool_feed import SpoolFeed
from stages.sources.spool_folder import SpoolFolder
from stages.sources.spooler import Spooler, SpoolOptions
from stages.sources.tally import NOT_SENT, Tally

__all__ = ["ConnectionConfig", "LiveConfig", "LiveSource"]

_POLL_S = 0.001
_BLOCK_EVENTS = 16_384
"""The most that are written to a spool at once."""


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

    spool: FilePath | None = None
    """A folder in which events are written to the disk before anything else, by a process of its
    own: a run that goes on from a checkpoint then loses none. Without one, what a crash takes is
    counted."""
    spool_bytes: int = Field(1 << 30, ge=1 << 20)
    """The most that the spool may hold, in bytes; an event takes 16. What no checkpoint needs any
    more is removed. When it is full, new events are dropped."""

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


C = TypeVar("C", bound=LiveConfig)


class LiveSource(Source[C, LiveState]):
    """A source of events that come when they come."""

    writes = ("spool",)
    free = ("batch_events",)

    def __init__(self, name: str, config: C, inputs: tuple[()] = ()) -> None:
        super().__init__(name, config, inputs)
        self._tally: Tally | None = None
        self._feed: Feed | None = None
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

    def beside(self) -> Callable[[threading.Event], None] | None:
        """Make what outlives workers; return what fills the spool, if there is one.

        Raises:
            DeviceError: the folder of the spool cannot be made.
        """
        self._tally = Tally()
        if self.config.spool is None:
            return None
        folder = SpoolFolder(self.config.spool)
        if not self.resumes:
            folder.clear()
        config = self.config
        options = SpoolOptions(
            config.ring_events,
            min(config.batch_events, _BLOCK_EVENTS),
            config.idle_us,
            config.spool_bytes,
            config.patience,
        )
        return Spooler(self.name, self.connect, folder, options, self._tally).run

    def open(self) -> None:
        """Make the ring, or the reader of the spool; no device is opened before all is ready."""
        config, tally = self.config, self._tally or Tally()
        if config.spool is None:
            self._feed = RingFeed(self.connect, config.ring_events, config.patience, tally)
        else:
            self._feed = SpoolFeed(SpoolFolder(config.spool), tally)
        # Loads the kernels while nothing waits for them yet.
        odd = empty_events(1)
        odd["p"] = 2
        Inspector(1, 1, config).inspect(odd)

    def close(self) -> None:
        """Let go of the device."""
        if self._feed is not None:
            self._feed.close()

    def initial_state(self) -> LiveState:
        """Return the state before the first event."""
        return LiveState(0, 0, (), ())

    def snapshot(self, state: LiveState) -> LiveState:
        """Return the state with the time, from which on all is lost without a spool."""
        assert self._feed is not None
        return state._replace(device=add_counts((), self._feed.notes), kept_at_s=time.time())

    def release(self, state: LiveState) -> None:
        """Remove what no checkpoint will ask for again from the spool."""
        if isinstance(self._feed, SpoolFeed) and state.place is not None:
            self._feed.forget(state.place)

    def play(self, state: LiveState) -> Iterator[Played[LiveState]]:
        """Connect and yield what comes in, until the device is lost for good.

        Raises:
            DeviceError: the device is missing, and ``wait`` is not set; or it was given up.
        """
        assert self._feed is not None
        config, feed = self.config, self._feed
        feed.start(state)
        recording = None if state.under is None else self._recording(state.under, state)
        while True:
            while remark := feed.remark():
                yield Played([], state, remark=remark)
            status, taken, lost, place, more = feed.look(config.batch_events)
            if lost != state.lost:
                state = state._replace(lost=lost)
            session = status.session if taken is None else taken.session
            if recording is not None and session != recording.session:
                state = state._replace(under=None)
                yield Played([recording.end()], state)
                recording = None
            if recording is None and session is not None:
                recording, state = self._begin(session, state)
                yield Played([recording.start()], state)
            if taken is not None:
                assert recording is not None
                recording, state = yield from self._send(recording, taken, place, state)
            elif status.over:
                break
            else:
                state = state._replace(place=place)
                idle = None
                if recording is not None:
                    idle = recording.idle(status, config.margin_us, config.idle_us)
                    state = state._replace(under=recording.under)
                wait_s = 0.0 if more else _POLL_S
                yield Played([] if idle is None else [idle], state, wait_s=wait_s)
        while remark := feed.remark():
            yield Played([], state, remark=remark)
        if feed.failure is not None:
            raise feed.failure

    def account(self, state: LiveState) -> Account:
        """Return events received, sent and refused, those that never came so far among them."""
        refused, notes = Counter(dict(state.refused)), Counter(dict(state.notes))
        lost, device = Counter(dict(state.lost)), Counter(dict(state.device))
        received = state.accounted
        if self._feed is not None:
            received = max(received, self._feed.received)
            lost |= Counter(self._feed.lost)
            device |= Counter(self._feed.notes)
        # What was taken out and is not in the state was about to be sent.
        lost[NOT_SENT] = received - state.passed - sum(lost.values())
        return Account(
            taken=received,
            used=state.sent,
            made=state.sent,
            unit_in="events",
            unit_out="events",
            refused={reason: count for reason, count in (refused + lost).items() if count},
            notes={kind: count for kind, count in (notes + device).items() if count},
        )

    def _begin(self, session: Session, state: LiveState) -> tuple[LiveRecording, LiveState]:
        """Begin a recording; return it and the state that counts it."""
        under = Under(session)
        state = state._replace(recordings=state.recordings + 1, under=under)
        return self._recording(under, state), state

    def _recording(self, under: Under, state: LiveState) -> LiveRecording:
        """Return the recording that the state counts as its latest."""
        number = state.recordings - 1
        return LiveRecording(self.name, number, under, self.config, state.refused, state.notes)

    def _send(
        self, recording: LiveRecording, taken: Taken, place: Place | None, state: LiveState
    ) -> Generator[Played[LiveState], None, tuple[LiveRecording, LiveState]]:
        """Inspect and send events; where the clock was set back a new recording starts."""
        events, source = taken.events, recording.session.source
        # Where they were spooled the monotonic clock may have been another.
        born_ns = min(taken.first_arrived_ns, time.monotonic_ns())
        while True:
            good, violation = recording.inspect(events, taken.last_arrived_ns)
            refused, notes = recording.counts
            state = state._replace(
                sent=state.sent + len(good),
                refused=refused,
                notes=notes,
                under=recording.under,
                place=place if violation is None else state.place,
            )
            messages = [recording.events(good)] if len(good) else []
            was, remark = recording, ""
            if violation is not None and violation.reset:
                events = events[violation.number :]
                back_s = (was.last_us - int(events["t"][0])) / 1e6
                remark = (
                    f"{source}: its clock was set back by {back_s:.3f} s; a new recording begins"
                )
                # In the same turn, so that no checkpoint finds the first event of the new recording
                # still to be judged by the old one.
                recording, state = self._begin(was.session, state)
                messages += [was.end(), recording.start()]
            yield Played(messages, state, remark=remark, born_ns=born_ns)
            if was.late_us and not self._told_late:
                self._told_late = True
                remark = (
                    f"{source}: its events came up to {was.late_us / 1000:.1f} ms after time"
                    " had been passed on without them; they keep their times, but windows that"
                    " are closed count them late; set margin_us ="
                    f" {self.config.margin_us + _rounded_up(was.late_us)} if it happens often"
                )
                yield Played([], state, remark=remark)
            if violation is None:
                return recording, state
            if not violation.reset:
                raise DeviceError(f"{source}: {violation}")


def _rounded_up(late_us: int) -> int:
    return -(-late_us // 5_000) * 5_000
