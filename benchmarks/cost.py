"""How the cost grows: with events a second, sensor, time steps and stages, one at a time.

Usage: python -m benchmarks.cost [--quick] [--json FILE]

Random events of a second go through filters (`time_shift`), time_bin, the DVS Gesture network and
aggregate, in one process. Where nothing else is said there are a million events, 320×240 pixels,
frames of 40×40, 40 steps and no filter. The cost is processor time a second of event time; a
hundred percent is one core. The stages are opened anew each time, a constant part of the cost.
What a queue adds is in `benchmarks.transport`.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.binning import as_messages, cut
from benchmarks.measure import Options, Rows, command, compare, in_turns
from benchmarks.path import NETWORK, chain
from pipeline.events import events_from_columns
from pipeline.messages import Message
from pipeline.offline import run_chain
from pipeline.ports import EventsPort

__all__ = ["AXES", "rows"]

AXES = {
    "events a second": (10_000, 100_000, 1_000_000, 3_000_000, 10_000_000),
    "pixels, frames of 40×40": ((128, 128), (240, 320), (480, 640), (720, 1280)),
    "pixels, frames of the sensor's size, binning alone": (
        (128, 128),
        (240, 320),
        (480, 640),
        (720, 1280),
    ),
    "time steps": (10, 20, 40, 100, 200),
    "filters in front": (0, 1, 2, 4, 8),
}
"""What grows -> its values; of sensors (height, width)."""

_SECOND_US = 1_000_000
_BATCH = 65_536


class _Port:
    """Stands for the source."""

    def __init__(self, sensor: tuple[int, int]) -> None:
        self._sensor = sensor

    def port(self) -> EventsPort:
        """Return what it gives."""
        return EventsPort(self._sensor[1], self._sensor[0])


def work(
    events: int = 1_000_000,
    sensor: tuple[int, int] = (240, 320),
    steps: int = 40,
    filters: int = 0,
    whole: bool = False,
) -> Callable[[], float]:
    """Return what does the work of a second, and tells the share of a core."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, _SECOND_US, events))
    t[0] = 0
    x, y = rng.integers(0, sensor[1], events), rng.integers(0, sensor[0], events)
    array = events_from_columns(t, x, y, rng.integers(0, 2, events))
    messages = as_messages(cut(array, _BATCH), sensor)
    bins, network, aggregate = NETWORK
    bins = {**bins, "window_us": _SECOND_US // steps, "size": sensor if whole else (40, 40)}
    allowed = {"mismatch": "allow"}
    behind = () if whole else ({**network, **allowed}, {**aggregate, **allowed})
    shifts = ({"use": "time_shift", "shift_us": 1},) * filters
    stages = chain(_Port(sensor), (*shifts, bins, *behind))
    return partial(share, messages, stages)


def share(messages: list[Message], stages: list[Any]) -> float:
    """Return the processor time that a second of events takes, in percent of a core."""
    started = time.process_time()
    for _ in run_chain(messages, stages):
        pass
    return 100 * (time.process_time() - started)


def cases(quick: bool) -> dict[str, dict[str, Callable[[], float]]]:
    """Return for each axis its cases by name, ``AXIS: VALUE``."""
    keys = ("events", "sensor", "sensor", "steps", "filters")
    found: dict[str, dict[str, Callable[[], float]]] = {}
    for key, (axis, values) in zip(keys, AXES.items(), strict=True):
        found[axis] = {}
        for value in values[: 2 if quick else None]:
            number = value[0] * value[1] if isinstance(value, tuple) else value
            few = {"events": 1_000} if quick else {}
            changed: Any = {**few, key: value, "whole": "binning alone" in axis}
            found[axis][f"{axis}: {number}"] = work(**changed)
    return found


def rows(options: Options) -> Rows:
    """Yield the cost of each value of each axis."""
    for made in cases(options.quick).values():
        yield from compare("cost", "%", in_turns(made, options.runs))


if __name__ == "__main__":
    command(__doc__, rows, sys.argv[1:])
