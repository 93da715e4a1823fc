"""Memory of the whole chain over a million windows, and over a tenth of them.

Usage: python -m benchmarks.endurance [--quick] [--json FILE]

Random events go through time_bin (1 ms, 40×40), the DVS Gesture network on the event-driven engine,
aggregate and jsonl. Each length has a process of its own; what grows with the length would show.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import Options, Rows, command, compare
from benchmarks.memory import in_own_process
from pipeline.events import events_from_columns
from pipeline.messages import EndRecording, EndStream, Events, Message, Start, control, data
from pipeline.offline import run_chain
from pipeline.ports import EventsPort, Port
from pipeline.stage import Account
from stages.aggregation.aggregate import Aggregate, AggregateConfig
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.inference.snn import Snn, SnnConfig
from stages.sinks.jsonl import JsonLines, JsonLinesConfig

__all__ = ["rows"]

_SIDE_PX = 128
_WINDOW_US = 1_000
_EVENTS = 20
"""In each window."""
_TOGETHER = 500
"""Windows in a message."""
_WEIGHTS = Path(__file__).parents[1] / "models" / "weights" / "dvs_gesture.safetensors"


def events(windows: int) -> Iterator[Message]:
    """Yield random events for so many windows, a recording."""
    rng = np.random.default_rng(0)
    yield control(Start(stream="camera", width=_SIDE_PX, height=_SIDE_PX, source="", t_first_us=0))
    span_us = _TOGETHER * _WINDOW_US
    for begin_us in range(0, windows * _WINDOW_US, span_us):
        count = _TOGETHER * _EVENTS
        # An event at its very start opens each window, so that none is missing.
        t = np.arange(count) // _EVENTS * _WINDOW_US
        t += begin_us + np.sort(rng.integers(1, _WINDOW_US, (_TOGETHER, _EVENTS))).reshape(-1)
        t[::_EVENTS] = begin_us + np.arange(_TOGETHER) * _WINDOW_US
        x, y = rng.integers(0, _SIDE_PX, (2, count))
        batch = events_from_columns(t, x, y, rng.integers(0, 2, count))
        last_us = begin_us + span_us
        times = {"t_first_us": begin_us, "t_last_us": int(t[-1]), "watermark_us": last_us}
        yield data(Events, batch, stream="camera", **times)
    yield control(EndRecording(stream="camera"))
    yield control(EndStream(stream="camera"))


def step(windows: int, path: Path) -> tuple[int, int, float]:
    """Send windows through the chain; return windows, predictions and seconds."""
    ports: list[Port] = [EventsPort(_SIDE_PX, _SIDE_PX)]
    bins = TimeBin("bins", TimeBinConfig(window_us=_WINDOW_US, size=(40, 40)), ports)
    network = Snn(
        "network", SnnConfig(weights=_WEIGHTS, engine="event", mismatch="allow"), [bins.port()]
    )
    options = AggregateConfig(over="sliding", every=10, mismatch="allow")
    decision = Aggregate("decision", options, [network.port()])
    file = JsonLines("file", JsonLinesConfig(path=path), [decision.port()])
    accounts: dict[str, Account] = {}
    begun = time.perf_counter()
    for _ in run_chain(events(windows), [bins, network, decision, file], accounts):
        pass
    seconds = time.perf_counter() - begun
    return accounts["bins"].made, accounts["file"].made, seconds


def rows(options: Options) -> Rows:
    """Yield the peaks of both lengths; the longer one stands beside the shorter."""
    most = 2_000 if options.quick else 1_000_000
    peaks: dict[str, list[float]] = {}
    for windows in (most // 10, most):
        with tempfile.TemporaryDirectory() as folder:
            (made, predictions, _), peak_mb = in_own_process(
                step, windows, Path(folder) / "predictions.jsonl"
            )
        peaks[f"{made:,} windows, {predictions:,} predictions"] = [peak_mb]
    yield from compare("memory", "MB", peaks, next(iter(peaks)))


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
