"""From labelled recordings to training data, through the stages that will run in the stream."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import validate
from pipeline.errors import ConfigError
from pipeline.messages import EndRecording, Events, Frames, Message, Start, control, data
from pipeline.offline import play, run_chain
from pipeline.ports import EventsPort, FramesPort, Port
from pipeline.registry import load_stage
from pipeline.stage import PortError, Source, Transform
from stages.datasets.labels import Label
from stages.sources.replay import Replay, ReplayConfig

__all__ = ["input_ports", "labelled_frames"]


def labelled_frames(
    recording: Path, labels: Sequence[Label], tables: Sequence[Mapping[str, Any]], steps: int
) -> NDArray[Any]:
    """Cut a recording at its labels and bin each stretch as if it were a recording of its own.

    Args:
        recording: any recording that `replay` plays.
        labels: the stretches, in order of time and without overlap.
        tables: the stages between recording and network, as ``[[stage]]`` tables of a pipeline.
        steps: windows of each stretch; a shorter one is filled up with empty windows.

    Returns:
        (stretches, steps, 2, height, width) counts in the smallest unsigned dtype.

    Raises:
        ConfigError: the stages do not lead from events to frames.
        RecordingError: the recording cannot be read.
    """
    source = Replay("recording", ReplayConfig(path=recording))
    stages, port = _chain(tables, source.port())
    stretches = [
        _stretch(messages, steps, port)
        for messages in _by_recording(run_chain(cut(play(source), labels), stages))
    ]
    return np.stack(stretches)


def input_ports(
    recording: Path, tables: Sequence[Mapping[str, Any]]
) -> tuple[EventsPort, FramesPort]:
    """Return what the recording gives and what the stages make of it; see `labelled_frames`."""
    given = Replay("recording", ReplayConfig(path=recording)).port()
    return given, _chain(tables, given)[1]


def cut(messages: Iterable[Message], labels: Sequence[Label]) -> Iterator[Message]:
    """Turn one recording into one for each label: Start, the events in it, EndRecording."""
    start: Start | None = None
    waiting = list(labels)
    open_now = False
    for message in messages:
        header = message.header
        if isinstance(header, Start):
            start = header
        if start is None or not isinstance(header, Events):
            continue
        times = message.array["t"]
        while waiting and len(times):
            label = waiting[0]
            if not open_now and times[-1] >= label.start_us:
                yield control(start)
                open_now = True
            if not open_now:
                break
            begin, end = np.searchsorted(times, (label.start_us, label.end_us))
            if end > begin:
                part = message.array[begin:end]
                first_us, last_us = int(part["t"][0]), int(part["t"][-1])
                fields = {"t_first_us": first_us, "t_last_us": last_us, "watermark_us": last_us}
                yield data(Events, part, stream=header.stream, **fields)
            if times[-1] < label.end_us:
                break
            yield control(EndRecording(stream=header.stream))
            waiting.pop(0)
            open_now = False
    if open_now and start is not None:
        yield control(EndRecording(stream=start.stream))
        waiting.pop(0)
    if waiting:
        raise ConfigError(f"{len(waiting)} labels lie behind the end of the recording")


def _chain(
    tables: Sequence[Mapping[str, Any]], port: Port
) -> tuple[list[Transform[Any, Any]], FramesPort]:
    stages: list[Transform[Any, Any]] = []
    for number, table in enumerate(tables):
        options = dict(table)
        name = str(options.pop("use", "?"))
        place = f"input.stage.{number}"
        found = load_stage(name)
        if issubclass(found, Source):
            raise ConfigError(
                f"{place}.use: '{name}' is a source; the recording is the source here"
            )
        config = validate(found.Config, options, place, None)
        stage = found(name, config, [port])
        try:
            given = stage.port()
        except PortError as error:
            raise ConfigError(f"{place}.{error.key}: {error}") from None
        if given is None:
            raise ConfigError(f"{place}.use: '{name}' is a sink and puts nothing out")
        stages.append(stage)
        port = given
    if not isinstance(port, FramesPort):
        raise ConfigError(f"input.stage: must end in frames, ends in {port.kind}")
    return stages, port


def _by_recording(messages: Iterable[Message]) -> Iterator[list[Message]]:
    frames: list[Message] = []
    for message in messages:
        if isinstance(message.header, Frames):
            frames.append(message)
        elif isinstance(message.header, EndRecording):
            yield frames
            frames = []


def _stretch(messages: Sequence[Message], steps: int, port: FramesPort) -> NDArray[Any]:
    arrays = [message.array for message in messages]
    shape = (port.channels, port.height, port.width)
    empty = np.zeros((steps, *(size or 1 for size in shape)), dtype=np.uint8)
    if not arrays:
        return empty
    return np.concatenate([*arrays, empty])[:steps]
