"""Simulated cameras, and a sink that times what comes of each: stages of `benchmarks.streams`."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.clock import now_ns
from pipeline.config import FilePath
from pipeline.events import EVENT, EventArray
from pipeline.messages import EndRecording, Events, Message, Start, control, data
from pipeline.observe.latency import LatencyHistogram
from pipeline.ports import EventsPort, OutputsPort
from pipeline.stage import Account, Played, Sink, Source, StageConfig

__all__ = ["Camera", "CameraConfig", "Timed", "TimedConfig"]


class CameraConfig(StageConfig):
    """Options of `Camera`."""

    events: FilePath
    """A NumPy file of events that start at 0."""
    period_us: int
    """How long they last; behind that they come again."""
    offset_us: int
    """Where in them this camera begins."""
    window_us: int = 25_000
    windows: int
    speed: float = 1.0
    """How fast they come; 0 as fast as they are taken."""


@cache
def _events(path: Path) -> EventArray:
    array: EventArray = np.load(path).astype(EVENT)  # a file has no alignment
    return array


class Camera(Source[CameraConfig, int]):
    """Events as of a live camera, a window of them at a time; its state is the next window."""

    Config = CameraConfig

    def port(self) -> EventsPort:
        """Return what a live camera gives."""
        return EventsPort(128, 128, live=True)

    @property
    def speed(self) -> float:
        """See the option."""
        return self.config.speed

    def initial_state(self) -> int:
        """Begin with the first window."""
        return 0

    def play(self, state: int) -> Iterator[Played[int]]:
        """Yield a window of events a turn, due when it is over."""
        config, name = self.config, self.name
        start = Start(
            stream=name, width=128, height=128, source=name, t_first_us=0, live=config.speed > 0
        )
        yield Played([control(start)], 0, due_us=0)
        for k in range(config.windows):
            message = self._window(k)
            yield Played([message], k + 1, due_us=(k + 1) * config.window_us)
        yield Played([control(EndRecording(stream=name))], config.windows)

    def account(self, state: int) -> Account:
        """Return how many events were sent."""
        count = sum(len(self._window(k).array) for k in range(state))
        return Account(count, count, count, "events", "events", due=count)

    def _window(self, k: int) -> Message:
        config = self.config
        events, begin_us = _events(config.events), k * config.window_us
        at_us = (config.offset_us + begin_us) % config.period_us
        first, last = np.searchsorted(events["t"], [at_us, at_us + config.window_us])
        part = events[first:last].copy()
        part["t"] += begin_us - at_us
        return data(
            Events,
            part,
            stream=self.name,
            t_first_us=begin_us,
            t_last_us=begin_us + config.window_us - 1,
            watermark_us=begin_us + config.window_us,
        )


class TimedConfig(StageConfig):
    """Options of `Timed`."""

    path: FilePath
    """Gets, when all is over, how many outputs each stream had by the time that half had come, and
    the delay of each stream's."""


class Seen(NamedTuple):
    """How many outputs have come."""

    outputs: int


class Timed(Sink[TimedConfig, Seen]):
    """Time the outputs of many streams, from when their events came to now."""

    Config = TimedConfig
    takes = (OutputsPort,)

    def open(self) -> None:
        """Have nothing."""
        self._order: list[str] = []
        self._delay: dict[str, LatencyHistogram] = {}

    def start(self, header: Start) -> Seen:
        """Return that nothing has come."""
        return Seen(0)

    def write(self, state: Seen, message: Message) -> Seen:
        """Take the time."""
        stream, count = message.header.stream, len(message.array)
        self._order += [stream] * count
        delay = self._delay.setdefault(stream, LatencyHistogram())
        delay.add(now_ns() - message.header.born_ns)
        return Seen(state.outputs + count)

    def close(self) -> None:
        """Write what was found."""
        half = self._order[: len(self._order) // 2]
        found = {
            stream: {
                "by_half": half.count(stream),
                "all": self._order.count(stream),
                "p50_ms": summary.p50_ms,
                "p99_ms": summary.p99_ms,
            }
            for stream, each in self._delay.items()
            if (summary := each.summary()) is not None
        }
        self.config.path.write_text(json.dumps(found))

    def account(self, state: Seen) -> Account:
        """Return what came."""
        return Account(state.outputs, state.outputs, state.outputs, "outputs", "outputs")
