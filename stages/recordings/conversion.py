"""A recording converted: read in any format, written in any that can be written."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from pipeline.errors import PipelineError, RecordingError
from pipeline.events import EventArray
from stages.formats import Policies, open_recording
from stages.formats.policies import LENIENT
from stages.formats.reader import BEGINNING, Reader
from stages.formats.writer import Writer
from stages.recordings.quality import Quality, quality_of
from stages.recordings.summary import progress_of
from stages.recordings.target import create_target

__all__ = ["Conversion", "Part", "convert"]


class Part(msgspec.Struct, frozen=True):
    """Which part of a recording to take, in µs from its first event; ``stop_us`` is not in it."""

    start_us: int = 0
    stop_us: int | None = None
    from_zero: bool = False
    """Whether times count from the part's start; else they stay as they are."""


_WHOLE = Part()


class Conversion(msgspec.Struct, frozen=True):
    """What was written."""

    path: str
    format: str
    width: int
    height: int
    events: int
    bytes: int
    quality: Quality
    """What was found in the part of the recording that was read."""
    lost: tuple[str, ...]
    """What the recording says and the format has no place for: ``size``, ``source``."""
    other_streams: tuple[str, ...]
    """Names of the streams of events that were not asked for."""


def convert(
    source: Path,
    target: Path,
    policies: Policies,
    *,
    size: tuple[int, int] | None = None,
    stream: str | None = None,
    part: Part = _WHOLE,
    compression: str | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Conversion:
    """Convert a recording; memory does not grow with its length.

    A file that is begun and cannot be finished is kept, complete as far as it goes, if there are
    events in it; otherwise an old file of that name stays as it was. The error says so, and a
    `KeyboardInterrupt` does in its notes.

    Args:
        source: the recording to read.
        target: the file to write, in the format that its name ends with.
        policies: what to do about mistakes in the recording; ``on_time_back`` cannot be ``keep``.
        size: (height, width) of the sensor, where the recording does not say it.
        stream: which stream of events to take, where the recording has several.
        part: which part to take.
        compression: one that the format to write has.
        on_progress: called again and again with the share that was read.

    Raises:
        RecordingError: the recording cannot be read, or its events not be written; or it ends
            before the part begins.
    """
    with open_recording(source, policies, stream=stream, size=size) as reader:
        writer = create_target(target, reader.size, reader.source, compression)
        try:
            with writer:
                events = _copy(reader, writer, part, on_progress)
        except PipelineError as error:
            raise RecordingError(f"{error}; {_left(writer)}") from error
        except KeyboardInterrupt as stop:
            stop.add_note(_left(writer))
            raise
        says = ("size", "source") if reader.source else ("size",)
        whole = part.start_us == 0 and part.stop_us is None
        return Conversion(
            path=str(target),
            format=writer.format,
            width=writer.width,
            height=writer.height,
            events=events,
            bytes=target.stat().st_size,
            quality=quality_of(reader, events, whole),
            lost=tuple(what for what in says if what not in writer.holds),
            other_streams=reader.other_streams,
        )


def _copy(reader: Reader, writer: Writer, part: Part, on_progress: Callable[[float], None]) -> int:
    for events, share in _events_of(reader, part):
        writer.write(events)
        on_progress(share)
    return writer.events


def _events_of(reader: Reader, part: Part) -> Iterator[tuple[EventArray, float]]:
    """Yield the events of a part, with the share of the recording that was read."""
    position, start_us, stop_us, shift_us = BEGINNING, None, None, 0
    first_us = 0
    if part.start_us or part.stop_us is not None or part.from_zero:
        first_us = next((int(p.events["t"][0]) for p in reader.packets() if len(p.events)), 0)
        start_us = first_us + part.start_us
        stop_us = None if part.stop_us is None else first_us + part.stop_us
        shift_us = -start_us if part.from_zero else 0
        position = reader.position_at(start_us) if part.start_us else BEGINNING
    count, any_left = 0, not part.start_us
    for packet in reader.packets(position):
        position, events = packet.position, packet.events
        count += len(events)
        begin = 0 if start_us is None else int(np.searchsorted(events["t"], start_us))
        end = len(events) if stop_us is None else int(np.searchsorted(events["t"], stop_us))
        taken = events[begin:end]
        any_left = any_left or begin < len(events)
        if shift_us:
            taken = taken.copy()
            taken["t"] += shift_us
        yield taken, progress_of(reader, packet, count)
        if end < len(events):
            break
    if not any_left:
        last_us = position[0] if position else first_us
        raise RecordingError(
            f"{reader.path}: ends at {(last_us - first_us) / 1e6:.3f} s, before the part that is"
            f" to be taken, from {part.start_us / 1e6:g} s on"
        )


def _left(writer: Writer) -> str:
    """Say what is left of a file that could not be finished."""
    target = writer.path
    if not writer.is_published:
        kept = "; the old one is as it was" if target.exists() else ""
        return f"{target} was not written{kept}"
    try:
        # The writer does not know how much of its last batch is in the file.
        with open_recording(target, LENIENT) as reader:
            count = sum(len(packet.events) for packet in reader.packets())
    except RecordingError:
        count = 0
    return f"{target} holds the {count} events before it"
