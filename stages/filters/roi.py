"""Region of interest: the events of a rectangle."""

import numpy as np
from pydantic import Field

from pipeline.events import LARGEST_SIDE_PX
from pipeline.messages import Start
from pipeline.stage import PortError, StageConfig
from stages.filters.axis_filter import AxisFilter, AxisTables
from stages.filters.event_filter import OUTSIDE

__all__ = ["Roi", "RoiConfig"]


class RoiConfig(StageConfig):
    """Options of `roi`."""

    x: int = Field(ge=0, le=32_767)
    """Leftmost column of the rectangle."""
    y: int = Field(ge=0, le=32_767)
    """Topmost row of the rectangle."""
    width: int = Field(gt=0, le=LARGEST_SIDE_PX)
    """Columns of the rectangle."""
    height: int = Field(gt=0, le=LARGEST_SIDE_PX)
    """Rows of the rectangle."""
    rebase: bool = False
    """Whether the rectangle is the whole sensor to the stages behind, its corner being (0, 0)."""


class Roi(AxisFilter[RoiConfig]):
    """Keep the events of a rectangle."""

    Config = RoiConfig
    reasons = (OUTSIDE, "outside the region")

    def resize(self, width: int | None, height: int | None) -> tuple[int | None, int | None]:
        """Return the sensor's size, or the rectangle's when it is re-based."""
        config = self.config
        for key, begin, extent, sensor in (
            ("width", config.x, config.width, width),
            ("height", config.y, config.height, height),
        ):
            if sensor is not None and begin + extent > sensor:
                axis = "x" if key == "width" else "y"
                raise PortError(
                    key,
                    f"{axis} + {key} must be <= {sensor}, the sensor's, got {begin} + {extent}",
                )
        return (config.width, config.height) if config.rebase else (width, height)

    def remember(self, header: Start) -> AxisTables:
        """Return tables that are -1 outside the rectangle."""
        config = self.config
        x, y = np.arange(header.width), np.arange(header.height)
        origin_x, origin_y = (config.x, config.y) if config.rebase else (0, 0)
        inside_x = (x >= config.x) & (x < config.x + config.width)
        inside_y = (y >= config.y) & (y < config.y + config.height)
        return AxisTables(
            columns=np.where(inside_x, x - origin_x, -1),
            rows=np.where(inside_y, (y - origin_y) << 16, -1),
            moves=(origin_x, origin_y) != (0, 0),
        )
