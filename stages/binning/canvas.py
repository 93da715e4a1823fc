"""What the compiled loops of binning work on: the grid's clock, the windows' slots, the canvases.

A canvas is a named tuple of the frames that are being drawn and of all it takes to draw an event
into one of them. Its type says what a frame holds. The arrays are written to in place.

The numbers named here are compiled into `kernel`, whose cache does not look at this file: a change
of them must go with a change there.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BETWEEN",
    "CLOCK",
    "CLOSED",
    "CUT",
    "FIRST",
    "HIGH",
    "LAST",
    "LATE",
    "LIMIT",
    "LOW",
    "NEVER_US",
    "OPENED",
    "OUTSIDE",
    "OVERFLOW",
    "REACHED",
    "START",
    "TALLY",
    "Binary",
    "Canvas",
    "Clock",
    "Counts",
    "Decay",
    "Signed",
    "Slots",
    "Surface",
    "Voxel",
    "event_words",
    "place_tables",
    "whole_table",
    "within_sensor",
]

NEVER_US = -(2**63)
"""Stands for the time of an event that has not been."""

LATE, BETWEEN, OUTSIDE, OVERFLOW, CUT = range(5)
"""Columns of the tally: four reasons to refuse an event, and counts that a pixel cannot hold."""
TALLY = 5

FIRST, OPENED, LAST, START, CLOSED, LOW, HIGH, LIMIT, REACHED = range(9)
"""Places of the clock, see `Clock`."""
CLOCK = 9

Clock: TypeAlias = NDArray[np.int64]
"""(9,) where a grid of time stands. Slots: of the earliest window that is not closed, of the first
that has seen no event yet, of the latest one begun. Times in µs: the start of slot 0, the end of
the latest window closed, the interval whose events are in just the windows FIRST to LAST, the
latest time that the next event may have, and that of the latest event between windows."""

# What a coordinate outside the sensor adds to a place: more than any frame has pixels.
_NO_PLACE = 1 << 30


class Slots(NamedTuple):
    """(slots,) start, end, and time of the last event that came, of each window; in µs."""

    starts_us: NDArray[np.int64]
    ends_us: NDArray[np.int64]
    last_event_us: NDArray[np.int64]


class Counts(NamedTuple):
    """Events of each polarity. A count above 255 does not fit; one above 65535 is cut."""

    frames: NDArray[Any]
    """(slots, channels · plane) uint8 or uint16; the other canvases have their own dtype here."""
    columns: NDArray[np.uint32]
    """(65536,) see `place_tables`; ``rows`` likewise."""
    rows: NDArray[np.uint32]
    plane: int
    """Pixels of a channel."""
    memory: None = None


class Binary(NamedTuple):
    """1 where a polarity had an event, in uint8; fields as in `Counts`."""

    frames: NDArray[Any]
    columns: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    plane: int
    memory: None = None


class Signed(NamedTuple):
    """ON minus OFF events, in int16; what does not fit is cut. Fields as in `Counts`."""

    frames: NDArray[Any]
    columns: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    plane: int
    memory: None = None


class Voxel(NamedTuple):
    """Polarities shared out between bins of time, in float32; fields as in `Counts`."""

    frames: NDArray[Any]
    columns: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    plane: int
    bins: int
    memory: None = None


class Surface(NamedTuple):
    """How recent the latest event of a polarity is, in float32; fields as in `Counts`."""

    frames: NDArray[Any]
    columns: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    plane: int
    memory: NDArray[np.int64]
    """(2 · plane,) time of the latest event; it lives on from window to window."""
    tau_us: float
    window_only: bool
    """Whether events from before a window are no part of its frame."""


class Decay(NamedTuple):
    """Events of each polarity, fading, in float32; fields as in `Counts`."""

    frames: NDArray[Any]
    columns: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    plane: int
    memory: NDArray[np.float32]
    """(2 · plane,) sum of the faded events, as it is at ``at_us``."""
    at_us: NDArray[np.int64]
    """(1,) end of the window that is drawn into, or the last one drawn into."""
    tau_us: float


Canvas: TypeAlias = Counts | Binary | Signed | Voxel | Surface | Decay


def event_words(events: NDArray[Any]) -> NDArray[np.int64]:
    """Return a read-only view of events as (n, 2) words: time, and x | y << 16 | p << 32."""
    words: NDArray[np.int64] = events.view(np.int64).reshape(-1, 2)
    words.setflags(write=False)
    return words


def place_tables(
    sensor: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return what each column and each row of a sensor adds to an event's place in a channel.

    Column x goes to column ``floor(x · width / sensor width)`` of the frame, exactly; rows
    likewise. The index is a coordinate's 16 bits, unsigned, so that every possible one has an
    entry; those outside the sensor lead behind every frame.

    Args:
        sensor: (height, width) of the sensor.
        size: (height, width) of a frame.
    """
    columns = np.arange(sensor[1]) * size[1] // sensor[1]
    rows = np.arange(sensor[0]) * size[0] // sensor[0] * size[1]
    return whole_table(columns), whole_table(rows)


def whole_table(places: NDArray[Any]) -> NDArray[np.uint32]:
    """Return a table of places with the coordinates outside the sensor, which follow them."""
    table = np.full(1 << 16, _NO_PLACE, dtype=np.uint32)
    table[: len(places)] = places
    return table


def within_sensor(table: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the places that `whole_table` was given."""
    return table[: int(np.count_nonzero(table != _NO_PLACE))]
