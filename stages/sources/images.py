"""Pictures: the source of networks that look at one image for some steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.config import SensorSize
from pipeline.errors import ConfigError, RecordingError
from pipeline.events import LARGEST_SIDE_PX
from pipeline.ports import FramesPort
from pipeline.stage import PortError
from stages.sources.bicubic import bicubic
from stages.sources.frame_files import Content, FrameFiles, FrameFilesConfig
from stages.sources.opencv import require_opencv
from stages.sources.picture import PICTURES, read_picture
from stages.sources.picture_header import size_in_header

__all__ = ["Images", "ImagesConfig"]

_LOOKED_AT = 32
"""Pictures whose headers `pipeline check` reads; a set may have thousands."""


class ImagesConfig(FrameFilesConfig):
    """Options of `images`."""

    steps: int = Field(ge=1, le=1_000_000)
    """Steps for which a picture is shown: as many equal frames."""
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    """The channels of a frame, in their order; also what the frames are called further on."""
    resize_px: int | None = Field(None, ge=1, le=32_768)
    """Length of a picture's shorter side before it is cut, in pixels (256 with ``size`` 224 is
    usual for ImageNet); just enough for ``size`` when left out. Bicubic, smoothed as Pillow's."""
    size: SensorSize | None = None
    """(height, width) that is cut out of the middle; the whole picture when left out."""


class Images(FrameFiles[ImagesConfig]):
    """Show pictures (JPEG, PNG and others), each a recording of some equal frames.

    A picture is turned as its EXIF data say. Needs OpenCV.
    """

    Config = ImagesConfig
    endings = PICTURES
    unit = "pictures"

    def port(self) -> FramesPort:
        """Look into the pictures' headers for their size, None where they differ.

        The first one is decoded where its header tells nothing; it may be no picture.
        """
        config = self.config
        require_opencv("images")
        files = self.require_files()
        if config.size and config.resize_px and config.resize_px < max(config.size):
            raise PortError(
                "resize_px",
                f"must be >= {max(config.size)}, the longer side of size, got {config.resize_px}",
            )
        height, width = self._size_of(files[:_LOOKED_AT]) or (None, None)
        channels = 1 if config.colour == "grey" else 3
        step_us = config.step_us
        return FramesPort(
            channels, height, width, step_us, step_us, config.colour, "pictures", config.steps
        )

    def _size_of(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return the (height, width) of all frames of these pictures."""
        sizes: set[tuple[int, int] | None] = set()
        try:
            for number, path in enumerate(files):
                size = size_in_header(path)
                if size is None and number == 0:
                    size = self._decode(path).shape[:2]
                sizes.add(None if size is None else self._scaled(path, *size))
        except (ConfigError, RecordingError) as error:
            if self.config.on_damage == "raise":
                raise PortError("path", str(error)) from None
            sizes.add(None)
        return self.config.size or (sizes.pop() if len(sizes) == 1 else None)

    def read(self, path: Path) -> Content:
        """Read a picture; its frames are views of one.

        Raises:
            RecordingError: it cannot be read, or is no picture.
            ConfigError: OpenCV is not installed.
        """
        picture = self._decode(path)
        picture = self._cut(bicubic(picture, *self._scaled(path, *picture.shape[:2])))
        frame = np.ascontiguousarray(picture.transpose(2, 0, 1))
        return Content(np.broadcast_to(frame, (self.config.steps, *frame.shape)))

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        """Return a whole picture, (height, width, channels)."""
        picture = read_picture(path, "images", self.config.colour == "grey")
        if picture is None:
            raise RecordingError(
                f"{path}: is no whole picture of a known kind; copy it again, leave it out, or set"
                ' on_damage = "drop"'
            )
        if self.config.colour == "rgb":
            picture = picture[..., ::-1]
        return picture.reshape(*picture.shape[:2], -1)

    def _scaled(self, path: Path, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) to which a picture is scaled.

        Raises:
            RecordingError: it would be too long.
        """
        size, short_px = self.config.size, self.config.resize_px
        if short_px is not None:
            # The longer side is rounded down, as torchvision does.
            short = min(height, width)
            height, width = short_px * height // short, short_px * width // short
        elif size is not None:
            scale = max(size[0] / height, size[1] / width)
            height, width = max(size[0], int(scale * height)), max(size[1], int(scale * width))
        if max(height, width) > LARGEST_SIDE_PX:
            raise RecordingError(
                f"{path}: would be scaled to {width}×{height}, at most {LARGEST_SIDE_PX} pixels a"
                " side are allowed; leave it out, or set resize_px or size smaller"
            )
        return height, width

    def _cut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.config.size is None:
            return picture
        height, width = self.config.size
        top, left = round((len(picture) - height) / 2), round((picture.shape[1] - width) / 2)
        return picture[top : top + height, left : left + width]
