"""Downsampling in space: blocks of pixels become one pixel, and all events are kept.

Only coordinates change; a block of ON and OFF events is not evened out. Behind a coarser sensor a
`refractory` or `rate_limit` stage brings the rate down too.
"""

import numpy as np
from pydantic import Field

from pipeline.events import LARGEST_SIDE_PX
from pipeline.messages import Start
from pipeline.stage import StageConfig
from stages.filters.axis_filter import AxisFilter, AxisTables
from stages.filters.event_filter import OUTSIDE

__all__ = ["Downsample", "DownsampleConfig"]


class DownsampleConfig(StageConfig):
    """Options of `downsample`."""

    factor_x: int = Field(ge=1, le=LARGEST_SIDE_PX)
    """Columns that become one."""
    factor_y: int = Field(ge=1, le=LARGEST_SIDE_PX)
    """Rows that become one."""


class Downsample(AxisFilter[DownsampleConfig]):
    """Make the sensor coarser by whole factors; every event is kept."""

    Config = DownsampleConfig
    reasons = (OUTSIDE, "without a pixel")

    def resize(self, width: int | None, height: int | None) -> tuple[int | None, int | None]:
        """Return the size in blocks; the last block may be cut off by the sensor's edge."""
        return _blocks(width, self.config.factor_x), _blocks(height, self.config.factor_y)

    def remember(self, header: Start) -> AxisTables:
        """Return for each column and row the block that it is in."""
        config = self.config
        return AxisTables(
            columns=np.arange(header.width) // config.factor_x,
            rows=(np.arange(header.height) // config.factor_y) << 16,
            moves=(config.factor_x, config.factor_y) != (1, 1),
        )


def _blocks(extent: int | None, factor: int) -> int | None:
    return None if extent is None else -(-extent // factor)
