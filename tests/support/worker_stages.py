"""Light stages for runs in real processes: no numba, no torch, and every way to misbehave."""

import os
import time
from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np

from pipeline.config import FilePath
from pipeline.errors import DeviceError
from pipeline.events import events_from_columns
from pipeline.messages import EndRecording, Events, Message, Start, control, data
from pipeline.ports import EventsPort, FramesPort
from pipeline.stage import Account, Played, Sink, Source, StageConfig, Transform


class NoiseConfig(StageConfig):
    events: int = 10_000
    batch: int = 100
    endless: bool = False
    fail_after: int | None = None
    began: FilePath | None = None
    needs: str | None = None


class Noise(Source[NoiseConfig, int]):
    """Random events, a microsecond apart; the state is how many were sent."""

    Config = NoiseConfig

    def port(self) -> EventsPort:
        return EventsPort(32, 24)

    def imports(self) -> tuple[str, ...]:
        return () if self.config.needs is None else (self.config.needs,)

    def initial_state(self) -> int:
        return 0

    def play(self, state: int) -> Iterator[Played[int]]:
        config = self.config
        if config.began is not None:
            config.began.write_text(str(time.monotonic_ns()))
        start = Start(stream=self.name, width=32, height=24, source="noise", t_first_us=0)
        yield Played([control(start)], state)
        while config.endless or state < config.events:
            if config.fail_after is not None and state >= config.fail_after:
                raise DeviceError("the camera was unplugged; plug it in again")
            rng = np.random.default_rng(state)
            count = config.batch if config.endless else min(config.batch, config.events - state)
            t = np.arange(state, state + count)
            xy = rng.integers(0, 24, (2, count))
            events = events_from_columns(t, xy[0], xy[1], rng.integers(0, 2, count))
            state += count
            times = {"t_first_us": int(t[0]), "t_last_us": int(t[-1]), "watermark_us": int(t[-1])}
            yield Played([data(Events, events, stream=self.name, **times)], state)
        yield Played([control(EndRecording(stream=self.name))], state)

    def account(self, state: int) -> Account:
        return Account(taken=state, used=state, made=state, unit_in="events", unit_out="events")


class Seen(NamedTuple):
    events: int


class RelayConfig(StageConfig):
    crash_at: int | None = None
    lose: int = 0
    slow_s: float = 0.0


class Relay(Transform[RelayConfig, Seen]):
    """Passes events on; crashes, loses or dawdles when told to."""

    Config = RelayConfig
    takes = (EventsPort,)

    def port(self) -> EventsPort:
        return EventsPort(32, 24)

    def start(self, header: Start) -> Seen:
        return Seen(0)

    def process(self, state: Seen, message: Message) -> Generator[Message, None, Seen]:
        config, count = self.config, len(message.array)
        if config.crash_at is not None and state.events >= config.crash_at:
            raise ZeroDivisionError("an honest mistake")
        if config.slow_s:
            time.sleep(config.slow_s)  # a slow stage is what is tested, not waited for
        yield message
        return Seen(state.events + count)

    def account(self, state: Seen) -> Account:
        used = state.events - self.config.lose
        return Account(
            taken=state.events, used=used, made=state.events, unit_in="events", unit_out="events"
        )


class Merge(Relay):
    """Takes the events of many streams."""

    many_inputs = True


class TallyConfig(StageConfig):
    path: FilePath
    opens_slowly: bool = False
    opened: FilePath | None = None
    needs: str | None = None


class Tally(Sink[TallyConfig, Seen]):
    """Writes one line a message: when, how many events, the sum of their columns."""

    Config = TallyConfig
    takes = (EventsPort,)
    many_inputs = True

    def imports(self) -> tuple[str, ...]:
        return () if self.config.needs is None else (self.config.needs,)

    def start(self, header: Start) -> Seen:
        return Seen(0)

    def open(self) -> None:
        if self.config.opens_slowly:
            time.sleep(0.5)  # longer than the others take to be ready
        self._file = self.config.path.open("w")
        if self.config.opened is not None:
            self.config.opened.write_text(str(time.monotonic_ns()))

    def close(self) -> None:
        self._file.close()

    def write(self, state: Seen, message: Message) -> Seen:
        events = message.array
        self._file.write(f"{time.monotonic_ns()} {len(events)} {int(events['x'].sum())}\n")
        self._file.flush()
        return Seen(state.events + len(events))

    def account(self, state: Seen) -> Account:
        return Account(
            taken=state.events,
            used=state.events,
            made=state.events,
            unit_in="events",
            unit_out="events",
        )


class FrameTally(Sink[TallyConfig, Seen]):
    """Counts windows."""

    Config = TallyConfig
    takes = (FramesPort,)

    def start(self, header: Start) -> Seen:
        return Seen(0)

    def write(self, state: Seen, message: Message) -> Seen:
        return Seen(state.events + len(message.array))

    def account(self, state: Seen) -> Account:
        return Account.one_to_one(state.events, "windows", "windows")


class Deaf(Relay):
    """Ends its own process in the middle, as a segmentation fault would."""

    def process(self, state: Seen, message: Message) -> Generator[Message, None, Seen]:
        os.abort()
        yield message
