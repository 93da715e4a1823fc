"""What a frame holds: the options that all stages which bin have in common, and their canvases.

``counts``        events of each polarity
``binary``        1 where a polarity had an event, else 0
``signed``        ON minus OFF events, one channel
``voxel``         polarities (ON +1, OFF -1) shared out over ``bins`` channels, bilinear in time
``time_surface``  exp(-age / tau_us) of the latest event of each polarity, at the window's end
``decay``         sum of exp(-age / tau_us) over the events of each polarity, at the window's end

Channel 1 of two holds ON events. The bins of a voxel grid have their centres spread evenly over the
window, the first at its start and the last at its end; an event between two centres is shared by
how near it is to each (Zhu et al., "Unsupervised Event-Based Learning of Optical Flow, Depth, and
Egomotion", CVPR 2019, with the window's ends for the times of its first and last event). Sums are
taken event by event in the order of the stream, so no cut changes a bit of them.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.errors import StageError
from pipeline.messages import Start
from pipeline.ports import EventsPort, FramesPort
from pipeline.stage import PortError, StageConfig
from stages.binning.canvas import (
    NEVER_US,
    Binary,
    Canvas,
    Counts,
    Decay,
    Signed,
    Surface,
    Voxel,
    place_tables,
)

__all__ = ["FrameOptions", "cut_counts", "forget", "frames_port", "make_canvas"]

_VOXEL_BINS = 5
_OPEN_BYTES = 256 << 20
_OPEN_WINDOWS = 4096


class FrameOptions(StageConfig):
    """Options of every stage that makes frames."""

    frame: Literal["counts", "binary", "signed", "voxel", "time_surface", "decay"] = "counts"
    """What a frame holds: ``counts`` of events per polarity, ``binary`` (1 where there was one),
    ``signed`` (ON minus OFF, one channel), ``voxel`` (polarities shared out over ``bins`` channels,
    bilinear in time), ``time_surface`` (exp(-age / tau_us) of the latest event per polarity) or
    ``decay`` (the sum of that over all events)."""
    size: tuple[int, int] | None = None
    """(height, width) of a frame; the sensor's own size when left out."""
    bins: int | None = Field(None, ge=1, le=1000)
    """Channels of a ``voxel`` grid, the first centred on the window's start, the last on its end;
    5 when left out."""
    tau_us: int | None = Field(None, gt=0, le=3_600_000_000)
    """Time in µs in which ``time_surface`` and ``decay`` fade to 1/e."""
    memory: Literal["stream", "window"] | None = None
    """Whether a ``time_surface`` shows the latest event of the ``stream`` so far, as it does when
    this is left out, or of the ``window`` only."""

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return {"signed": 1, "voxel": self.bins or _VOXEL_BINS}.get(self.frame, 2)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """What a frame is drawn in, if no count needs more."""
        return np.dtype(
            {"counts": np.uint8, "binary": np.uint8, "signed": np.int16}.get(self.frame, np.float32)
        )


def frames_port(
    options: FrameOptions,
    events: EventsPort,
    window_us: int | None,
    step_us: int | None,
    open_windows: int,
) -> FramesPort:
    """Return the port of frames of the size asked for, or of the sensor's.

    Raises:
        PortError: the options do not fit each other or the sensor.
    """
    fading = options.frame in ("time_surface", "decay")
    for key, value, has_meaning in (
        ("bins", options.bins, options.frame == "voxel"),
        ("tau_us", options.tau_us, fading),
        ("memory", options.memory, options.frame == "time_surface"),
    ):
        if value is not None and not has_meaning:
            raise PortError(key, f'has no meaning with frame = "{options.frame}", got {value}')
    if fading and options.tau_us is None:
        raise PortError("tau_us", f'is required with frame = "{options.frame}"')
    height, width = options.size or (events.height, events.width)
    for name, target, sensor in (
        ("height", height, events.height),
        ("width", width, events.width),
    ):
        if target is not None and target < 1:
            raise PortError("size", f"{name} must be > 0, got {target}")
        if target is not None and sensor is not None and target > sensor:
            raise PortError(
                "size",
                f"{name} must be <= {sensor}, the sensor's, got {target};"
                " bins can only be made coarser than the sensor",
            )
    if height is not None and width is not None:
        problem = _too_much(options, (height, width), open_windows)
        if problem:
            raise PortError("size", problem)
    return FramesPort(options.channels, height, width, window_us, step_us, options.frame)


def make_canvas(options: FrameOptions, header: Start, open_windows: int) -> Canvas:
    """Return a canvas, with nothing remembered and no frame yet, for the sensor of a recording.

    Raises:
        StageError: the frames asked for are finer than the sensor, or too large.
    """
    sensor = (header.height, header.width)
    size = options.size or sensor
    if size[0] > sensor[0] or size[1] > sensor[1]:
        raise StageError(
            f"size {size} is finer than the sensor {sensor} of {header.source};"
            " bins can only be made coarser"
        )
    problem = _too_much(options, size, open_windows)
    if problem:
        raise StageError(problem)
    plane = size[0] * size[1]
    frames = np.empty((0, options.channels * plane), options.dtype)
    columns, rows = place_tables(sensor, size)
    tau_us = float(options.tau_us or 1)
    match options.frame:
        case "counts":
            return Counts(frames, columns, rows, plane)
        case "binary":
            return Binary(frames, columns, rows, plane)
        case "signed":
            return Signed(frames, columns, rows, plane)
        case "voxel":
            return Voxel(frames, columns, rows, plane, options.channels)
        case "time_surface":
            latest_us = np.full(2 * plane, NEVER_US, dtype=np.int64)
            window_only = options.memory == "window"
            return Surface(frames, columns, rows, plane, latest_us, tau_us, window_only)
        case "decay":
            value, at_us = np.zeros(2 * plane, np.float32), np.full(1, NEVER_US, np.int64)
            return Decay(frames, columns, rows, plane, value, at_us, tau_us)


def cut_counts(options: FrameOptions, cut: int) -> dict[str, int]:
    """Return the note of an account on events that a pixel could not count any more."""
    notes = {"counts": "counts cut at 65535", "signed": "differences cut at 16 bits"}
    return {notes[options.frame]: cut} if options.frame in notes else {}


def forget(canvas: Canvas) -> None:
    """Forget all that is drawn into what lives on from window to window."""
    if isinstance(canvas, Surface):
        canvas.memory.fill(NEVER_US)
    elif isinstance(canvas, Decay):
        canvas.memory.fill(0)
        canvas.at_us.fill(NEVER_US)


def _too_much(options: FrameOptions, size: tuple[int, int], open_windows: int) -> str | None:
    frame_bytes = options.channels * size[0] * size[1] * options.dtype.itemsize
    if frame_bytes * open_windows <= _OPEN_BYTES and open_windows <= _OPEN_WINDOWS:
        return None
    return (
        f"{open_windows} windows of {frame_bytes} bytes would be open at a time, allowed are"
        f" {_OPEN_WINDOWS} windows and {_OPEN_BYTES} bytes; make size or bins smaller, or step_us"
        " longer"
    )
