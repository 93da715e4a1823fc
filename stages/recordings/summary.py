"""A recording summed up: what is in it, how much, when, and in what state it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stages.formats import open_recording
from stages.formats.policies import LENIENT
from stages.formats.reader import Packet, Reader
from stages.recordings.quality import Quality, quality_of

__all__ = ["Summary", "progress_of", "summarise"]

_PICTURE_COLUMNS, _PICTURE_ROWS = 76, 40
"""The picture's largest extent in pixels; a line of text holds two rows."""


class Summary(msgspec.Struct, frozen=True):
    """What a recording holds. Rates are in events per second; without events there is no time."""

    path: str
    format: str
    source: str
    """The camera's name, empty where the file does not say it."""
    width: int
    height: int
    size_declared: bool
    """Whether the file or its format says the sensor's size; else it is that of what has events."""
    other_streams: tuple[str, ...]
    """Names of the streams of events that are in the file and were not asked for."""
    events: int
    t_first_us: int | None
    t_last_us: int | None
    """The latest time, whether it is that of the last event or not."""
    duration_s: float | None
    rate_mean: float | None
    rate_peak: float | None
    """The highest over 10 ms, in windows that follow each other from the first event on."""
    on: int
    off: int
    quality: Quality
    rate: list[float]
    """The rate over time, in up to 64 steps of ``rate_step_s``, the last of which may be begun."""
    rate_step_s: float
    picture: list[list[list[int]]]
    """Events by polarity (OFF, ON), row and column, in a coarse grid over the sensor."""


def summarise(
    path: Path | str,
    size: tuple[int, int] | None = None,
    stream: str | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Summary:
    """Read a recording wholly, whatever is wrong with it. Memory does not grow with its length.

    Args:
        path: the recording.
        size: (height, width) of the sensor, where the file does not say it.
        stream: which stream of events, where the file has several.
        on_progress: called again and again with the share that was read.

    Raises:
        RecordingError: it is no recording, or its header is damaged.
    """
    with open_recording(path, LENIENT, stream=stream, size=size) as reader:
        counts = _Counts(*reader.size)
        for packet in reader.packets():
            counts.add(packet)
            on_progress(progress_of(reader, packet, counts.events))
        return counts.summary(reader)


def progress_of(reader: Reader, packet: Packet, events: int) -> float:
    """Return which share of a recording was read, as well as its format lets one know.

    Args:
        reader: the open recording.
        packet: the latest of its packets.
        events: how many events were read up to there.
    """
    if reader.event_count:
        return min(1.0, events / reader.event_count)
    # Most formats resume at a byte.
    return min(1.0, packet.position[1] / reader.file_bytes)


class _Counts:
    """What is known of the events so far."""

    def __init__(self, height: int, width: int) -> None:
        from stages.recordings import summary_kernel

        self._kernel = summary_kernel
        scale = max(-(-width // _PICTURE_COLUMNS), -(-height // _PICTURE_ROWS))
        self._rows = np.arange(height, dtype=np.int32) // scale
        self._columns = np.arange(width, dtype=np.int32) // scale
        self._picture = np.zeros((2, self._rows[-1] + 1, self._columns[-1] + 1), np.int64)
        self._bins = np.zeros(summary_kernel.BINS, np.int64)
        self._numbers = np.zeros(summary_kernel.NUMBERS, np.int64)
        self.events = 0

    def add(self, packet: Packet) -> None:
        """Count the events of a packet."""
        self.events += len(packet.events)
        self._kernel.count_events(
            packet.events.view(np.int64).reshape(-1, 2),
            self._rows,
            self._columns,
            self._picture,
            self._bins,
            self._numbers,
        )

    def summary(self, reader: Reader) -> Summary:
        """Return all that is known when the recording was read to its end."""
        off, on = self._picture.sum(axis=(1, 2)).tolist()
        height, width = reader.size
        return Summary(
            path=str(reader.path),
            format=reader.format,
            source=reader.source,
            width=width,
            height=height,
            size_declared=reader.declared_size is not None,
            other_streams=reader.other_streams,
            events=self.events,
            on=on,
            off=off,
            quality=quality_of(reader, self.events),
            picture=self._picture.tolist(),
            **self._times(),
        )

    def _times(self) -> dict[str, Any]:
        first, latest, step, _, _, peak = self._numbers.tolist()
        if not self.events:
            nothing = ("t_first_us", "t_last_us", "duration_s", "rate_mean", "rate_peak")
            return dict.fromkeys(nothing) | {"rate": [], "rate_step_s": 0.0}
        duration_us = latest - first
        mean = self.events / duration_us * 1e6 if duration_us else None
        peak_rate = peak / self._kernel.WINDOW_US * 1e6
        return {
            "t_first_us": first,
            "t_last_us": latest,
            "duration_s": duration_us / 1e6,
            "rate_mean": mean,
            # What is shorter than a window does not fill it.
            "rate_peak": max(peak_rate, mean or 0.0),
            "rate": _rates(self._bins[: duration_us // step + 1], step),
            "rate_step_s": step / 1e6,
        }


def _rates(counts: NDArray[np.int64], step_us: int) -> list[float]:
    rates: list[float] = (counts / step_us * 1e6).tolist()
    return rates
