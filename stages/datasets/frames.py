"""From the items of a data set to frames, through the stages that will run in the stream."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config import validate
from pipeline.errors import ConfigError
from pipeline.events import EventArray, concatenate_events
from pipeline.messages import EndRecording, Events, Frames, Message, Start, control, data
from pipeline.offline import run_chain
from pipeline.ports import EventsPort, FramesPort, Port
from pipeline.registry import load_stage
from pipeline.stage import Account, PortError, Source, Transform
from stages.datasets.data_set import Item

__all__ = ["Binned", "Input", "Recorded", "events_of", "recorded", "replayed", "source_of"]


class Recorded(NamedTuple):
    """An item as its source plays it: Start, its data, EndRecording."""

    item: Item
    messages: list[Message]
    refused: Counter[str]
    """What the source refused of its recording, by reason; told with the first of its items."""


class Binned(NamedTuple):
    """What the input stages make of an item."""

    frames: NDArray[Any]
    """(windows, channels, height, width)"""
    refused: Counter[str]
    """What they refused, by reason."""


def recorded(items: Sequence[Item]) -> Iterator[Recorded]:
    """Play the sources of items; a source that several items share in a row is played once.

    Raises:
        ConfigError: a source's options are wrong, or an item is not in its source.
        RecordingError: a recording cannot be read.
    """
    for _, sharing in groupby(items, key=lambda item: item.source):
        yield from _played(list(sharing))


def events_of(one: Recorded) -> EventArray:
    """Return the events of an item, in one array.

    Raises:
        ConfigError: its source plays something else.
    """
    arrays = []
    for message in one.messages:
        if isinstance(message.header, Events):
            arrays.append(message.array)
        elif not message.is_control:
            raise ConfigError(
                f"augment: changes of events need a source of events, '{one.item.source['use']}'"
                " is none; use those of frames"
            )
    return concatenate_events(arrays)


def replayed(events: EventArray, size: tuple[int, int], name: str) -> list[Message]:
    """Return the messages of a recording that holds these events.

    Args:
        events: in order of time.
        size: (height, width) of the sensor.
        name: what the recording is called.
    """
    first_us = int(events["t"][0]) if len(events) else None
    start = Start(stream=name, height=size[0], width=size[1], source=name, t_first_us=first_us)
    messages = [control(start), control(EndRecording(stream=name))]
    if first_us is not None:
        last_us = int(events["t"][-1])
        times = {"t_first_us": first_us, "t_last_us": last_us, "watermark_us": last_us}
        messages.insert(1, data(Events, events, stream=name, **times))
    return messages


class Input:
    """The stages between source and network.

    Args:
        item: one of the items; its source tells what goes in.
        tables: the stages, as ``[[stage]]`` tables of a pipeline.
        size: (height, width) of its sensor or pictures, where a recording has told it.

    Attributes:
        source: what the source gives.
        port: the frames that the stages make of it.

    Raises:
        ConfigError: they do not lead to frames, or to frames whose steps no network can take.
    """

    def __init__(
        self,
        item: Item,
        tables: Sequence[Mapping[str, Any]],
        size: tuple[int, int] | None = None,
    ) -> None:
        try:
            port: Port | None = source_of(item).port()
        except PortError as error:
            raise ConfigError(f"data.set: {item.key}: {error.key}: {error}") from None
        assert port is not None
        if size is not None and isinstance(port, EventsPort | FramesPort) and port.height is None:
            port = replace(port, height=size[0], width=size[1])
        self.source = port
        self._stages: list[Transform[Any, Any]] = []
        for number, table in enumerate(tables):
            port = self._add(dict(table), f"input.stage.{number}", port)
        if not isinstance(port, FramesPort):
            raise ConfigError(f"input.stage: must end in frames, ends in {port.kind}")
        if port.step_us != port.window_us:
            raise ConfigError("input.stage: windows must follow each other, leave step_us out")
        self.port: FramesPort = port

    def bin(self, messages: Iterable[Message]) -> Binned:
        """Send one recording through the stages.

        Raises:
            StageError: a stage failed on it.
        """
        accounts: dict[str, Account] = {}
        arrays = [
            message.array
            for message in run_chain(messages, self._stages, accounts)
            if isinstance(message.header, Frames)
        ]
        refused: Counter[str] = Counter()
        for account in accounts.values():
            refused += _refused(account)
        if arrays:
            return Binned(np.concatenate(arrays), refused)
        shape = (self.port.channels, self.port.height or 0, self.port.width or 0)
        return Binned(np.zeros((0, *shape), np.uint8), refused)

    def _add(self, options: dict[str, Any], place: str, port: Port) -> Port:
        """Build the next stage behind a port; return what it puts out."""
        name = str(options.pop("use", "?"))
        found = load_stage(name)
        if issubclass(found, Source):
            raise ConfigError(f"{place}.use: '{name}' is a source; the data set has its own")
        if not isinstance(port, found.takes):
            takes = " or ".join(kind.kind for kind in found.takes)
            raise ConfigError(f"{place}.use: '{name}' takes {takes}, it is given {port.kind}")
        stage = found(name, validate(found.Config, options, place, None), [port])
        try:
            given = stage.port()
        except PortError as error:
            raise ConfigError(f"{place}.{error.key}: {error}") from None
        if given is None:
            raise ConfigError(f"{place}.use: '{name}' is a sink and puts nothing out")
        self._stages.append(stage)
        return given


def _played(items: Sequence[Item]) -> Iterator[Recorded]:
    """Play one source and hand out its recordings to the items in them."""
    waiting = deque(items)
    for number, (messages, refused) in enumerate(_recordings(source_of(items[0]))):
        here = []
        while waiting and waiting[0].recording == number:
            here.append(waiting.popleft())
        for item, stretch in zip(here, _cut(messages, here), strict=True):
            yield Recorded(item, stretch, refused)
            refused = Counter()
    if waiting:
        raise ConfigError(
            f"data.set: {waiting[0].key} is recording {waiting[0].recording} of its source"
            f" {items[0].source}, which does not have it in that order"
        )


def _recordings(source: Source[Any, Any]) -> Iterator[tuple[list[Message], Counter[str]]]:
    """Yield the messages of each recording, and what was refused of it."""
    recording: list[Message] = []
    before: Counter[str] = Counter()
    source.open()
    try:
        for played in source.play(source.initial_state()):
            for message in played.messages:
                recording.append(message)
                if isinstance(message.header, EndRecording):
                    refused = _refused(source.account(played.state))
                    yield recording, refused - before
                    recording, before = [], refused
    finally:
        source.close()


def _refused(account: Account) -> Counter[str]:
    return Counter(
        {f"{account.unit_in} {why}": count for why, count in account.refused.items() if count}
    )


def _cut(messages: list[Message], items: Sequence[Item]) -> Iterator[list[Message]]:
    """Make a recording of its own of each item's stretch."""
    if all(item.start_us is item.end_us is None for item in items):
        yield from (messages for _ in items)
        return
    start = messages[0].header
    assert isinstance(start, Start)
    events = concatenate_events([one.array for one in messages if isinstance(one.header, Events)])
    times = np.maximum.accumulate(events["t"])
    for item in items:
        begin = 0 if item.start_us is None else int(np.searchsorted(times, item.start_us))
        end = len(times) if item.end_us is None else int(np.searchsorted(times, item.end_us))
        if not len(times) or (item.start_us or 0) > times[-1]:
            raise ConfigError(f"data.set: {item.key} lies behind the end of {start.source}")
        yield replayed(events[begin:end], (start.height, start.width), start.source)


def source_of(item: Item) -> Source[Any, Any]:
    """Build the source that plays an item.

    Raises:
        ConfigError: its options are wrong.
    """
    options = dict(item.source)
    name = str(options.pop("use"))
    found = load_stage(name)
    if not issubclass(found, Source):
        raise ConfigError(f"data.set: '{name}' is no source; {item.key} needs one to play it")
    place = f"data.set: {item.key}"
    return found(name, validate(found.Config, options, place, None))
