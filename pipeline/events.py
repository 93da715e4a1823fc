"""The event record: the one layout in which events exist inside the pipeline.

It is the record of AEDAT 4 (Inivation, file format specification "AEDAT 4.0", struct Event), so
arrays from dv-processing and from files are viewed and not copied; the field names are tonic's, so
its transforms take them. A batch of events is a one-dimensional array of this dtype. It may be
empty and is never None.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "EVENT",
    "LARGEST_SIDE_PX",
    "TIME_LIMIT_US",
    "EventArray",
    "concatenate_events",
    "empty_events",
    "events_from_columns",
]

EVENT: np.dtype[np.void] = np.dtype(
    {
        "names": ["t", "x", "y", "p"],
        "formats": ["<i8", "<i2", "<i2", "i1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)
"""``t`` int64 µs, ``x`` int16 column, ``y`` int16 row (downward), ``p`` int8 (1 ON, 0 OFF)."""

LARGEST_SIDE_PX = 1 << 15
"""No sensor has more rows or columns: coordinates are int16."""

TIME_LIMIT_US = 2**62
"""No event time reaches this, positive or negative; beyond it arithmetic could overflow."""

EventArray: TypeAlias = NDArray[Any]
"""A one-dimensional array of dtype `EVENT`."""


def empty_events(count: int = 0) -> EventArray:
    """Return ``count`` events of all zeros; the padding bytes are zero too."""
    return np.zeros(count, dtype=EVENT)


def events_from_columns(t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike) -> EventArray:
    """Gather four columns of equal length into one array of events.

    Args:
        t: times in µs.
        x: columns in pixels.
        y: rows in pixels, downward.
        p: polarities; anything but zero is ON.

    Raises:
        ValueError: the columns differ in length.
    """
    columns = [np.asarray(column) for column in (t, x, y, p)]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"columns t, x, y, p must be of one length, got {lengths}")
    events = empty_events(lengths[0])
    events["t"], events["x"], events["y"] = columns[:3]
    events["p"] = columns[3] != 0
    return events


def concatenate_events(parts: Sequence[EventArray]) -> EventArray:
    """Join batches; numpy's own `concatenate` would pack the records to 13 bytes."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return empty_events()
    words = np.concatenate([np.ascontiguousarray(part).view(np.int64) for part in parts])
    joined: EventArray = words.view(EVENT)
    return joined
