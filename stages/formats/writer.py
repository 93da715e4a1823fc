"""What every writer of recordings is: an encoder of one format behind one interface."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecordingError
from pipeline.events import EVENT, LARGEST_SIDE_PX, TIME_LIMIT_US, EventArray
from stages.record_file import DraftFile, Mark, explain
from stages.stamp import stamp

__all__ = ["Writer", "WriterPosition"]


class WriterPosition(NamedTuple):
    """Where a recording that is being written can be gone on from."""

    path: str
    width: int
    height: int
    source: str
    mark: Mark
    is_published: bool
    """Whether the file had its name."""
    events: int
    last_us: int
    """Time of the last event."""
    encoder: NDArray[np.int64] | None
    """What the format's encoder remembers of the past."""


class Writer(ABC):
    """A recording that is being written. Memory does not grow with its length.

    The file has its name from the first events that are in it on, and replaces an old one then;
    before it is called ``NAME.part``, as are the events of a format that is made of them at its
    end. What was written before a crash can be read.

    Args:
        path: the file; an existing one is replaced once there are events.
        width: columns of the sensor, at most 32 768 and what the format can hold.
        height: rows of the sensor, likewise.
        source: the camera's name, kept where the format has a place for it.
        compression: one of ``compressions``; None for the format's own choice.
        position: what `commit` of a writer of this file returned, with the same arguments: it is
            cut back to it, and written on.

    Raises:
        RecordingError: the file cannot be written, or is not what it was at the position.
        ValueError: another argument is not what it should be.
    """

    format: ClassVar[str]
    longest_us: ClassVar[int] = (1 << 63) - 1
    """The longest silence between events that can be written."""
    compressions: ClassVar[tuple[str, ...]] = ()
    """What its argument ``compression`` may be; empty where the format has none."""
    usual_compression: ClassVar[str] = "none"
    """Which of them is taken where none is asked for."""
    holds: ClassVar[tuple[str, ...]] = ("size", "source")
    """What of the recording, next to its events, the format has a place for."""

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        source: str = "pipeline",
        compression: str | None = None,
        position: WriterPosition | None = None,
    ) -> None:
        if (problem := self.size_problem(width, height)) is not None:
            raise ValueError(problem)
        if (problem := self.compression_problem(compression)) is not None:
            raise ValueError(f"compression {problem}")
        # Here, so that a writer can be asked what it offers without Numba.
        from stages.formats.inspection_kernel import is_clean

        self._is_clean = is_clean
        self.path = Path(path)
        self.width, self.height, self.source = width, height, source
        self.events = 0
        """Events written so far."""
        self._last_us = -TIME_LIMIT_US
        self._closed = False
        self._compression = compression or self.usual_compression
        self._owner = ""
        self._prepare()
        if position is not None and not position.events:
            position = None  # of a header alone nothing need be kept
        try:
            if position is None:
                self._file = DraftFile(self.path)
            else:
                self._recover(position)
                self._file = DraftFile(self.path, position.mark, position.is_published)
        except OSError as error:
            raise self._failed(error) from None
        try:
            if position is None:
                self._begin()
            else:
                self.events, self._last_us = position.events, position.last_us
                self._resume(position)
        except OSError as error:
            self._file.close(keep=self.events > 0)
            raise self._failed(error) from None

    @classmethod
    def size_problem(cls, width: int, height: int) -> str | None:
        """Return why a recording of such a sensor cannot be written, None if it can."""
        for side in (width, height):
            if not 0 < side <= LARGEST_SIDE_PX:
                return f"width and height must be 1 to {LARGEST_SIDE_PX} px, got {side}"
        return None

    @classmethod
    def compression_problem(cls, compression: str | None) -> str | None:
        """Return why a recording cannot be compressed so, None if it can."""
        if compression is None or compression in cls.compressions:
            return None
        choices = ", ".join(cls.compressions)
        must = f"must be one of {choices}" if choices else "must be left out"
        return f"{must} for {cls.format}, got {compression!r}"

    # What a format's module provides.

    def _prepare(self) -> None:  # noqa: B027, not every format has something to do
        """Look at the arguments and load what is needed, before there is a file.

        Raises:
            ValueError: an argument is not what it should be.
        """

    def _begin(self) -> None:  # noqa: B027, not every format has something to do
        """Write the header, where it does not depend on the first events.

        Raises:
            OSError: the file cannot be written.
        """

    @abstractmethod
    def _write(self, events: EventArray) -> None:
        """Append events that were checked, contiguous and at least one.

        Raises:
            OSError: the file cannot be written.
            RecordingError: the format cannot hold them, such as times beyond its range.
        """

    def _encoder(self) -> NDArray[np.int64] | None:
        """Return what the encoder remembers of the events before."""
        return None

    def _recover(self, position: WriterPosition) -> None:  # noqa: B027, not every format has to
        """Bring back what is to be cut back, where it is not there any more.

        Raises:
            OSError: it cannot be.
        """

    def _resume(self, position: WriterPosition) -> None:  # noqa: B027, not every format has to
        """Go on at a position, behind which the file is cut off.

        Raises:
            OSError: the file cannot be read or written.
        """

    def _finish(self) -> None:  # noqa: B027, not every format has something to do
        """Write what completes the file.

        Raises:
            OSError: the file cannot be written.
        """

    def _release(self) -> None:  # noqa: B027, not every format has something to do
        """Close what was opened besides the file itself.

        Raises:
            OSError: it cannot be done properly.
        """

    # What all writers offer.

    @property
    def is_published(self) -> bool:
        """Whether the file of that name is the one that is written here, and not an older one."""
        return self._file.is_published

    def write(self, events: EventArray) -> None:
        """Append events.

        Args:
            events: of dtype `EVENT`, in order of time and not before those already written.

        Raises:
            ValueError: dtype, order, coordinates or polarities are not what they should be;
                nothing was written.
            RecordingError: the file cannot be written, or its format cannot hold them.
        """
        self._check(events)
        if not len(events):
            return
        try:
            self._write(np.ascontiguousarray(events))
        except OSError as error:
            raise self._failed(error) from None
        self._last_us = int(events["t"][-1])
        self.events += len(events)

    def stamp(self, owner: str) -> None:
        """Say whose the file is; see `stages.stamp`."""
        self._owner = owner
        stamp(self._file.path, owner)

    def commit(self) -> WriterPosition:
        """Make durable what was written, and return where it ends.

        Raises:
            RecordingError: it cannot be.
        """
        try:
            mark = self._file.commit()
        except OSError as error:
            raise self._failed(error) from None
        return WriterPosition(
            str(self.path),
            self.width,
            self.height,
            self.source,
            mark,
            self.is_published,
            self.events,
            self._last_us,
            self._encoder(),
        )

    def close(self) -> None:
        """Complete the file, also where there are no events; a second time does nothing.

        Raises:
            RecordingError: it cannot be written.
        """
        self._end(complete=True)

    def abandon(self) -> None:
        """Close a recording that cannot go on: what has events is completed, else nothing is left.

        Raises:
            RecordingError: it cannot be written.
        """
        self._end(complete=self.events > 0 or self.is_published)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _end(self, complete: bool) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            try:
                if complete:
                    self._finish()
            finally:
                self._release()
            if complete:
                self._file.publish()
        except OSError as error:
            raise self._failed(error) from None
        finally:
            self._file.close(keep=self.events > 0)

    def _check(self, events: EventArray) -> None:
        if events.dtype != EVENT or events.ndim != 1:
            raise ValueError(
                f"events must be one row of {EVENT}, got {events.ndim} of {events.dtype}; make"
                " them with pipeline.events, numpy.concatenate packs their records"
            )
        words = np.ascontiguousarray(events).view(np.int64).reshape(-1, 2)
        if len(words) and not self._is_clean(
            words, self._last_us, self.longest_us, self.width, self.height
        ):
            self._refuse(events)

    def _refuse(self, events: EventArray) -> None:
        """Say what is wrong with events, of which something is."""
        t, p = events["t"], events["p"].view(np.uint8)
        if np.any(t[1:] < t[:-1]) or t[0] < self._last_us:
            raise ValueError("events must be in order of time; sort them first")
        if t[0] <= -TIME_LIMIT_US or t[-1] >= TIME_LIMIT_US:
            raise ValueError(f"times must be within ±2**62 µs, got {t[0]} to {t[-1]}")
        if p.max() > 1:
            raise ValueError(f"polarities must be 0 or 1, got {events['p'][p.argmax()]}")
        # Unsigned, so that one comparison also finds what is below zero.
        for axis, limit in (("x", self.width), ("y", self.height)):
            values = events[axis].view(np.uint16)
            if values.max() >= limit:
                wrong = events[axis][values.argmax()]
                raise ValueError(f"{axis} must be 0 to {limit - 1}, got {wrong}")
        before_us = self._last_us if self.events else t[0]
        longest_us = int(np.diff(t, prepend=before_us).max())
        raise RecordingError(
            f"{self.path}: {self.format} cannot hold a silence of {longest_us / 1e6:.0f} s, only of"
            f" {self.longest_us / 1e6:.0f}; write another format or cut the recording there"
        )

    def _failed(self, error: OSError) -> RecordingError:
        return RecordingError(explain(self.path, error))
