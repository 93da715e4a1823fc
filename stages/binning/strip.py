"""A strip of windows: slots in the order of time, closed ones in front, open and free ones behind.

Frames are drawn where they are sent from. Those of closed windows are cut off the front as views
and never written to again; a strip that is used up is followed by a new one, onto which the open
windows are copied. So a frame is cleared once, drawn, and sent without a copy. Only counts that
outgrow 8 bits, and signed ones, are sent as a copy when a smaller dtype holds them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.binning.canvas import Canvas, Counts, Slots, whole_table, within_sensor
from stages.pool import Pool

__all__ = ["Strip", "cut_off", "new_strip", "packed", "smallest", "unpacked", "widen", "widths"]

_STRIP_BYTES = 2 << 20
_STRIP_WINDOWS = 256


class Strip(NamedTuple):
    """Windows and what is drawn for them; slot k of both belongs together."""

    slots: Slots
    canvas: Canvas


def new_strip(pool: Pool, canvas: Canvas, room: int) -> Strip:
    """Return a strip of free slots, at least ``room`` of them, with the canvas's memory."""
    frame_bytes = canvas.frames.shape[1] * canvas.frames.itemsize
    count = max(2 * room, min(_STRIP_WINDOWS, _STRIP_BYTES // frame_bytes))
    frames = pool.empty((count, canvas.frames.shape[1]), canvas.frames.dtype)
    slots = Slots(*np.empty((3, count), dtype=np.int64))
    return Strip(slots, canvas._replace(frames=frames))


def cut_off(pool: Pool, strip: Strip, used: int, opened: int, room: int) -> Strip:
    """Return a strip without the first ``used`` windows and with ``room`` slots or more.

    Args:
        pool: where the memory of a new strip comes from.
        strip: the first ``opened`` of its slots have been drawn into.
        used: closed windows at its front.
        opened: closed and open windows.
        room: slots that are needed, at least as many as are open.
    """
    slots, canvas = strip
    if len(canvas.frames) - used >= room:
        rest = Slots(slots.starts_us[used:], slots.ends_us[used:], slots.last_event_us[used:])
        return Strip(rest, canvas._replace(frames=canvas.frames[used:]))
    if canvas.frames.dtype == np.uint16 and canvas.frames[used:opened].max(initial=0) <= 255:
        canvas = canvas._replace(frames=canvas.frames.astype(np.uint8))
    fresh = new_strip(pool, canvas, room)
    _copy(Strip(slots, canvas), fresh, used, opened)
    return fresh


def packed(strip: Strip, opened: int) -> Strip:
    """Return what a checkpoint keeps of a strip: the first ``opened`` slots, and the sensor."""
    slots, canvas = strip
    canvas = canvas._replace(
        frames=canvas.frames[:opened],
        columns=within_sensor(canvas.columns),
        rows=within_sensor(canvas.rows),
    )
    return Strip(Slots(*(each[:opened] for each in slots)), canvas)


def unpacked(pool: Pool, kept: Strip, room: int) -> Strip:
    """Return the strip that `packed` was given, on memory of its own."""
    canvas, opened = kept.canvas, len(kept.canvas.frames)
    canvas = canvas._replace(columns=whole_table(canvas.columns), rows=whole_table(canvas.rows))
    strip = new_strip(pool, canvas, max(room, opened))
    _copy(kept, strip, 0, opened)
    return strip


def widen(strip: Strip, opened: int) -> Strip:
    """Return the strip with counts of 16 bits."""
    slots, canvas = strip
    frames = np.empty(canvas.frames.shape, dtype=np.uint16)
    frames[:opened] = canvas.frames[:opened]
    return Strip(slots, canvas._replace(frames=frames))


def widths(strip: Strip) -> list[Strip]:
    """Return the strip as a run may come to have it, for a kernel to be compiled for."""
    return [strip, widen(strip, 0)] if isinstance(strip.canvas, Counts) else [strip]


def smallest(frames: NDArray[Any]) -> NDArray[Any]:
    """Return integers in the smallest dtype of their sign that holds them; a copy if it is not."""
    if frames.dtype == np.uint16 and frames.max(initial=0) <= 255:
        return frames.astype(np.uint8)
    if frames.dtype == np.int16 and -128 <= frames.min(initial=0) <= frames.max(initial=0) <= 127:
        return frames.astype(np.int8)
    return frames


def _copy(source: Strip, target: Strip, used: int, opened: int) -> None:
    target.canvas.frames[: opened - used] = source.canvas.frames[used:opened]
    for old, new in zip(source.slots, target.slots, strict=True):
        new[: opened - used] = old[used:opened]
