"""From the items of a data set to frames, through the stages that will run in the stream."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config import validate
from pipeline.errors import ConfigError
from pipeline.events import EventArray, concatenate_events
from pipeline.messages import EndRecording, Events, Frames, Message, Start, control, data
from pipeline.offline import play, run_chain
from pipeline.ports import FramesPort, Port
from pipeline.registry import load_stage
from pipeline.stage import PortError, Source, Transform
from stages.datasets.data_set import Item

__all__ = ["Input", "Recorded", "events_of", "recorded", "replayed"]


class Recorded(NamedTuple):
    """An item as its source plays it: Start, its data, EndRecording."""

    item: Item
    messages: list[Message]


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
    return [control(start), *_part(start, events), control(EndRecording(stream=name))]


class Input:
    """The stages between source and network.

    Args:
        item: one of the items; its source tells what goes in.
        tables: the stages, as ``[[stage]]`` tables of a pipeline.

    Attributes:
        source: what the source gives.
        port: what the stages make of it.

    Raises:
        ConfigError: they do not lead to frames, or to frames whose steps no network can take.
    """

    def __init__(self, item: Item, tables: Sequence[Mapping[str, Any]]) -> None:
        port: Port | None = _source(item).port()
        assert port is not None
        self.source = port
        self._stages: list[Transform[Any, Any]] = []
        for number, table in enumerate(tables):
            port = self._add(dict(table), f"input.stage.{number}", port)
        if not isinstance(port, FramesPort):
            raise ConfigError(f"input.stage: must end in frames, ends in {port.kind}")
        if port.step_us != port.window_us:
            raise ConfigError("input.stage: windows must follow each other, leave step_us out")
        self.port = port

    def frames(self, messages: Iterable[Message]) -> NDArray[Any]:
        """Return the frames of one recording, (windows, channels, height, width).

        Raises:
            StageError: a stage failed on it.
        """
        arrays = [
            message.array
            for message in run_chain(messages, self._stages)
            if isinstance(message.header, Frames)
        ]
        if arrays:
            return np.concatenate(arrays)
        shape = (self.port.channels, self.port.height or 0, self.port.width or 0)
        return np.zeros((0, *shape), np.uint8)

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
    source = _source(items[0])
    waiting = list(items)
    for number, messages in enumerate(_by_recording(play(source))):
        here = []
        while waiting and waiting[0].recording == number:
            here.append(waiting.pop(0))
        yield from _cut(messages, here)
    if waiting:
        raise ConfigError(
            f"data.set: {waiting[0].key} is recording {waiting[0].recording} of its source"
            f" {items[0].source}, which does not have it in that order"
        )


def _by_recording(messages: Iterable[Message]) -> Iterator[list[Message]]:
    recording: list[Message] = []
    for message in messages:
        recording.append(message)
        if isinstance(message.header, EndRecording):
            yield recording
            recording = []


def _cut(messages: list[Message], items: Sequence[Item]) -> Iterator[Recorded]:
    """Make a recording of its own of each item's stretch."""
    if all(item.start_us is item.end_us is None for item in items):
        yield from (Recorded(item, messages) for item in items)
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
        first_us = int(times[begin]) if begin < end else None
        own = Start(
            stream=start.stream,
            width=start.width,
            height=start.height,
            source=start.source,
            t_first_us=first_us,
        )
        ending = control(EndRecording(stream=start.stream))
        yield Recorded(item, [control(own), *_part(own, events[begin:end]), ending])


def _part(start: Start, events: EventArray) -> list[Message]:
    """Return events as messages; none for none."""
    if not len(events):
        return []
    first_us, last_us = int(events["t"][0]), int(events["t"][-1])
    fields = {"t_first_us": first_us, "t_last_us": last_us, "watermark_us": last_us}
    return [data(Events, events, stream=start.stream, **fields)]


def _source(item: Item) -> Source[Any, Any]:
    """Build the source of an item."""
    options = dict(item.source)
    name = str(options.pop("use"))
    found = load_stage(name)
    if not issubclass(found, Source):
        raise ConfigError(f"data.set: '{name}' is no source; {item.key} needs one to play it")
    place = f"data.set: {item.key}"
    return found(name, validate(found.Config, options, place, None))
