"""What every reader of recordings is: a decoder of one format behind one interface.

A format's module derives from `Reader` and decodes; opening, inspection (`stages.formats.
inspection`), counting, damage and positions are the same for all and are here.
"""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Self, TypeAlias

from pipeline.errors import RecordingError
from pipeline.events import LARGEST_SIDE_PX, EventArray
from stages.formats.inspection import NO_TIME_US, Inspector
from stages.formats.notes import DAMAGED_BYTES, DAMAGED_PLACES, OTHER_STREAMS, UNKNOWN_WORDS
from stages.formats.policies import LENIENT, Policies

__all__ = ["BEGINNING", "Decoded", "Packet", "Place", "Position", "Reader"]

Position: TypeAlias = tuple[int, ...]
"""A place between two events of a recording, opaque, of whole numbers; `BEGINNING` is the first.
It holds all that decoding depends on, so a recording resumed there continues to the bit."""
BEGINNING: Position = ()

Place: TypeAlias = tuple[int, ...]
"""The part of a position that a format keeps: where in the file, and the decoder's state."""


class Packet(NamedTuple):
    """Consecutive events of a recording, and where reading goes on behind them."""

    events: EventArray
    """Read-only, and never changed later; may be empty. Coordinates lie in the sensor, polarities
    are 0 or 1, and times never go back (unless ``on_time_back`` is ``keep``)."""
    position: Position


class Decoded(NamedTuple):
    """Events as they stand in the file, and the place behind them."""

    events: EventArray
    """Of dtype `EVENT`, its padding zero; coordinates that are no int16 must be -1 and polarities
    that are no int8 must be 2, for inspection to find them."""
    place: Place


