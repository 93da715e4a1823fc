"""Frames from events, beside a plain Numba loop and tonic's `ToFrame`, in one run.

Usage: python -m benchmarks.binning [--recording FILE] [--quick] [--json FILE]

Without a recording, random events of 320×240 pixels are made. All binning is into windows of 10 ms,
of events that lie in memory in arrays of 1 048 576, and of 65 536 as `replay` sends them. Times are
of the processor, which other programs disturb less than the clock.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.measure import Options, Rows, command, compare, in_turns
from pipeline.events import EVENT, EventArray, concatenate_events, events_from_columns
from pipeline.messages import EndRecording, Events, Message, Start, control, data
from pipeline.offline import run_chain
from pipeline.ports import EventsPort
from pipeline.stage import Transform
from stages.binning.count_bin import CountBin, CountBinConfig
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.formats import open_recording

WINDOW_US = 10_000
TAU_US = 20_000
MESSAGE_EVENTS = (1_048_576, 65_536)
MOST_EVENTS = 8_000_000
TONIC_EVENTS = 500_000


@njit(cache=True, nogil=True)
def plain_loop(
    events: EventArray,
    origin_us: int,
    sensor_width: int,
    sensor_height: int,
    frames: NDArray[np.uint16],
) -> None:
    """What one writes first: three divisions for each event, and 16 bits for each count."""
    height, width = frames.shape[2:]
    for event in events:
        window = (event.t - origin_us) // WINDOW_US
        row, column = event.y * height // sensor_height, event.x * width // sensor_width
        frames[window, event.p, row, column] += 1


def bin_plainly(
    messages: list[EventArray], sensor: tuple[int, int], size: tuple[int, int]
) -> Iterator[NDArray[np.uint16]]:
    """Yield the frames of each message; windows that a message cuts in two come twice."""
    for events in messages:
        first = int(events["t"][0])
        windows = (int(events["t"][-1]) - first) // WINDOW_US + 1
        frames = np.zeros((windows, 2, *size), dtype=np.uint16)
        plain_loop(events, first, sensor[1], sensor[0], frames)
        yield frames


def read(path: Path, most: int) -> tuple[EventArray, tuple[int, int]]:
    """Return the events of a recording, repeated with shifted times if they are few."""
    with open_recording(path) as reader:
        sensor = reader.height, reader.width
        parts: list[EventArray] = []
        for packet in reader.packets():
            parts.append(packet.events)
            if sum(map(len, parts)) >= most:
                break
    events = concatenate_events(parts)
    span_us = int(events["t"][-1] - events["t"][0]) + 1
    times = max(1, most // len(events))
    words = np.tile(events.view(np.int64).reshape(-1, 2), (times, 1))
    words[:, 0] += np.repeat(np.arange(times) * span_us, len(events))
    return words.reshape(-1).view(EVENT), sensor


def random_events(count: int) -> tuple[EventArray, tuple[int, int]]:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, count // 2_000 * WINDOW_US, count))
    x, y = rng.integers(0, 320, count), rng.integers(0, 240, count)
    return events_from_columns(t, x, y, rng.integers(0, 2, count)), (240, 320)


def enlarged(events: EventArray, sensor: tuple[int, int], to: tuple[int, int]) -> EventArray:
    """Return the events spread over a larger sensor."""
    spread = events.copy()
    spread["x"] = events["x"].astype(np.int64) * to[1] // sensor[1]
    spread["y"] = events["y"].astype(np.int64) * to[0] // sensor[0]
    return spread


def cut(events: EventArray, length: int) -> list[EventArray]:
    return [events[k : k + length] for k in range(0, len(events), length)]


def as_messages(parts: list[EventArray], sensor: tuple[int, int]) -> list[Message]:
    messages = [control(Start(stream="b", width=sensor[1], height=sensor[0], source="benchmark"))]
    for events in parts:
        first, last = int(events["t"][0]), int(events["t"][-1])
        fields = {"t_first_us": first, "t_last_us": last, "watermark_us": last}
        messages.append(data(Events, events, stream="b", **fields))
    return [*messages, control(EndRecording(stream="b"))]


def ours(stage: Transform[Any, Any], messages: list[Message]) -> Callable[[], None]:
    def run() -> None:
        for _ in run_chain(messages, [stage]):
            pass

    return run


def plain(
    parts: list[EventArray], sensor: tuple[int, int], size: tuple[int, int]
) -> Callable[[], None]:
    def run() -> None:
        for _ in bin_plainly(parts, sensor, size):
            pass

    return run


def tonic_frames(events: EventArray, sensor: tuple[int, int]) -> Callable[[], None] | None:
    """Return tonic's own way at full size, None where it is not installed."""
    try:
        from tonic.transforms import ToFrame
    except ImportError:
        return None
    transform = ToFrame(sensor_size=(sensor[1], sensor[0], 2), time_window=WINDOW_US)
    return lambda: transform(events)


