"""The compiled loops of binning: which windows an event is in, and how it is drawn into them.

Two things meet here. The grid (`bin_by_time`, `bin_by_count`) says to which windows a run of events
belongs. The canvas, a named tuple, says what a frame holds: Numba compiles the grid's loop once for
each kind of canvas, with the `_mark` and `_close` that are chosen by its type. All of it is in one
file because Numba's cache looks at no other file when it decides whether it is out of date.

An event is read as two words of 64 bits, its time and the rest. Two tables lead from any 16-bit
coordinate to its place in a frame, or to a place behind every frame if it is none of the sensor's,
so one comparison finds an event outside. Windows lie in numbered slots, in order of time.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from pipeline.events import TIME_LIMIT_US
from stages.binning.canvas import (
    BETWEEN,
    CLOSED,
    CUT,
    FIRST,
    HIGH,
    LAST,
    LATE,
    LIMIT,
    LOW,
    NEVER_US,
    OPENED,
    OUTSIDE,
    OVERFLOW,
    REACHED,
    START,
    Binary,
    Canvas,
    Clock,
    Counts,
    Decay,
    Signed,
    Slots,
    Surface,
    Voxel,
)

__all__ = ["CROWDED", "FULL", "GAP", "bin_by_count", "bin_by_time", "close_until", "screen"]

FULL, GAP, CROWDED = 1, 2, 3
"""Why a loop stopped in front of an event: no slot is free, a gap is too long, a count is full."""

_TAKEN, _REFUSED, _CUT, _LATE = 0, -1, -2, -3
_X_BITS, _Y_SHIFT = np.uint64(0xFFFF), np.uint64(16)
_P_BITS = np.uint64(0xFF << 32)
# A faded value below it is nothing: numbers too small for float32 are slow to count with.
_NOTHING = np.float32(1e-30)

Words: TypeAlias = NDArray[np.int64]
"""(n, 2) events: time, and x | y << 16 | p << 32."""
Frame: TypeAlias = NDArray[Any]
Memory: TypeAlias = Any
Event: TypeAlias = tuple[int, bool, int]
"""Its place in a channel, whether it is ON, its time in µs."""
Span: TypeAlias = tuple[int, int]
"""Start and end of a window in µs."""


def _mark(
    canvas: Canvas, frame: Frame, memory: Memory, plane: np.uint32, event: Event, span: Span
) -> int:
    """Draw an event at a place of its channel; return 0, or why its pixel did not take it."""
    raise NotImplementedError


def _mark_counts_8(
    canvas: Counts, frame: Frame, memory: Memory, plane: np.uint32, event: Event, span: Span
) -> int:
    place, on, _ = event
    at = place + (plane if on else np.uint32(0))
    count = np.uint8(frame[at] + np.uint8(1))
    frame[at] = count
    if count == 0:
        frame[at] = 255
        return CROWDED
    return 0


def _mark_counts_16(
    canvas: Counts, frame: Frame, memory: Memory, plane: np.uint32, event: Event, span: Span
) -> int:
    place, on, _ = event
    at = place + (plane if on else np.uint32(0))
    count = np.uint16(frame[at] + np.uint16(1))
    frame[at] = count
    if count == 0:
        frame[at] = 65535
        return _CUT
    return 0


def _mark_binary(
    canvas: Binary, frame: Frame, memory: Memory, plane: np.uint32, event: Event, span: Span
) -> int:
    place, on, _ = event
    frame[place + (plane if on else np.uint32(0))] = 1
    return 0


def _mark_signed(
    canvas: Signed, frame: Frame, memory: Memory, plane: np.uint32, event: Event, span: Span
) -> int:
    place, on, _ = event
    value = np.int64(frame[place]) + (1 if on else -1)
    if value < -32768 or value > 32767:
        return _CUT
    frame[place] = value
    return 0


def _mark_voxel(
    canvas: Voxel, frame: Frame, memory: Memory, plane: np.uint32, event: Event, span: Span
) -> int:
    place, on, t_us = event
    start_us, end_us = span
    height = (t_us - start_us) * (canvas.bins - 1) / (end_us - start_us)
    below = np.uint32(height)
    share = height - below
    sign = 1.0 if on else -1.0
    at = place + plane * below
    frame[at] += sign * (1.0 - share)
    if share > 0.0:
        frame[at + plane] += sign * share
    return 0


def _mark_surface(
    canvas: Surface, frame: Frame, memory: Memory, plane: np.uint32, event: Event, span: Span
) -> int:
    place, on, t_us = event
    at = place + (plane if on else np.uint32(0))
    memory[at] = max(memory[at], t_us)
    return 0


def _mark_decay(
    canvas: Decay, frame: Frame, memory: Memory, plane: np.uint32, event: Event, span: Span
) -> int:
    place, on, t_us = event
    at = place + (plane if on else np.uint32(0))
    memory[at] += math.exp((t_us - span[1]) / canvas.tau_us)
    return 0


_MARKS: dict[type, Callable[..., int]] = {
    Binary: _mark_binary,
    Signed: _mark_signed,
    Voxel: _mark_voxel,
    Surface: _mark_surface,
    Decay: _mark_decay,
}


@overload(_mark, strict=False, inline="always")
def _choose_mark(
    canvas: Any, frame: Any, memory: Any, plane: Any, event: Any, span: Any
) -> Callable[..., int]:
    if canvas.instance_class is Counts:
        return _mark_counts_8 if frame.dtype == types.uint8 else _mark_counts_16
    return _MARKS[canvas.instance_class]


def _remembers(canvas: Canvas) -> bool:
    """Whether a frame is made from a memory when its window closes; events are drawn into it."""
    raise NotImplementedError


@overload(_remembers, strict=False)
def _choose_remembers(canvas: Any) -> Callable[..., bool]:
    if canvas.instance_class in (Surface, Decay):
        return lambda canvas: True
    return lambda canvas: False


def _starts_afresh(canvas: Canvas) -> bool:
    """Return whether all events of a window are to be drawn, and forget those of the one before.

    Windows of time need it not: there the time of an event tells whether it is in the window.
    """
    raise NotImplementedError


def _surface_starts_afresh(canvas: Surface) -> bool:
    if canvas.window_only:
        canvas.memory[:] = NEVER_US
    return canvas.window_only


@overload(_starts_afresh, strict=False)
def _choose_starts_afresh(canvas: Any) -> Callable[..., bool]:
    if canvas.instance_class is Surface:
        return _surface_starts_afresh
    if canvas.instance_class is Decay:
        return lambda canvas: False
    return lambda canvas: True


def _ready(canvas: Canvas, slots: Slots, slot: int) -> None:
    """Make the canvas ready for events of the earliest open window, whose span is known."""
    raise NotImplementedError


def _ready_decay(canvas: Decay, slots: Slots, slot: int) -> None:
    end_us = slots.ends_us[slot]
    if canvas.at_us[0] == end_us:
        return
    if canvas.at_us[0] != NEVER_US:
        factor = np.float32(math.exp((canvas.at_us[0] - end_us) / canvas.tau_us))
        for at in range(canvas.memory.shape[0]):
            value = canvas.memory[at] * factor
            canvas.memory[at] = value if value > _NOTHING else np.float32(0.0)
    canvas.at_us[0] = end_us


def _nothing(canvas: Canvas, slots: Slots, slot: int) -> None:
    pass


@overload(_ready, strict=False)
def _choose_ready(canvas: Any, slots: Any, slot: Any) -> Callable[..., None]:
    return _ready_decay if canvas.instance_class is Decay else _nothing


def _close(canvas: Canvas, slots: Slots, slot: int) -> None:
    """Finish the frame of a window all of whose events are drawn."""
    raise NotImplementedError


def _close_surface(canvas: Surface, slots: Slots, slot: int) -> None:
    frame, end_us = canvas.frames[slot], slots.ends_us[slot]
    oldest_us = slots.starts_us[slot] if canvas.window_only else NEVER_US + 1
    for at in range(canvas.memory.shape[0]):
        t_us = canvas.memory[at]
        frame[at] = math.exp((t_us - end_us) / canvas.tau_us) if t_us >= oldest_us else 0.0


def _close_decay(canvas: Decay, slots: Slots, slot: int) -> None:
    _ready(canvas, slots, slot)
    canvas.frames[slot, :] = canvas.memory


@overload(_close, strict=False)
def _choose_close(canvas: Any, slots: Any, slot: Any) -> Callable[..., None]:
    if canvas.instance_class is Surface:
        return _close_surface
    return _close_decay if canvas.instance_class is Decay else _nothing


@njit(nogil=True)
def _draw(
    canvas: Canvas,
    slots: Slots,
    slot: int,
    words: Words,
    begin: int,
    end: int,
    low_us: int,
    high_us: int,
    tally: NDArray[np.int64],
) -> Any:
    """Draw a run of events and return its end.

    The run ends in front of an event that lies outside the time from ``low_us`` to ``high_us``,
    outside the sensor, or on a pixel that can take no more.
    """
    length, low = np.uint64(high_us - low_us), np.uint64(low_us)
    frame, memory, plane = canvas.frames[slot], canvas.memory, np.uint32(canvas.plane)
    columns, rows = canvas.columns, canvas.rows
    span = slots.starts_us[slot], slots.ends_us[slot]
    # Unsigned, an index cannot count from the end: Numba need not look, a fifth of the time.
    for i in range(np.uint64(begin), np.uint64(end)):
        t, word = words[i, 0], np.uint64(words[i, 1])
        place = columns[word & _X_BITS] + rows[(word >> _Y_SHIFT) & _X_BITS]
        if place >= plane or np.uint64(t) - low >= length:
            return np.int64(i)
        event = place, (word & _P_BITS) != 0, t
        why = _mark(canvas, frame, memory, plane, event, span)
        if why:
            if why == CROWDED:
                return np.int64(i)
            tally[CUT] += 1
    return end


@njit(nogil=True)
def _open(canvas: Canvas, slots: Slots, slot: int, start_us: int, end_us: int) -> None:
    slots.starts_us[slot] = start_us
    slots.ends_us[slot] = end_us
    slots.last_event_us[slot] = NEVER_US
    if not _remembers(canvas):
        canvas.frames[slot, :] = 0


@njit(nogil=True)
def _is_outside(
    columns: NDArray[np.uint32], rows: NDArray[np.uint32], plane: int, word: np.uint64
) -> bool:
    return bool(columns[word & _X_BITS] + rows[(word >> _Y_SHIFT) & _X_BITS] >= np.uint32(plane))


@njit(cache=True, nogil=True)
def close_until(
    t_us: int, length_us: int, step_us: int, clock: Clock, slots: Slots, canvas: Canvas
) -> bool:
    """Close every window that ends at ``t_us`` or before; return False when the slots are used up.

    Args:
        t_us: the time that is reached.
        length_us: length of a window.
        step_us: from the start of a window to that of the next.
        clock: where the grid stands; moved on.
        slots: spans of the windows, written to.
        canvas: what the frames hold, written to.
    """
    while True:
        first = clock[FIRST]
        start_us = clock[START] + first * step_us
        if t_us < start_us + length_us:
            return True
        if first == slots.starts_us.shape[0]:
            return False
        if clock[OPENED] == first:
            _open(canvas, slots, first, start_us, start_us + length_us)
            clock[OPENED] += 1
        _close(canvas, slots, first)
        clock[CLOSED] = start_us + length_us
        clock[FIRST] += 1
        clock[HIGH] = clock[LOW]


@njit(nogil=True)
def _turn(
    t_us: int,
    length_us: int,
    step_us: int,
    max_gap_us: int,
    clock: Clock,
    slots: Slots,
    canvas: Canvas,
    tally: NDArray[np.int64],
) -> int:
    """Find the windows of an event and the interval of time whose events are in the same ones."""
    if t_us >= TIME_LIMIT_US or t_us <= -TIME_LIMIT_US:
        tally[OVERFLOW] += 1
        return _REFUSED
    if t_us < clock[CLOSED]:
        tally[LATE] += 1
        return _LATE
    if t_us > clock[LIMIT]:
        return GAP
    if not close_until(t_us, length_us, step_us, clock, slots, canvas):
        return FULL
    first = clock[FIRST]
    start_us = clock[START] + first * step_us
    clock[LIMIT] = start_us + length_us + max_gap_us
    if t_us < start_us:
        tally[BETWEEN] += 1
        clock[REACHED] = max(clock[REACHED], t_us)
        return _REFUSED
    last = (t_us - clock[START]) // step_us
    if last >= slots.starts_us.shape[0]:
        return FULL
    for slot in range(clock[OPENED], last + 1):
        begin_us = clock[START] + slot * step_us
        _open(canvas, slots, slot, begin_us, begin_us + length_us)
    clock[OPENED] = max(clock[OPENED], last + 1)
    _ready(canvas, slots, first)
    clock[LAST] = last
    clock[LOW] = max(clock[CLOSED], clock[START] + last * step_us)
    next_us = min(start_us + length_us, clock[START] + (last + 1) * step_us)
    clock[HIGH] = min(next_us, TIME_LIMIT_US)
    return _TAKEN


@njit(cache=True, nogil=True)
def bin_by_time(
    words: Words,
    begin: int,
    length_us: int,
    step_us: int,
    max_gap_us: int,
    clock: Clock,
    slots: Slots,
    canvas: Canvas,
    tally: NDArray[np.int64],
    late: NDArray[np.bool_],
) -> tuple[int, int]:
    """Draw events into the windows of a grid of time until they are used up or the slots are.

    Args:
        words: (n, 2) events.
        begin: the first event to draw.
        length_us: length of a window.
        step_us: from the start of a window to that of the next.
        max_gap_us: how far an event may lie behind the end of the window of the one before.
        clock: where the grid stands; moved on.
        slots: spans and last events of the windows, written to.
        canvas: what the frames hold, written to.
        tally: (5,) running counts of what was refused.
        late: (n,) where late events are marked, or (0,) where nobody asks for them.

    Returns:
        The first event not drawn, and why the loop stopped: 0, `FULL`, `GAP` or `CROWDED`.
    """
    i, count = begin, words.shape[0]
    while i < count:
        first, last, low_us, high_us = clock[FIRST], clock[LAST], clock[LOW], clock[HIGH]
        if low_us <= words[i, 0] < high_us:
            stop = _draw(canvas, slots, first, words, i, count, low_us, high_us, tally)
            if not _remembers(canvas):
                # The earliest window holds all that the later ones do, so they take it too.
                for slot in range(first + 1, last + 1):
                    _draw(canvas, slots, slot, words, i, stop, low_us, high_us, tally)
            if stop == i:
                columns, rows, word = canvas.columns, canvas.rows, np.uint64(words[i, 1])
                if not _is_outside(columns, rows, canvas.plane, word):
                    return i, CROWDED
                tally[OUTSIDE] += 1
                stop += 1
            for slot in range(first, last + 1):
                slots.last_event_us[slot] = words[stop - 1, 0]
            i = stop
        else:
            why = _turn(words[i, 0], length_us, step_us, max_gap_us, clock, slots, canvas, tally)
            if why == _LATE and late.shape[0]:
                late[i] = True
            if why in (_REFUSED, _LATE):
                i += 1
            elif why != _TAKEN:
                return i, why
    return i, _TAKEN


@njit(cache=True, nogil=True)
def screen(
    words: Words,
    kept: Words,
    columns: NDArray[np.uint32],
    rows: NDArray[np.uint32],
    plane: int,
    tally: NDArray[np.int64],
) -> int:
    """Copy the events that are of the sensor and of a possible time; return how many.

    Args:
        words: (n, 2) events.
        kept: (n, 2) where they are written to.
        columns: see `place_tables`; ``rows`` likewise.
        rows: see above.
        plane: pixels of a channel.
        tally: (5,) running counts of what was refused.
    """
    count = 0
    for i in range(words.shape[0]):
        t_us, word = words[i, 0], words[i, 1]
        if t_us >= TIME_LIMIT_US or t_us <= -TIME_LIMIT_US:
            tally[OVERFLOW] += 1
        elif _is_outside(columns, rows, plane, np.uint64(word)):
            tally[OUTSIDE] += 1
        else:
            kept[count, 0], kept[count, 1] = t_us, word
            count += 1
    return count


@njit(cache=True, nogil=True)
def bin_by_count(
    words: Words,
    drawn: int,
    reached_us: int,
    size: int,
    step: int,
    count: int,
    slots: Slots,
    canvas: Canvas,
    tally: NDArray[np.int64],
) -> int:
    """Draw windows of ``size`` events each, and return how many.

    Args:
        words: (n, 2) events; window k holds those from ``k · step`` on.
        drawn: events at the front that a canvas with a memory has drawn before.
        reached_us: latest time so far; a window does not end before it.
        size: events in a window.
        step: events from the start of a window to that of the next.
        count: windows to draw; fewer are when a count is full.
        slots: spans and last events of the windows, written to.
        canvas: what the frames hold, written to.
        tally: (5,) running counts of what was refused.
    """
    for slot in range(count):
        begin, end = slot * step, slot * step + size
        start_us = words[begin, 0]
        for i in range(begin, end):
            start_us = min(start_us, words[i, 0])
            reached_us = max(reached_us, words[i, 0])
        _open(canvas, slots, slot, start_us, reached_us + 1)
        slots.last_event_us[slot] = words[end - 1, 0]
        _ready(canvas, slots, slot)
        if not _starts_afresh(canvas):
            begin, drawn = max(begin, drawn), end
        stop = _draw(canvas, slots, slot, words, begin, end, -TIME_LIMIT_US, TIME_LIMIT_US, tally)
        if stop < end:
            return slot
        _close(canvas, slots, slot)
    return count