class Reader(ABC):
    """An open recording. Events come in packets; only some of them are in memory at a time.

    Args:
        path: the file.
        policies: what to do about mistakes in it; the defaults of `Policies` when left out.
        stream: which stream of events, where a format has several; the first when left out.
        size: (height, width) of the sensor, 1 to 32 768 each, which then overrides what the file
            says.

    Attributes:
        format: name of the format, such as ``AEDAT4``.
        source: the camera's name, or an empty text.
        declared_size: (height, width) where the file, its format or the caller says it; where it
            is None, `size` reads the whole recording to measure it.
        event_count: number of events, where the file says it; counts those that will be refused.
        other_streams: the names of streams of events that the file holds next to the one read.
        beside: what else the whole file holds that is not read, by kind, where its format has
            that in streams of their own; ``notes`` tell it of a reading from the beginning.

    Raises:
        RecordingError: the file cannot be read, its header is damaged, the format has no streams
            by name, or the size is none.
    """

    format: ClassVar[str]
    named_streams: ClassVar[bool] = False
    """Whether a recording may have several streams of events, which have names."""
    source: str = ""
    event_count: int | None = None
    other_streams: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        policies: Policies | None = None,
        *,
        stream: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.path = path
        self.policies = policies or Policies()
        self.declared_size: tuple[int, int] | None = None
        self.beside: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._inspector: Inspector | None = None
        self._delivered = 0
        self._measured: tuple[int, int] | None = None
        self._check_arguments(stream, size)
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(error) from None
        try:
            self.file_bytes = os.fstat(self._file).st_size
            self._open(stream)
        except OSError as error:
            self.close()
            raise self._unreadable(error) from None
        except ValueError as error:
            self.close()
            raise RecordingError(
                f"{path}: its {self.format} header is damaged: {error}; copy or record it again"
            ) from None
        except BaseException:
            self.close()
            raise
        if size is not None:
            self.declared_size = size

    # What a format's module provides.

    @abstractmethod
    def _open(self, stream: str | None) -> None:
        """Read the header; set ``declared_size``, ``source`` and what else the file says.

        Raises:
            ValueError: the header is damaged; the text says how, `Reader` says where.
            RecordingError: anything else is wrong with it.
        """

    @abstractmethod
    def _decode(self, place: Place) -> Iterator[Decoded]:
        """Yield all events from a place on, () being the beginning.

        Several iterators may be under way at once, so the file's own position must not be used:
        read with `_read_at`. Memory is bounded whatever the file holds. What is damaged goes to
        `_damaged`, once all events before it were yielded; words that mean nothing go to
        `_unknown`. Unrolled times are int64.

        Raises:
            RecordingError: there is no such place, or damage must be raised.
        """

    def _place_at(self, t_us: int) -> Position | None:
        """Return a position before the first event at or after ``t_us``, None if only a scan can.

        A format overrides this where the file has an index of times, or says that they never go
        back. Reading on from there must give exactly what a scan gives, the latest time before it
        included.
        """
        return None

    # What all readers offer.

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the sensor; where nothing declares it, of the part that has events."""
        if self.declared_size is not None:
            return self.declared_size
        if self._measured is None:
            self._measured = self._measure()
        return self._measured

    @property
    def height(self) -> int:
        """Rows of the sensor."""
        return self.size[0]

    @property
    def width(self) -> int:
        """Columns of the sensor."""
        return self.size[1]

    @property
    def refused(self) -> Mapping[str, int]:
        """Events not delivered by the latest `packets`, by reason; see `stages.formats.notes`."""
        return self._inspector.refused if self._inspector is not None else {}

    @property
    def notes(self) -> Mapping[str, int]:
        """What else the latest `packets` found, by kind; see `stages.formats.notes`.

        An event that a policy says must not be, and that ended the reading, is counted here.
        """
        found = Counter(self._notes)
        if self._inspector is not None:
            found.update(self._inspector.notes)
        return found

    def packets(self, position: Position = BEGINNING) -> Iterator[Packet]:
        """Yield the events from a position on. The counts start again.

        Raises:
            RecordingError: there is no such position, or the recording holds what a policy says
                must be raised; everything before it was yielded.
        """
        last_us, place = (position[0], position[1:]) if position else (NO_TIME_US, ())
        height, width = self.size
        # What is beside is told once, however often reading is resumed.
        self._notes = Counter({} if place else self.beside)
        if self.other_streams and not place:
            self._notes[OTHER_STREAMS] = len(self.other_streams)
        self._delivered = 0
        self._inspector = inspector = Inspector(width, height, self.policies, last_us)
        return self._inspected(inspector, place)

    def position_at(self, t_us: int) -> Position:
        """Return a position before the first event at or after ``t_us``, as late as is quick.

        Reading on from there gives what reading from the beginning gives, less some events before
        ``t_us``; skip those that are left. The counts start again.
        """
        known = self._place_at(t_us)
        if known is not None:
            return known
        position = BEGINNING
        for packet in self.packets():
            if len(packet.events) and int(packet.events["t"].max()) >= t_us:
                break
            position = packet.position
        return position

    def length_us(self) -> int | None:
        """Return the time from the first event to the last, µs, without events 0.

        None where the file cannot tell without being decoded: a format overrides this where it can,
        and needs no Numba for it.
        """
        return None

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What a format's module uses.

    def _read_at(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``offset`` on, fewer only at the end of the file."""
        part = os.pread(self._file, count, offset)
        if len(part) == count or not part:
            return part
        parts = [part]
        got = len(part)
        while got < count and (part := os.pread(self._file, count - got, offset + got)):
            parts.append(part)
            got += len(part)
        return b"".join(parts)

    def _damaged(self, how: str, offset: int, skipped_bytes: int) -> None:
        """Say that the file ``how`` (as "is truncated") at a byte; raise if that is the policy."""
        if self.policies.on_damage == "drop":
            self._notes[DAMAGED_PLACES] += 1
            if skipped_bytes:
                self._notes[DAMAGED_BYTES] += skipped_bytes
            return
        raise RecordingError(
            f"{self.path}: {how} at byte {offset}; the {self._delivered} events before it were"
            ' read; set on_damage = "drop" to accept that'
        )

    def _unknown(self, count: int, example: str) -> None:
        """Count words that the format does not know; raise if that is the policy."""
        if not count:
            return
        if self.policies.on_unknown == "raise":
            raise RecordingError(
                f"{self.path}: holds {example}, which means nothing in {self.format}, behind about"
                f' {self._delivered} events; set on_unknown = "drop" to skip it'
            )
        self._notes[UNKNOWN_WORDS] += count

    def _no_such_place(self, place: Place) -> RecordingError:
        return RecordingError(
            f"{self.path}: has no position {list(place)}, it has {self.file_bytes} bytes; resume"
            " with the recording that the position was taken from"
        )

    def _unreadable(self, error: OSError) -> RecordingError:
        reason = error.strerror or error
        return RecordingError(
            f"{self.path}: cannot be read: {reason}; check the disk and the permissions"
        )

    def _check_arguments(self, stream: str | None, size: tuple[int, int] | None) -> None:
        if stream is not None and not self.named_streams:
            raise RecordingError(
                f"{self.path}: has no streams by name, {self.format} has none; leave out {stream!r}"
            )
        if size is not None and not all(0 < side <= LARGEST_SIDE_PX for side in size):
            height, width = size
            raise RecordingError(
                f"{self.path}: the size must be 1 to {LARGEST_SIDE_PX} px each, got a height of"
                f" {height} and a width of {width}"
            )

    def _inspected(self, inspector: Inspector, place: Place) -> Iterator[Packet]:
        try:
            for decoded in self._decode(place):
                events = inspector.inspect(decoded.events)
                self._delivered += len(events)
                yield Packet(events, (inspector.last_us, *decoded.place))
                if inspector.violation is not None:
                    number = self._delivered + sum(inspector.refused.values()) + 1
                    raise RecordingError(f"{self.path}: event {number}: {inspector.violation}")
        except OSError as error:
            raise self._unreadable(error) from None

    def _measure(self) -> tuple[int, int]:
        """Read everything to see how far it reaches; damage is left for the reading proper."""
        policies, self.policies = self.policies, LENIENT
        inspector = Inspector(LARGEST_SIDE_PX, LARGEST_SIDE_PX, LENIENT)
        height = width = 1
        try:
            for events, _ in self._inspected(inspector, ()):
                if len(events):
                    width = max(width, int(events["x"].max()) + 1)
                    height = max(height, int(events["y"].max()) + 1)
        finally:
            self.policies = policies
        return height, width
