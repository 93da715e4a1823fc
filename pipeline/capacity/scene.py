"""What is played in a camera's place: its recording, thinned or laid over itself to any rate.

A busier scene is made of the same one, several times at once, each time begun elsewhere; and one of
which only a part is wanted has all its parts at once before it is thinned. So events lie where they
lay, and a network sees what it knows. Where there is no recording they are random.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import ConfigError
from pipeline.events import EventArray, concatenate_events, events_from_columns
from pipeline.messages import EndRecording, Events, Start
from pipeline.offline import play
from pipeline.ports import EventsPort
from pipeline.registry import load_stage
from pipeline.stage import PortError, Source

__all__ = ["Scene", "at_rate", "random_scene", "recorded", "scene_of"]

_LONGEST_S = 2.0
_MOST_EVENTS = 16_000_000
_PEAK_US = 100_000
_RANDOM_RATE_HZ = 2e5


class Scene(NamedTuple):
    """Recordings of one sensor; times count from the beginning of each."""

    recordings: tuple[EventArray, ...]
    width: int
    height: int
    length_us: tuple[int, ...]
    """How long each recording is."""
    is_random: bool = False
    """Whether nothing is known of what the camera sees."""

    @property
    def is_endless(self) -> bool:
        """Whether it goes on when it is played again, as a camera's would; nothing is reset."""
        return len(self.recordings) == 1

    @property
    def rate_hz(self) -> float:
        """Events a second, on average."""
        return sum(map(len, self.recordings)) / (sum(self.length_us) / 1e6)

    @property
    def peak_hz(self) -> float:
        """Events a second in the busiest tenth of a second."""
        most = max(
            int(np.bincount(events["t"] // min(_PEAK_US, length_us)).max())
            * (_PEAK_US / min(_PEAK_US, length_us))
            for events, length_us in zip(self.recordings, self.length_us, strict=True)
            if len(events)
        )
        return max(self.rate_hz, most * 1e6 / _PEAK_US)

    def write(
        self, folder: Path, rate_hz: float, longest_s: float = _LONGEST_S
    ) -> tuple[list[Path], float]:
        """Write its recordings at a rate; no more than fits into memory easily.

        Args:
            folder: where to.
            rate_hz: events a second.
            longest_s: of an endless one, how much is wanted; others are whole.

        Returns:
            The files, and how long they are together, in s.
        """
        writer_of = import_module("stages.formats").writer_of
        factor = rate_hz / self.rate_hz
        left, written_us = float(_MOST_EVENTS), 0
        paths: list[Path] = []
        for events, whole_us in zip(self.recordings, self.length_us, strict=True):
            length_us = min(whole_us, max(1, int(whole_us * left / (factor * len(events)))))
            if paths and length_us < whole_us:
                break
            if self.is_endless:
                length_us = min(length_us, round(longest_s * 1e6))
            share = length_us / whole_us
            scaled = at_rate(_folded(events, length_us), factor * share, length_us, len(paths))
            path = folder / f"scene-{len(paths)}.aedat4"
            writer = writer_of(path)(path, self.width, self.height, compression="none")
            with writer:
                writer.write(scaled)
            paths.append(path)
            left -= len(scaled)
            written_us += length_us
        return paths, written_us / 1e6


def scene_of(stage: Source[Any, Any], place: str) -> Scene:
    """Return what a source plays, or random events of its sensor where it is live.

    Args:
        stage: the source; it is not open.
        place: where it stands in its file, for messages.

    Raises:
        ConfigError: it gives no events, or its sensor's size is not known.
        PipelineError: its recordings cannot be read.
    """
    port = stage.port()
    if not isinstance(port, EventsPort):
        kind = "nothing" if port is None else port.kind
        raise ConfigError(
            f"{place}: gives {kind}, and what a pipeline can keep up with is told in events a"
            " second; --capacity is for sources of events"
        )
    if not stage.recordings():
        if port.width is None or port.height is None:
            raise ConfigError(
                f"{place}: the size of its sensor is not known before it runs; set size, or give"
                " --recording FILE to be played in its place"
            )
        return random_scene(port.width, port.height)
    return _recorded(stage, place)


def recorded(path: Path) -> Scene:
    """Return what a file holds.

    Raises:
        PipelineError: it cannot be read, or holds no events.
    """
    found: Any = load_stage("replay")
    stage = found("recording", found.Config(path=path))
    place = f"--recording {path}"
    try:
        stage.port()
    except PortError as error:
        raise ConfigError(f"{place}: {error}") from None
    return _recorded(stage, place)


def random_scene(width: int, height: int) -> Scene:
    """Return random events all over a sensor."""
    rng = np.random.default_rng(0)
    length_us = round(_LONGEST_S * 1e6)
    count = round(_RANDOM_RATE_HZ * _LONGEST_S)
    t = np.sort(rng.integers(0, length_us, count))
    x, y = rng.integers(0, (width, height), (count, 2)).T
    events = events_from_columns(t, x, y, rng.integers(0, 2, count))
    return Scene((events,), width, height, (length_us,), is_random=True)


def at_rate(events: EventArray, factor: float, length_us: int, seed: int = 0) -> EventArray:
    """Return ``factor`` times as many events over the same time.

    Args:
        events: in order, with times from 0 to ``length_us``.
        factor: how many times as many.
        length_us: how long the recording is, 1 or more.
        seed: of what is left out, and of where each repetition begins.
    """
    rng = np.random.default_rng(seed)
    whole, part = divmod(factor, 1.0)
    count = round(part * len(events))
    layers = [events] * int(whole)
    if count:
        layers.append(events[np.sort(rng.permutation(len(events))[:count])])
    if not layers:
        return events[:0]
    shifts_us = rng.integers(0, length_us, len(layers))
    if len(layers) == 1:
        return layers[0]
    found = concatenate_events(layers)
    found["t"] = np.concatenate(
        [(one["t"] + by) % length_us for one, by in zip(layers, shifts_us, strict=True)]
    )
    return found[np.argsort(found["t"], kind="stable")]


def _folded(events: EventArray, length_us: int) -> EventArray:
    """Return all events within a shorter time: its parts at once."""
    if events["t"][-1] < length_us:
        return events
    found = events.copy()
    found["t"] %= length_us
    return found[np.argsort(found["t"], kind="stable")]


def _recorded(stage: Source[Any, Any], place: str) -> Scene:
    found: list[EventArray] = []
    lengths: list[int] = []
    parts: list[EventArray] = []
    width = height = left_us = 0
    left_us, left, begin_us = round(_LONGEST_S * 1e6), _MOST_EVENTS, None

    def end() -> None:
        nonlocal parts
        if parts:
            events = concatenate_events(parts)
            events["t"] = np.maximum.accumulate(events["t"] - events["t"][0])
            found.append(events)
            lengths.append(int(events["t"][-1]) + 1)
        parts = []

    for message in play(stage):
        header = message.header
        if isinstance(header, Start):
            if width and (header.width, header.height) != (width, height):
                break
            width, height, begin_us = header.width, header.height, None
        elif isinstance(header, EndRecording):
            end()
            if sum(lengths) >= _LONGEST_S * 1e6:
                break
        elif isinstance(header, Events) and len(message.array):
            events = message.array[:left]
            if begin_us is None:
                begin_us = int(events["t"][0])
                left_us = round(_LONGEST_S * 1e6) - sum(lengths)
            events = events[events["t"] < begin_us + left_us]
            parts.append(events)
            left -= len(events)
            if len(events) < len(message.array) or not left:
                break
    end()
    if not found or sum(lengths) < 1000:
        raise ConfigError(
            f"{place}: holds no events, or less than a millisecond of them; give --recording FILE"
            " to be played in its place"
        )
    return Scene(tuple(found), width, height, tuple(lengths))
