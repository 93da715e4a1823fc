"""Orientation: a camera that hangs upside down or looks into a mirror."""

from typing import Literal

import numpy as np

from pipeline.messages import Start
from pipeline.stage import StageConfig
from stages.filters.axis_filter import AxisFilter, AxisTables
from stages.filters.event_filter import OUTSIDE

__all__ = ["Orient", "OrientConfig"]


class OrientConfig(StageConfig):
    """Options of `orient`; they are applied in this order."""

    flip_x: bool = False
    """Swap left and right."""
    flip_y: bool = False
    """Swap top and bottom."""
    transpose: bool = False
    """Swap columns and rows."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Degrees to turn the image by, clockwise as one looks at it."""


class Orient(AxisFilter[OrientConfig]):
    """Flip, transpose and rotate; every event is kept."""

    Config = OrientConfig
    reasons = (OUTSIDE, "without a pixel")

    def resize(self, width: int | None, height: int | None) -> tuple[int | None, int | None]:
        """Return the size, swapped where columns become rows."""
        swapped = self.config.transpose ^ (self.config.rotate in (90, 270))
        return (height, width) if swapped else (width, height)

    def remember(self, header: Start) -> AxisTables:
        """Return tables of targets; a row's target is a column where the two are swapped."""
        config = self.config
        across, down = np.arange(header.width), np.arange(header.height)
        swapped = config.transpose
        if config.flip_x:
            across = across[::-1]
        if config.flip_y:
            down = down[::-1]
        if config.transpose:
            across, down = down, across
        for _ in range(config.rotate // 90):
            # A quarter turn clockwise: the top row becomes the last column.
            across, down = down[::-1], across
            swapped = not swapped
        columns, rows = (down << 16, across) if swapped else (across, down << 16)
        return AxisTables(
            columns=np.ascontiguousarray(columns),
            rows=np.ascontiguousarray(rows),
            moves=config != OrientConfig(),
        )
