"""Examples out of a cache: as frames, or as events that are changed and binned anew each time."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.card import TrainedWords
from models.training.recipe import EventSection
from pipeline.errors import ConfigError
from pipeline.events import EVENT, EventArray
from pipeline.messages import Start
from stages.datasets.cache import COMPRESSION, open_cache
from stages.datasets.data_set import Item
from stages.datasets.event_changes import change_events
from stages.datasets.frames import Input, events_of, recorded, replayed

__all__ = [
    "CachedExamples",
    "EventExamples",
    "FrameExamples",
    "Prepared",
    "fit",
    "prepared",
    "write_cache",
]

_IN_MEMORY_BYTES = 1 << 28
"""A part that is not larger is kept in memory."""
_EVENTS_A_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class CachedExamples:
    """One part of a data set in a cache; see `models.training.data.Examples`.

    Attributes:
        path: the cache.
        indices: which of its items are in this part.
        steps: windows of an example.
        item: one of the set's items: its source and ``tables`` tell what a frame is.
        tables: the input stages.
    """

    path: Path
    indices: Sequence[int]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    classes: tuple[str, ...]
    steps: int
    item: Item
    tables: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        """Return how many examples there are."""
        return len(self.indices)

    @property
    def window_us(self) -> int | None:
        """Length of a step, µs; None: it has none in time."""
        return self._input.port.window_us

    @property
    def frame(self) -> str:
        """What a frame holds."""
        return self._input.port.frame

    @property
    def vocabulary(self) -> TrainedWords | None:
        """What numbers the words of texts."""
        words = self._input.port.words
        return None if words is None else TrainedWords(words.ids, words.sha256)

    @cached_property
    def sensor_size(self) -> tuple[int, int]:
        """(height, width) of what the frames were made from."""
        height, width = self._file.attrs["sensor_size"].tolist()
        return height, width

    @property
    def notes(self) -> dict[str, int]:
        """How many examples are not as long as their recordings, by what was done."""
        windows = self._file["windows"][...][self.indices]
        counts = {
            f"shorter than {self.steps} steps, filled up with empty ones": windows < self.steps,
            f"longer than {self.steps} steps, the rest left out": windows > self.steps,
            "without any event or frame": windows == 0,
        }
        return {what: int(where.sum()) for what, where in counts.items() if where.any()}

    @property
    def refused(self) -> dict[str, int]:
        """What was refused of all items of the set, by reason."""
        counts: dict[str, int] = json.loads(self._file.attrs["refused"])
        return counts

    @cached_property
    def _file(self) -> Any:
        return open_cache(self.path)

    @cached_property
    def _input(self) -> Input:
        return Input(self.item, self.tables)

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files and stages behind: a process that loads examples has its own."""
        return {key: self.__dict__[key] for key in self.__dataclass_fields__}


class FrameExamples(CachedExamples):
    """Examples that were binned once; there are no events left to change."""

    def example(self, index: int, rng: np.random.Generator | None = None) -> NDArray[Any]:
        """Return a copy of one example, (steps, channels, height, width)."""
        if self._kept is not None:
            kept: NDArray[Any] = self._kept[index].copy()
            return kept
        return self._read(index)

    def _read(self, index: int) -> NDArray[Any]:
        frames: NDArray[Any] = self._file["frames"][self.indices[index]]
        return frames

    @cached_property
    def _kept(self) -> NDArray[Any] | None:
        frames = self._file["frames"]
        if frames.nbytes // len(frames) * len(self) > _IN_MEMORY_BYTES:
            return None
        return np.stack([self._read(index) for index in range(len(self))])


@dataclass(frozen=True, eq=False)
class EventExamples(CachedExamples):
    """Examples whose events are changed, and then binned by the very stages of the stream.

    Attributes:
        changes: how they are changed where a generator is given; otherwise they are as recorded.
    """

    changes: EventSection

    def example(self, index: int, rng: np.random.Generator | None = None) -> NDArray[Any]:
        """Return one example, (steps, channels, height, width)."""
        events = self._events(index)
        if rng is not None:
            events = change_events(events, self.sensor_size, self.changes, rng).events
        messages = replayed(events, self.sensor_size, f"example {index}")
        return fit(self._input.bin(messages).frames, self.steps)

    def _events(self, index: int) -> EventArray:
        first, count = self._places[self.indices[index]]
        kept = self._file["events"] if self._kept is None else self._kept
        events: EventArray = kept[first : first + count]
        return events

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        places: NDArray[np.int64] = self._file["places"][...]
        return places

    @cached_property
    def _kept(self) -> EventArray | None:
        events = self._file["events"]
        return events[...] if events.nbytes <= _IN_MEMORY_BYTES else None


