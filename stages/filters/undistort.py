"""Undistortion: events moved to where a lens that bends nothing would have shown them.

Each pixel's place is computed once and rounded to the nearest pixel, so two pixels may become one,
and some pixels get no events: what is wanted is geometry, not a picture without holes. The ideal
camera keeps the focal lengths and the principal point.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config import FilePath
from pipeline.errors import ConfigError
from pipeline.messages import Start
from pipeline.stage import PortError, StageConfig
from stages.filters.calibration import Calibration, read_calibration
from stages.filters.event_filter import OUTSIDE, EventFilter, Words, no_words
from stages.filters.lens import Lens, undistorted_pixels

__all__ = ["PixelTable", "Undistort", "UndistortConfig"]


class UndistortConfig(StageConfig):
    """Options of `undistort`."""

    file: FilePath
    """The calibration: a JSON or YAML file of OpenCV, ROS, Kalibr or dv-processing."""
    camera: str | None = None
    """Which camera of the file; may be left out if there is only one."""


class PixelTable(NamedTuple):
    """Where events go."""

    targets: NDArray[np.int64]
    """(height, width) x | y << 16 of each pixel's target, -1 outside the sensor."""


class Undistort(EventFilter[UndistortConfig, PixelTable]):
    """Undo what the lens does to the image, by a calibration file."""

    Config = UndistortConfig
    reasons = (OUTSIDE, "leaving the sensor")

    def open(self) -> None:
        """Compile the kernel, or load it from Numba's cache."""
        from stages.filters import pixel_map_kernel

        self._kernel = pixel_map_kernel
        none = PixelTable(np.empty((0, 0), dtype=np.int64))
        self.select(no_words(), none, np.zeros(2, dtype=np.int64))

    def resize(self, width: int | None, height: int | None) -> tuple[int | None, int | None]:
        """Return the size as it is, if the calibration is for it."""
        calibration = self._calibration()
        given, told = (width, height), (calibration.width, calibration.height)
        if None not in (*given, *told) and given != told:
            raise PortError(
                "file",
                f"{self.config.file}: is for a sensor of {told[0]}×{told[1]},"
                f" this one has {width}×{height}",
            )
        return given

    def remember(self, header: Start) -> PixelTable:
        """Return the table for the recording's sensor."""
        return PixelTable(_targets(self._calibration().lens, header.width, header.height))

    def select(
        self, words: Words, memory: PixelTable, refused: NDArray[np.int64]
    ) -> tuple[Words, PixelTable]:
        """Move the events by the table."""
        out = np.empty_like(words)
        return out[: self._kernel.move_by_pixel(words, memory.targets, out, refused)], memory

    def _calibration(self) -> Calibration:
        try:
            return read_calibration(self.config.file, self.config.camera)
        except ConfigError as error:
            raise PortError("file", str(error)) from None


@lru_cache(maxsize=2)
def _targets(lens: Lens, width: int, height: int) -> NDArray[np.int64]:
    x, y = np.rint(undistorted_pixels(lens, width, height))
    # NaN is within nothing.
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    places = np.where(within, x, 0).astype(np.int64) | np.where(within, y, 0).astype(np.int64) << 16
    targets: NDArray[np.int64] = np.where(within, places, -1)
    return targets
