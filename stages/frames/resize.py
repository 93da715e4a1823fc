"""Resize: frames made larger or smaller, of events as well as of light.

Frames of light (``grey``, ``bgr``, ``rgb``) stay uint8, rounded; what frames of events hold becomes
float32. With ``nearest`` every frame keeps its dtype. ``sum`` makes counts of what events made:
integers, as if the sensor had been coarser.
"""

import dataclasses
from collections.abc import Generator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config import SensorSize
from pipeline.errors import StageError
from pipeline.messages import Frames, Message, Start, data
from pipeline.ports import FramesPort
from pipeline.stage import Account, PortError, StageConfig, Transform
from stages.frames.scaling import Method, scale

__all__ = ["Resize", "ResizeConfig", "ResizeState"]

_LIGHT = ("grey", "bgr", "rgb")
_SUMMABLE = ("counts", "binary", "signed")
_MAX_FRAME_BYTES = 256 << 20


class ResizeConfig(StageConfig):
    """Options of `resize`."""

    size: SensorSize
    """(height, width) of the new frames, in pixels."""
    method: Method = "area"
    """``area``: the mean over what a new pixel covers; ``bilinear``: between the nearest pixels, as
    OpenCV does it, which leaves pixels out where frames are made less than half as large;
    ``nearest``: one pixel; ``sum``: all that a new pixel takes in, which is for frames of events
    made smaller."""
    fit: Literal["stretch", "crop"] = "stretch"
    """Where a frame has another shape than ``size``: ``stretch`` it, or ``crop`` it to its
    middle."""


class ResizeState(NamedTuple):
    """The number of frames of this recording."""

    stream: str
    epoch: int
    frames: int


class Resize(Transform[ResizeConfig, ResizeState]):
    """Scale frames to a size."""

    Config = ResizeConfig
    takes = (FramesPort,)

    def port(self) -> FramesPort:
        """Return the input's port with the new size."""
        (frames,) = self.inputs
        assert isinstance(frames, FramesPort)
        if frames.frame == "tokens":
            raise PortError("from", "takes frames of pixels, its input gives tokens")
        height, width = self.config.size
        if frames.channels * height * width * 4 > _MAX_FRAME_BYTES:
            raise PortError("size", f"must be smaller: a frame of {height}×{width} is too large")
        summed = self.config.method == "sum"
        if summed and frames.frame not in _SUMMABLE:
            raise PortError(
                "method",
                f'"sum" is for frames of {", ".join(_SUMMABLE)}, the input gives {frames.frame}',
            )
        given = (frames.height or height, frames.width or width)
        if summed and (height > given[0] or width > given[1]):
            raise PortError("size", f"must be <= {given} to be summed, got {(height, width)}")
        kind = "counts" if summed and frames.frame == "binary" else frames.frame
        return dataclasses.replace(frames, height=height, width=width, frame=kind)

    def start(self, header: Start) -> ResizeState:
        """Return the state in front of a recording's first frame."""
        return ResizeState(header.stream, header.epoch, 0)

    def process(
        self, state: ResizeState, message: Message
    ) -> Generator[Message, None, ResizeState]:
        """Yield the frames of a message, scaled one by one."""
        header, frames = message.header, message.array
        assert isinstance(header, Frames)
        if not len(frames):
            return state
        if not all(frames.shape[1:]):
            raise StageError(f"stage '{self.name}': got frames without a pixel: {frames.shape}")
        if self.config.fit == "crop":
            frames = _middle(frames, self.config.size)
        yield data(
            Frames,
            self._scaled(frames),
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=header.t_first_us,
            t_last_us=header.t_last_us,
            windows=header.windows,
        )
        return state._replace(frames=state.frames + len(frames))

    def account(self, state: ResizeState) -> Account:
        """Return frames scaled."""
        return Account.one_to_one(state.frames, "windows", "windows")

    def _scaled(self, frames: NDArray[Any]) -> NDArray[Any]:
        (given,) = self.inputs
        assert isinstance(given, FramesPort)
        size, method = self.config.size, self.config.method
        if method == "sum":
            if size[0] > frames.shape[2] or size[1] > frames.shape[3]:
                raise StageError(
                    f"stage '{self.name}': frames of {frames.shape[2:]} cannot be summed to the"
                    f" finer size {size}"
                )
            return scale(frames, size, method)
        # One by one: what is gathered for a whole message would not stay in the cache.
        scaled = np.stack([scale(frame, size, method) for frame in frames])
        if given.frame in _LIGHT and frames.dtype == np.uint8 and method != "nearest":
            rounded: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
            return rounded
        return scaled


def _middle(frames: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return the largest middle part of frames (..., height, width) of the shape of size."""
    height, width = frames.shape[-2:]
    rows = max(1, min(height, round(width * size[0] / size[1])))
    columns = max(1, min(width, round(height * size[1] / size[0])))
    top, left = (height - rows) // 2, (width - columns) // 2
    return frames[..., top : top + rows, left : left + columns]