def fit(frames: NDArray[Any], steps: int) -> NDArray[Any]:
    """Return a copy of just so many steps: the first ones, or filled up with empty ones."""
    fitted = np.zeros((steps, *frames.shape[1:]), frames.dtype)
    fitted[: len(frames)] = frames[:steps]
    return fitted


class Prepared(NamedTuple):
    """What goes into a cache of one item."""

    item: int
    """Index of the item."""
    size: tuple[int, int]
    """(height, width) of the sensor, or of whatever gives the frames."""
    windows: int
    """How many windows its recording has."""
    array: NDArray[Any]
    """Its frames, cut or filled up; or its events."""
    refused: Counter[str]
    """What source and input stages refused, by reason."""


def prepared(
    items: Sequence[tuple[int, Item]],
    tables: Sequence[Mapping[str, Any]],
    steps: int,
    as_events: bool,
) -> Iterator[Prepared]:
    """Play items, given with their index, and bin them.

    Raises:
        ConfigError: an item is not what the input stages take.
        RecordingError: a recording cannot be read.
    """
    through, sizes = Input(items[0][1], tables), set[tuple[int, int]]()
    indices = iter([index for index, _ in items])
    for one in recorded([item for _, item in items]):
        start = one.messages[0].header
        assert isinstance(start, Start)
        size = (start.height, start.width)
        if size not in sizes:
            Input(one.item, tables, size)  # refuses stages that do not fit this sensor
            sizes.add(size)
        events = events_of(one) if as_events else None
        frames, refused = through.bin(one.messages)
        array = fit(frames, steps) if events is None else events
        yield Prepared(next(indices), size, len(frames), array, one.refused + refused)


def write_cache(
    file: Any, count: int, steps: int, as_events: bool, flow: Iterable[Prepared]
) -> None:
    """Fill a cache.

    Frames lie a chunk an example, in the smallest dtype that holds all of them; events lie one
    item behind the other.

    Raises:
        ConfigError: items differ in shape or sensor, or none holds anything.
    """
    windows = np.zeros(count, np.int64)
    places = np.zeros((count, 2), np.int64)
    size: tuple[int, int] | None = None
    refused: Counter[str] = Counter()
    for one in flow:
        refused += one.refused
        own_size, array = one.size, one.array
        windows[one.item] = one.windows
        if size is None:
            size, file.attrs["sensor_size"] = own_size, own_size
        if as_events:
            if own_size != size:
                raise ConfigError(
                    f"augment.events: sensors must be of one size, got {size} and {own_size}"
                )
            places[one.item] = _append(file, array)
        elif one.windows:
            _put(file, count, one.item, array)
    if not windows.any():
        raise ConfigError("data.set: not one of its items holds an event or a frame")
    file["windows"] = windows
    file["places"] = places
    file.attrs["refused"] = json.dumps(refused)


def _put(file: Any, count: int, index: int, frames: NDArray[Any]) -> None:
    """Write the frames of one item; make the array, or make it wider, when they need it."""
    kept = file.get("frames")
    if kept is not None and frames.shape != kept.shape[1:]:
        raise ConfigError(
            f"input.stage: frames must be of one shape, got {frames.shape[1:]} and"
            f" {kept.shape[2:]}; give a size that all can have"
        )
    dtype = frames.dtype if kept is None else np.promote_types(kept.dtype, frames.dtype)
    if kept is None or kept.dtype != dtype:
        wider = file.create_dataset(
            "wider", (count, *frames.shape), dtype, chunks=(1, *frames.shape), **COMPRESSION
        )
        if kept is not None:
            for done in range(count):
                wider[done] = kept[done]
            del file["frames"]
        file.move("wider", "frames")
    file["frames"][index] = frames


def _append(file: Any, events: EventArray) -> tuple[int, int]:
    """Write the events of one item behind the others; return where they are and how many."""
    if "events" not in file:
        chunks = (_EVENTS_A_CHUNK,)
        file.create_dataset("events", (0,), EVENT, maxshape=(None,), chunks=chunks, **COMPRESSION)
    kept = file["events"]
    begin = len(kept)
    kept.resize((begin + len(events),))
    kept[begin:] = events
    return begin, len(events)