def processor_rate(do: Callable[[], None], count: int) -> Callable[[], float]:
    """Return what does it once and tells million events a second of the processor's time."""

    def once() -> float:
        started = time.process_time_ns()
        do()
        return 1e3 * count / (time.process_time_ns() - started)

    return once


def rows(options: Options) -> Rows:
    """Yield the plain time bin beside its peers, and then all that can be drawn."""
    most = 200_000 if options.quick else MOST_EVENTS
    events, sensor = read(options.recording, most) if options.recording else random_events(most)
    cases = [("40×40", sensor, (40, 40)), (f"{sensor[1]}×{sensor[0]}", sensor, sensor)]
    cases += [(f"{w}×{h}", (h, w), (h, w)) for h, w in ((260, 346), (480, 640))]
    for label, case_sensor, size in cases:
        there = events if case_sensor == sensor else enlarged(events, sensor, case_sensor)
        port = EventsPort(case_sensor[1], case_sensor[0])
        stage = TimeBin("bins", TimeBinConfig(window_us=WINDOW_US, size=size), [port])
        for length in MESSAGE_EVENTS:
            parts = cut(there, length)
            of = f"{label}, arrays of {length:,}"
            loop = f"{of}, plain Numba loop"
            run = ours(stage, as_messages(parts, case_sensor))
            work = {
                loop: processor_rate(plain(parts, case_sensor, size), len(there)),
                f"{of}, time_bin": processor_rate(run, len(there)),
            }
            peer = tonic_frames(there[:TONIC_EVENTS], case_sensor)
            if peer and size == case_sensor and length == MESSAGE_EVENTS[0]:
                work[f"{label}, one array, tonic ToFrame"] = processor_rate(
                    peer, min(TONIC_EVENTS, len(there))
                )
            yield from compare("bin", "Mev/s", in_turns(work, options.runs), loop)

    messages = as_messages(cut(events, MESSAGE_EVENTS[0]), sensor)
    for size in ((40, 40), sensor):
        work = {}
        for what, stage in drawn(size, sensor):
            run = processor_rate(ours(stage, messages), len(events))
            work[f"{size[1]}×{size[0]}, {what}"] = run
        yield from compare("bin", "Mev/s", in_turns(work, options.runs))


def drawn(
    size: tuple[int, int], sensor: tuple[int, int]
) -> Iterator[tuple[str, Transform[Any, Any]]]:
    """Yield the bins that draw each kind of frame."""
    port = EventsPort(sensor[1], sensor[0])
    for frame in ("counts", "binary", "signed", "voxel", "time_surface", "decay"):
        options: dict[str, Any] = {"frame": frame, "size": size}
        if frame in ("time_surface", "decay"):
            options["tau_us"] = TAU_US
        yield (
            f"time_bin, {frame}",
            TimeBin("bins", TimeBinConfig(window_us=WINDOW_US, **options), [port]),
        )
        config = CountBinConfig(events=2_000, **options)
        yield f"count_bin of 2 000, {frame}", CountBin("bins", config, [port])
    slid = TimeBinConfig(window_us=WINDOW_US, step_us=WINDOW_US // 4, size=size)
    yield "time_bin, counts, a window each 2.5 ms", TimeBin("bins", slid, [port])


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
