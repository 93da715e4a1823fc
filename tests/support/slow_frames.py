"""Frames made the slow way, straight from their definitions: the twins of the compiled ones."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.events import EventArray


class Seen(NamedTuple):
    """An event and its number in the stream."""

    number: int
    t: int
    x: int
    y: int
    p: int


class Window(NamedTuple):
    """Start, end (both in µs) and events of a window."""

    start_us: int
    end_us: int
    events: list[Seen]


def time_windows(
    events: EventArray, window_us: int, step_us: int, origin_us: int | None = None
) -> tuple[list[Window], int, int]:
    """The windows of a grid of time; events that are late, and between windows."""
    seen = [Seen(number, *event) for number, event in enumerate(events.tolist())]
    if not seen:
        return [], 0, 0
    origin_us = seen[0].t if origin_us is None else origin_us
    inside: list[Seen] = []
    reached_us, late, between = origin_us, 0, 0
    closed_us = origin_us
    for event in seen:
        if event.t < closed_us:
            late += 1
            continue
        reached_us = max(reached_us, event.t)
        full = max(0, (reached_us - origin_us - window_us) // step_us + 1)
        if full:
            closed_us = origin_us + (full - 1) * step_us + window_us
        if (event.t - origin_us) % step_us >= window_us:
            between += 1
        else:
            inside.append(event)
    count = max(0, (reached_us - origin_us - window_us) // step_us + 1)
    begun_us = max(closed_us, origin_us + count * step_us)
    count += any(event.t >= begun_us for event in inside)
    windows = []
    for start_us in range(origin_us, origin_us + count * step_us, step_us):
        end_us = start_us + window_us
        windows.append(Window(start_us, end_us, [e for e in inside if start_us <= e.t < end_us]))
    return windows, late, between


def count_windows(events: EventArray, size: int, step: int) -> list[Window]:
    """The windows of so many events each, a partial last one included."""
    seen = [Seen(number, *event) for number, event in enumerate(events.tolist())]
    full = max(0, (len(seen) - size) // step + 1)
    covered = (full - 1) * step + size if full else 0
    count = full + (len(seen) > max(covered, full * step))
    windows = []
    latest_us = -(2**63)
    for begin in range(0, count * step, step):
        members = seen[begin : begin + size]
        latest_us = max(latest_us, *(event.t for event in members))
        windows.append(Window(min(event.t for event in members), latest_us + 1, members))
    return windows


def slow_frames(
    windows: Sequence[Window],
    sensor: tuple[int, int],
    size: tuple[int, int],
    frame: str,
    bins: int = 5,
    tau_us: int = 1,
    memory: str = "stream",
) -> NDArray[Any]:
    """(windows, channels, height, width) what each window's frame must hold."""
    channels = {"signed": 1, "voxel": bins}.get(frame, 2)
    kind = {"counts": np.uint16, "binary": np.uint16, "signed": np.int16}.get(frame, np.float32)
    frames = np.zeros((len(windows), channels, *size), dtype=kind)
    past: dict[int, Seen] = {}
    for drawn, window in zip(frames, windows, strict=True):
        past |= {event.number: event for event in window.events}
        lives_on = frame == "decay" or (frame == "time_surface" and memory == "stream")
        for event in sorted(past.values()) if lives_on else window.events:
            row = event.y * size[0] // sensor[0]
            column = event.x * size[1] // sensor[1]
            faded = math.exp((event.t - window.end_us) / tau_us)
            if frame == "counts":
                drawn[event.p, row, column] += 1
            elif frame == "binary":
                drawn[event.p, row, column] = 1
            elif frame == "signed":
                drawn[0, row, column] += 1 if event.p else -1
            elif frame == "time_surface":
                drawn[event.p, row, column] = max(drawn[event.p, row, column], faded)
            elif frame == "decay":
                drawn[event.p, row, column] += faded
            else:
                sign = 1 if event.p else -1
                length_us = window.end_us - window.start_us
                height = (event.t - window.start_us) * (bins - 1) / length_us
                for centre in range(bins):
                    share = max(0.0, 1 - abs(height - centre))
                    drawn[centre, row, column] += sign * share
    return frames
