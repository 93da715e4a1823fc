"""Frames from events, beside a plain Numba loop and tonic's `ToFrame`, in one run.

Usage: python -m benchmarks.binning [RECORDING]. Without one, random events of 320×240 pixels are
made. All binning is into windows of 10 ms, of events that lie in memory in arrays of 1 048 576, and
of 65 536 as `replay` sends them. Times are of the processor, which other programs disturb less than
the clock; each figure is the best of several runs, taken in turns.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

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
RUNS = 5


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


def read(path: Path) -> tuple[EventArray, tuple[int, int]]:
    """Return the events of a recording, repeated with shifted times if they are few."""
    with open_recording(path) as reader:
        sensor = reader.height, reader.width
        parts: list[EventArray] = []
        for packet in reader.packets():
            parts.append(packet.events)
            if sum(map(len, parts)) >= MOST_EVENTS:
                break
    events = concatenate_events(parts)
    span_us = int(events["t"][-1] - events["t"][0]) + 1
    times = max(1, MOST_EVENTS // len(events))
    words = np.tile(events.view(np.int64).reshape(-1, 2), (times, 1))
    words[:, 0] += np.repeat(np.arange(times) * span_us, len(events))
    return words.reshape(-1).view(EVENT), sensor


def random_events() -> tuple[EventArray, tuple[int, int]]:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, MOST_EVENTS // 2_000 * WINDOW_US, MOST_EVENTS))
    x, y = rng.integers(0, 320, MOST_EVENTS), rng.integers(0, 240, MOST_EVENTS)
    return events_from_columns(t, x, y, rng.integers(0, 2, MOST_EVENTS)), (240, 320)


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


def nanoseconds(work: dict[str, tuple[Callable[[], None], int]]) -> dict[str, float]:
    """Return for each name the best time for an event, of runs in turns."""
    best = dict.fromkeys(work, float("inf"))
    for run in range(RUNS + 1):
        for name, (do, count) in work.items():
            started = time.process_time_ns()
            do()
            if run:
                best[name] = min(best[name], (time.process_time_ns() - started) / count)
    return best


def main() -> None:
    """Measure, and print a table for the plain time bin and one for all that can be drawn."""
    events, sensor = read(Path(sys.argv[1])) if len(sys.argv) > 1 else random_events()
    console = Console()
    table = Table("size", "array", "work", "Mev/s", "× plain loop", box=box.SIMPLE_HEAD)
    cases = [("40×40", sensor, (40, 40)), (f"{sensor[1]}×{sensor[0]}", sensor, sensor)]
    cases += [(f"{w}×{h}", (h, w), (h, w)) for h, w in ((260, 346), (480, 640))]
    for label, case_sensor, size in cases:
        there = events if case_sensor == sensor else enlarged(events, sensor, case_sensor)
        port = EventsPort(case_sensor[1], case_sensor[0])
        stage = TimeBin("bins", TimeBinConfig(window_us=WINDOW_US, size=size), [port])
        for length in MESSAGE_EVENTS:
            parts = cut(there, length)
            work = {
                "plain Numba loop": (plain(parts, case_sensor, size), len(there)),
                "time_bin": (ours(stage, as_messages(parts, case_sensor)), len(there)),
            }
            peer = tonic_frames(there[:TONIC_EVENTS], case_sensor)
            if peer and size == case_sensor and length == MESSAGE_EVENTS[0]:
                work["tonic ToFrame, one array"] = (peer, min(TONIC_EVENTS, len(there)))
            best = nanoseconds(work)
            for name, time_ns in best.items():
                ratio = best["plain Numba loop"] / time_ns
                rate = f"{1e3 / time_ns:.0f}"
                table.add_row(label, f"{length:,}", name, rate, f"{ratio:.2f}")
        table.add_section()
    console.print(table)

    table = Table("size", "options", "Mev/s", box=box.SIMPLE_HEAD)
    messages = as_messages(cut(events, MESSAGE_EVENTS[0]), sensor)
    for size in ((40, 40), sensor):
        work = {}
        common = {"size": size}
        for frame in ("counts", "binary", "signed", "voxel", "time_surface", "decay"):
            options: dict[str, Any] = {"frame": frame, **common}
            if frame in ("time_surface", "decay"):
                options["tau_us"] = TAU_US
            config = TimeBinConfig(window_us=WINDOW_US, **options)
            stage = TimeBin("bins", config, [EventsPort(sensor[1], sensor[0])])
            work[f"time_bin, {frame}"] = (ours(stage, messages), len(events))
            counted = CountBin(
                "bins", CountBinConfig(events=2_000, **options), [EventsPort(sensor[1], sensor[0])]
            )
            work[f"count_bin of 2 000, {frame}"] = (ours(counted, messages), len(events))
        config = TimeBinConfig(window_us=WINDOW_US, step_us=WINDOW_US // 4, size=size)
        stage = TimeBin("bins", config, [EventsPort(sensor[1], sensor[0])])
        work["time_bin, counts, a window each 2.5 ms"] = (ours(stage, messages), len(events))
        for name, time_ns in nanoseconds(work).items():
            table.add_row(f"{size[1]}×{size[0]}", name, f"{1e3 / time_ns:.3g}")
        table.add_section()
    console.print(table)


if __name__ == "__main__":
    main()
