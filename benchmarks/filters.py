"""Filters on events that lie in memory, beside dv-processing's where it has the same, in one run.

Usage: python -m benchmarks.filters [--quick] [--json FILE]

Events are those of a moving blob on 640×480 pixels with noise around it, in messages of 16 384.
Times are of the thread's processor, which other programs disturb less than the clock.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dv_processing as dv
import numpy as np

from benchmarks.measure import Options, Rows, command, compare, in_turns
from pipeline.events import EventArray, events_from_columns
from pipeline.messages import Events, Message, Start, control, data
from pipeline.ports import EventsPort
from pipeline.registry import load_stage

WIDTH, HEIGHT = 640, 480
BATCH = 16_384
PEER_BATCHES = 61
HOT = ((1, 1), (300, 200))
CALIBRATION = {"K": [400, 401, 320.5, 240.25], "D": [-0.36, 0.115, 0, 0]}
START = control(Start(stream="b", width=WIDTH, height=HEIGHT, source="benchmark", t_first_us=0))

Work = Callable[[], float]
"""Does the work once and returns million events per second."""


def blob(count: int) -> EventArray:
    """Events of a blob that moves, a fifth of them noise anywhere, at 10 million a second."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, count // 10, count))
    angle = t / 1e6 * 4
    x = 320 + 250 * np.sin(angle) + rng.normal(0, 25, count)
    y = 240 + 180 * np.cos(angle * 1.3) + rng.normal(0, 25, count)
    noise = rng.random(count) < 0.2
    x[noise], y[noise] = rng.uniform(0, WIDTH, noise.sum()), rng.uniform(0, HEIGHT, noise.sum())
    x, y = x.clip(0, WIDTH - 1).astype(int), y.clip(0, HEIGHT - 1).astype(int)
    return events_from_columns(t, x, y, rng.integers(0, 2, count))


def as_messages(events: EventArray) -> list[Message]:
    messages = []
    for begin in range(0, len(events), BATCH):
        part = events[begin : begin + BATCH]
        first, last = int(part["t"][0]), int(part["t"][-1])
        times = {"t_first_us": first, "t_last_us": last, "watermark_us": last}
        messages.append(data(Events, part, stream="b", **times))
    return messages


def _drain(turn: Generator[Message, None, Any]) -> Any:
    while True:
        try:
            next(turn)
        except StopIteration as end:
            return end.value


def ours(name: str, messages: list[Message], **options: Any) -> Work:
    found = load_stage(name)
    stage: Any = found(name, found.Config(**options), [EventsPort(WIDTH, HEIGHT)])
    stage.open()
    count = sum(len(message.array) for message in messages)

    def run() -> float:
        state = _drain(stage.step(None, START))
        started = time.thread_time()
        for message in messages:
            state = _drain(stage.step(state, message))
        return count / (time.thread_time() - started) / 1e6

    return run


def stores(messages: list[Message]) -> list[Any]:
    """The same events as dv-processing keeps them."""
    made = []
    for message in messages:
        store = dv.EventStore()
        for t, x, y, p in message.array.tolist():
            store.push_back(t, x, y, p > 0)
        made.append(store)
    return made


def theirs(kept: list[Any], make: Callable[[], Any]) -> Work:
    count = sum(len(store) for store in kept)

    def run() -> float:
        filter_ = make()
        started = time.thread_time()
        for store in kept:
            filter_.accept(store)
            filter_.generateEvents()
        return count / (time.thread_time() - started) / 1e6

    return run


class _Undistort:
    """dv-processing's geometry behind the interface of its filters."""

    def __init__(self) -> None:
        model = dv.camera.DistortionModel.RADIAL_TANGENTIAL
        lens = (CALIBRATION["D"], *CALIBRATION["K"], (WIDTH, HEIGHT), model)
        self._geometry = dv.camera.CameraGeometry(*lens)

    def accept(self, store: Any) -> None:
        self._store = store

    def generateEvents(self) -> Any:
        return self._geometry.undistortEvents(self._store)


def rows(options: Options) -> Rows:
    """Yield each filter, beside dv-processing's."""
    messages = as_messages(blob(40_000 if options.quick else 4_000_000))
    few = messages[:PEER_BATCHES]
    kept = stores(few)
    mask = np.ones((HEIGHT, WIDTH), np.uint8)
    for x, y in HOT:
        mask[y, x] = 0
    tau = timedelta(microseconds=2000)
    with tempfile.TemporaryDirectory() as folder:
        calibration = Path(folder) / "lens.json"
        calibration.write_text(json.dumps(CALIBRATION))
        region = {"x": 100, "y": 100, "width": 400, "height": 300}
        cases: list[tuple[str, dict[str, Any], Callable[[], Any] | None]] = [
            ("roi", region, lambda: dv.EventRegionFilter((100, 100, 400, 300))),
            ("polarity", {"mode": "on"}, lambda: dv.EventPolarityFilter(True)),
            ("polarity", {"mode": "invert"}, None),
            ("downsample", {"factor_x": 2, "factor_y": 2}, None),
            ("orient", {"rotate": 90}, None),
            ("time_shift", {"shift_us": 5}, None),
            ("hot_pixel", {"pixels": HOT}, lambda: dv.EventMaskFilter(mask)),
            ("hot_pixel", {"learn_us": 100_000}, None),
            ("refractory", {"period_us": 1000}, None),
            (
                "background_activity",
                {"tau_us": 2000},
                lambda: dv.noise.BackgroundActivityNoiseFilter((WIDTH, HEIGHT), tau),
            ),
            ("background_activity", {"tau_us": 2000, "radius": 2}, None),
            ("rate_limit", {"max_events_per_s": 100_000_000}, None),
            ("rate_limit", {"max_events_per_s": 5_000_000}, None),
            ("undistort", {"file": calibration}, _Undistort),
        ]
        for name, values, peer in cases:
            shown = "" if name == "undistort" else ", ".join(f"{k}={v}" for k, v in values.items())
            what = f"{name} {shown}".strip()
            work = {what: ours(name, few if peer else messages, **values)}
            if peer is not None:
                work = {f"{what}, dv-processing": theirs(kept, peer), **work}
            found = in_turns(work, options.runs)
            yield from compare("filter", "Mev/s", found, next(iter(work)) if peer else None)


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
