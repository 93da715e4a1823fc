"""Doubles for tests of the runtime: messages in short, stages and queue ends that keep lists."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.events import events_from_columns
from pipeline.messages import (
    Data,
    EndRecording,
    EndStream,
    Events,
    Message,
    Predictions,
    Span,
    Start,
    control,
    data,
    decode,
)
from pipeline.ports import EventsPort, PredictionsPort
from pipeline.report import QueueCount
from pipeline.stage import Account, Played, Sink, Source, StageConfig


def start(stream: str = "cam", epoch: int = 0, t_first_us: int | None = 0) -> Message:
    return control(
        Start(stream=stream, epoch=epoch, width=8, height=6, source="a test", t_first_us=t_first_us)
    )


def end_recording(stream: str = "cam", epoch: int = 0) -> Message:
    return control(EndRecording(stream=stream, epoch=epoch))


def end_stream(stream: str = "cam") -> Message:
    return control(EndStream(stream=stream))


def events(count: int = 3, t_us: int = 0) -> Message:
    """``count`` events a microsecond apart, from ``t_us`` on."""
    t = np.arange(t_us, t_us + count)
    last_us = t_us + max(count - 1, 0)
    array = events_from_columns(t, t % 8, t % 6, t % 2)
    times = {"t_first_us": t_us, "t_last_us": last_us, "watermark_us": last_us}
    return data(Events, array, stream="cam", **times)


def predictions(
    ends_us: Sequence[int], by: str = "net", last_event_us: int | None = None
) -> Message:
    """One prediction for each end, its score being the end itself."""
    spans = tuple(
        Span(window=end, t_start_us=end - 1, t_end_us=end, steps=1, last_event_us=last_event_us)
        for end in ends_us
    )
    return data(
        Predictions,
        np.array(ends_us, dtype=np.float32).reshape(-1, 1),
        stream="cam",
        t_first_us=ends_us[0] - 1 if len(ends_us) else 0,
        t_last_us=ends_us[-1] if len(ends_us) else 0,
        by=by,
        classes=("only",),
        spans=spans,
    )


def units(message: Message) -> int:
    """Events or predictions in a message, 0 for control messages."""
    return message.header.units if isinstance(message.header, Data) else 0


class NoOptions(StageConfig):
    """No options."""


def _account(seen: int) -> Account:
    return Account(taken=seen, used=seen, made=seen, unit_in="events", unit_out="events", due=seen)


class ListSource(Source[NoOptions, int]):
    """Plays given messages, one a turn; an exception among them is raised when its turn comes.

    With a speed, each data message is due at its last event. The state is the events played.
    """

    Config = NoOptions

    def __init__(self, items: Iterable[Message | Exception], speed: float = 0.0) -> None:
        super().__init__("list", NoOptions())
        self.items = list(items)
        self._speed = speed

    @property
    def speed(self) -> float:
        return self._speed

    def port(self) -> EventsPort:
        return EventsPort(8, 6)

    def initial_state(self) -> int:
        return 0

    def play(self, state: int) -> Iterator[Played[int]]:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            state += units(item)
            due_us = item.header.t_last_us if isinstance(item.header, Data) else None
            yield Played([item], state, due_us)

    def account(self, state: int) -> Account:
        return _account(state)


class ListSink(Sink[NoOptions, int]):
    """Keeps what is written to it; the state is the units of this recording."""

    Config = NoOptions
    takes = (EventsPort, PredictionsPort)
    many_inputs = True

    def __init__(self, name: str = "sink") -> None:
        super().__init__(name, NoOptions())
        self.written: list[Message] = []

    def start(self, header: Start) -> int:
        return 0

    def write(self, state: int, message: Message) -> int:
        self.written.append(message)
        return state + units(message)

    def account(self, state: int) -> Account:
        return _account(state)


class ListSender:
    """Stands for `pipeline.queue.sender.Sender`; keeps what was sent, as it would arrive."""

    def __init__(self, name: str = "queue", output: str = "") -> None:
        self.name, self.output = name, output
        self.messages = 0
        self.units = 0
        self.backlog = None
        self.drained = False
        self.arrived: list[Message] = []

    def put(self, parts: tuple[bytes, memoryview], units: int, others: Sequence[Any] = ()) -> None:
        self.arrived.append(decode(*parts))
        self.messages += 1
        self.units += units

    def count(self) -> QueueCount:
        return QueueCount(self.name, self.messages, self.units, output=self.output)

    def drain(self) -> None:
        self.drained = True


def kinds(messages: Iterable[Message]) -> list[str]:
    return [type(message.header).__name__ for message in messages]


def scores(messages: Iterable[Message]) -> list[tuple[str, Any]]:
    """Who made each prediction, and its score."""
    return [
        (message.header.by, score)
        for message in messages
        if isinstance(message.header, Predictions)
        for score in message.array[:, 0].tolist()
    ]
