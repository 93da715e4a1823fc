"""Doubles for live sources: a device that does what a test says, and a runner of one source."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from pipeline.events import EventArray, concatenate_events
from pipeline.messages import EndRecording, Events, Message, Start
from pipeline.stage import Account
from stages.formats.notes import HIGHEST_FILL
from stages.sources.capture import Device, Lost, NotThere
from stages.sources.feed import RingFeed
from stages.sources.live import ConnectionConfig, LiveSource
from stages.sources.live_state import LiveState

PATIENCE_S = 20.0


class Scripted(Device):
    """Hands over what a test puts into it: events, or an exception to raise."""

    interval_us: int | None = 0

    def __init__(self, width: int = 8, height: int = 6, source: str = "scripted") -> None:
        super().__init__()
        self.width, self.height, self.source = width, height, source
        self.script: queue.Queue[EventArray | Exception] = queue.Queue()
        self.closed = threading.Event()

    def read(self) -> EventArray | None:
        try:
            step = self.script.get(timeout=0.002)
        except queue.Empty:
            return None
        if isinstance(step, Exception):
            raise step
        return step

    def unplug(self) -> None:
        self.script.put(Lost("unplugged"))

    def close(self) -> None:
        self.closed.set()


class Sockets(LiveSource[ConnectionConfig]):
    """A source of scripted devices; ``plugged`` holds those that can be connected to."""

    Config = ConnectionConfig

    def __init__(self, *devices: Scripted, **options: Any) -> None:
        super().__init__("camera", ConnectionConfig(**options))
        self.plugged: queue.Queue[Scripted] = queue.Queue()
        self.attempts = 0
        for device in devices:
            self.plugged.put(device)

    def connect(self) -> Device:
        self.attempts += 1
        try:
            return self.plugged.get_nowait()
        except queue.Empty:
            raise NotThere("no device is plugged in; plug it in") from None


def ring_of(source: LiveSource[Any]) -> RingFeed:
    """Return what a source without a spool takes events from."""
    assert isinstance(source._feed, RingFeed)
    return source._feed


class Playing:
    """A source that is being played, as the runner would; use it in a ``with``."""

    def __init__(self, source: LiveSource[Any]) -> None:
        self.source = source
        self.messages: list[Message] = []
        self.born_ns: list[int | None] = []
        """When the events of each message came in, None where it has none."""
        self.remarks: list[str] = []
        self.over = False
        self._pause = threading.Event()

    def __enter__(self) -> "Playing":
        self.source.open()
        self.state: LiveState = self.source.initial_state()
        self._turns = self.source.play(self.state)
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()

    @property
    def headers(self) -> list[Any]:
        return [message.header for message in self.messages]

    @property
    def events(self) -> EventArray:
        return concatenate_events([m.array for m in self.messages if isinstance(m.header, Events)])

    @property
    def account(self) -> Account:
        return self.source.account(self.state)

    @property
    def notes(self) -> dict[str, int]:
        """Notes of the account, but for how full the ring was, which depends on the moment."""
        return {kind: n for kind, n in self.account.notes.items() if kind != HIGHEST_FILL}

    def turn(self) -> None:
        """Play one turn."""
        played = next(self._turns, None)
        if played is None:
            self.over = True
            return
        if played.wait_s:
            self._pause.wait(played.wait_s)
        self.messages += played.messages
        self.born_ns += [played.born_ns] * len(played.messages)
        self.remarks += [played.remark] if played.remark else []
        self.state = played.state

    def until(self, reached: Callable[["Playing"], bool]) -> "Playing":
        """Play until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not reached(self):
            assert not self.over, "the source ended before it came to that"
            assert time.monotonic() < deadline, "it did not come to that"
            self.turn()
        return self

    def watch(self, reached: Callable[["Playing"], bool]) -> None:
        """Wait until something is so, without playing on."""
        deadline = time.monotonic() + PATIENCE_S
        while not reached(self):
            assert time.monotonic() < deadline, "it did not come to that"
            self._pause.wait(0.001)

    def until_events(self, count: int) -> "Playing":
        return self.until(lambda playing: len(playing.events) >= count)

    def until_over(self) -> "Playing":
        return self.until(lambda playing: playing.over)


def kinds(messages: list[Message]) -> str:
    """Show messages as a text: S for Start, E for EndRecording, numbers of events, w for time."""
    shown = []
    for message in messages:
        if isinstance(message.header, Start):
            shown.append(f"S{message.header.epoch}")
        elif isinstance(message.header, EndRecording):
            shown.append(f"E{message.header.epoch}")
        else:
            shown.append(str(len(message.array)) if len(message.array) else "w")
    return " ".join(shown)
