"""Light stages for runs that are put back to a checkpoint: a source, and a sink that can be so."""

import os
import time
from collections.abc import Iterator

import numpy as np

from pipeline.config import FilePath
from pipeline.events import events_from_columns
from pipeline.messages import EndRecording, Events, Message, Start, control, data
from pipeline.ports import EventsPort
from pipeline.stage import Account, Played, Sink, Source, StageConfig


class TicksConfig(StageConfig):
    events: int = 2000
    batch: int = 20
    wait_s: float = 0.004


class Ticks(Source[TicksConfig, int]):
    """Events a microsecond apart; the state is how many were sent, -1 before the start."""

    Config = TicksConfig

    def port(self) -> EventsPort:
        return EventsPort(32, 24)

    def initial_state(self) -> int:
        return -1

    def play(self, state: int) -> Iterator[Played[int]]:
        config = self.config
        if state < 0:
            state = 0
            header = Start(stream=self.name, width=32, height=24, source="ticks", t_first_us=0)
            yield Played([control(header)], state)
        while state < config.events:
            t = np.arange(state, min(state + config.batch, config.events))
            state += len(t)
            events = events_from_columns(t, t % 32, t % 24, t % 2)
            times = {"t_first_us": int(t[0]), "t_last_us": int(t[-1]), "watermark_us": int(t[-1])}
            message = data(Events, events, stream=self.name, **times)
            yield Played([message], state, wait_s=config.wait_s)
        yield Played([control(EndRecording(stream=self.name))], state)

    def account(self, state: int) -> Account:
        return Account.one_to_one(max(state, 0), "events", "events")


class LinesConfig(StageConfig):
    path: FilePath
    dated: bool = False
    torn: bool = False


class Lines(Sink[LinesConfig, int]):
    """Writes the time of each event; ``dated`` says when too, ``torn`` cannot be cut back."""

    Config = LinesConfig
    takes = (EventsPort,)
    writes = ("path",)
    exactly_once = True

    def open(self) -> None:
        self.config.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.config.path.open("r+b" if self.resumes else "wb")

    def close(self) -> None:
        self._file.close()

    def commit(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def rewind(self, position: int) -> None:
        if self.config.torn:
            self._file.seek(0, os.SEEK_END)
        else:
            self._file.seek(position)
            self._file.truncate()

    def start(self, header: Start) -> int:
        return 0

    def write(self, state: int, message: Message) -> int:
        if self.config.dated:
            self._file.write(b"%d\n" % time.time_ns())
        self._file.write(b"".join(b"%d\n" % t for t in message.array["t"].tolist()))
        self._file.flush()
        return state + len(message.array)

    def account(self, state: int) -> Account:
        return Account.one_to_one(state, "events", "lines")
