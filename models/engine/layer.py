"""One layer of the engine: a product, neurons, and perhaps a maximum behind them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.engine.convolution import Geometry, pack

__all__ = ["Layer"]


class Layer:
    """A convolution or linear map with its neurons, as arrays; `models.engine.program` steps it.

    Args:
        geometry: Its sizes.
        weights: (outputs, inputs, kernel height, kernel width).
        drive: What is added to each position, (1 or positions, outputs).
        constants: See `models.engine.membranes.CONSTANTS`, (6, outputs).
        pool: Side of the squares whose largest output is kept; 1 keeps all.
        is_map: Whether its neurons stand on a map; a linear map's do not.

    Attributes:
        geometry: As given.
        rows: The weights, see `models.engine.convolution.pack`.
        drive: As float32.
        constants: As float32.
        pool: As given.
        is_map: As given.
        positions: Of the map before the maximum.
        out_size: (height, width, channels) of the output map.
    """

    def __init__(
        self,
        geometry: Geometry,
        weights: NDArray[Any],
        drive: NDArray[Any],
        constants: NDArray[Any],
        pool: int = 1,
        is_map: bool = True,
    ) -> None:
        g = self.geometry = geometry
        self.pool, self.is_map = pool, is_map
        self.positions = g.out_height * g.out_width
        self.out_size = (g.out_height // pool, g.out_width // pool, g.outputs)
        self.rows = pack(weights, g)
        self.drive = np.ascontiguousarray(drive, np.float32)
        self.constants = np.ascontiguousarray(constants, np.float32)

    @property
    def state_shape(self) -> tuple[int, int]:
        """Of the membranes: (positions, channels)."""
        return self.positions, self.geometry.outputs

    @property
    def neurons(self) -> int:
        """How many membranes there are."""
        return self.positions * self.geometry.outputs

    @property
    def outputs(self) -> int:
        """Numbers in the output map."""
        return math.prod(self.out_size)
