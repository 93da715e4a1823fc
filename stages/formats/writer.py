"""What every writer of recordings is: an encoder of one format behind one interface."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np

from pipeline.errors import RecordingError
from pipeline.events import EVENT, TIME_LIMIT_US, EventArray
from stages.record_file import explain

__all__ = ["Writer"]

_LARGEST_SIDE_PX = 1 << 15


class Writer(ABC):
    """A recording that is being written. Memory does not grow with its length.

    What was written before a crash can be read, as far as the format allows it.

    Args:
        path: the file; an existing one is replaced.
        width: columns of the sensor, at most 32 768.
        height: rows of the sensor, at most 32 768.
        source: the camera's name, kept where the format has a place for it.

    Raises:
        RecordingError: the file cannot be written.
        ValueError: another argument is not what it should be.
    """

    format: ClassVar[str]
    longest_us: ClassVar[int] = (1 << 63) - 1
    """The longest silence between events that can be written."""
    compressions: ClassVar[tuple[str, ...]] = ()
    """What its argument ``compression`` may be; empty where the format has none."""

    def __init__(self, path: Path | str, width: int, height: int, source: str = "pipeline") -> None:
        for side in (width, height):
            if not 0 < side <= _LARGEST_SIDE_PX:
                raise ValueError(f"width and height must be 1 to {_LARGEST_SIDE_PX} px, got {side}")
        # Here, so that a writer can be asked what it offers without Numba.
        from stages.formats.inspection_kernel import is_clean

        self._is_clean = is_clean
        self.path = Path(path)
        self.width, self.height, self.source = width, height, source
        self.events = 0
        """Events written so far."""
        self._last_us = -TIME_LIMIT_US
        self._closed = False

    @abstractmethod
    def _write(self, events: EventArray) -> None:
        """Append events that were checked, contiguous and at least one.

        Raises:
            OSError: the file cannot be written.
            RecordingError: the format cannot hold them, such as times beyond its range.
        """

    @abstractmethod
    def _finish(self) -> None:
        """Write what completes the file, and close it whatever happens.

        Raises:
            OSError: the file cannot be written.
        """

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

    def close(self) -> None:
        """Complete the file; a second time does nothing.

        Raises:
            RecordingError: it cannot be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
        except OSError as error:
            raise self._failed(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
