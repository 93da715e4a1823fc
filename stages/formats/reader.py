"""What every reader of recordings offers."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from pipeline.events import EventArray

__all__ = ["Packet", "Reader"]


class Packet(NamedTuple):
    """Consecutive events of a recording, and where reading goes on behind them."""

    events: EventArray
    """Read-only; may be empty."""
    position: int
    """Opaque; `Reader.packets` resumes from it."""


class Reader(Protocol):
    """An open recording. Events come in packets, one in memory at a time.

    Attributes:
        format: name of the format, such as ``AEDAT4``.
        width: columns of the sensor.
        height: rows of the sensor.
        source: the camera's name, or an empty text.
        time_range_us: first and last event time, where it is known without reading all.
        refused: events not delivered, by reason.
        quality: what was found that is no loss of events, by kind.
    """

    format: str
    width: int
    height: int
    source: str
    time_range_us: tuple[int, int] | None

    @property
    def refused(self) -> Mapping[str, int]:
        """Events read and not delivered so far, by reason."""
        ...

    @property
    def quality(self) -> Mapping[str, int]:
        """Flaws found so far that cost no event, by kind."""
        ...

    def packets(self, position: int = 0) -> Iterator[Packet]:
        """Yield the events from a position on; 0 is the beginning.

        Raises:
            RecordingError: the recording is damaged; everything before was yielded.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
