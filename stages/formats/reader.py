"""What every reader of recordings offers."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from pipeline.events import EventArray

__all__ = ["Packet", "Reader"]


class Packet(NamedTuple):
    """Consecutive events of a recording, and where reading goes on behind them."""

    events: EventArray
    """Read-only; may be empty. Coordinates lie in the sensor and polarities are 0 or 1; time may
    go back."""
    position: int
    """Opaque; `Reader.packets` resumes from it."""


class Reader(Protocol):
    """An open recording. Events come in packets, one in memory at a time.

    Attributes:
        format: name of the format, such as ``AEDAT4``.
        width: columns of the sensor.
        height: rows of the sensor.
        source: the camera's name, or an empty text.
        time_range_us: first and last event time, where the file says it.
        event_count: number of events, where the file says it; counts those that will be refused.
        refused: events not delivered, by reason.
        quality: what else was found to be wrong, by kind.
    """

    format: str
    width: int
    height: int
    source: str
    time_range_us: tuple[int, int] | None
    event_count: int | None

    @property
    def refused(self) -> Mapping[str, int]:
        """Events not delivered by the latest `packets`, by reason.

        ``outside the sensor``: coordinates beyond its size; ``of unknown polarity``: not 0 or 1.
        """
        ...

    @property
    def quality(self) -> Mapping[str, int]:
        """Flaws found by the latest `packets`, by kind.

        ``time going back``: events earlier than the one before them, delivered all the same;
        ``damaged places`` and ``damaged bytes``: skipped as ``on_damage = "drop"`` asks for;
        ``not closed``: 1 if the recording was not ended properly.
        """
        ...

    def packets(self, position: int = 0) -> Iterator[Packet]:
        """Yield the events from a position on; 0 is the beginning. The counts start again.

        Raises:
            RecordingError: there is no such position, or the recording is damaged; everything
                before the damage was yielded.
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
