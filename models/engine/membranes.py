"""The neurons of a layer for one step, behind the sums of a convolution: `models.neurons.lif_step`.

BatchNorm on the membrane is a scale and a shift of each channel; the bias, and what a normalisation
of the input adds to every pixel, is one drive that does not change.
"""

from typing import Any

import numpy as np
from numba import njit

__all__ = ["ACTIVATIONS", "CONSTANTS", "EMITS", "pool", "step_neurons"]

CONSTANTS = ("scale", "shift", "alpha", "beta", "theta", "v_0")
"""Rows of the constants, each with a value for every channel."""
EMITS = ("membrane", "distance", "reset", "leak")
"""What analog neurons put out, see `models.lif.Lif`."""
ACTIVATIONS = ("none", "relu", "sigmoid", "tanh")
"""What they put it through."""


@njit(nogil=True)
def step_neurons(
    sums: Any,
    block: int,
    drive: Any,
    constants: Any,
    v: Any,
    y: Any,
    which: int,
    activation: int,
    start: int,
    stop: int,
) -> None:
    """Step neurons that spike, or put out their membrane: y tells which.

    Args:
        sums: What `models.engine.convolution` has added, float32; left at 0.
        block: Output channels side by side in it.
        drive: Added to the sums, float32 (1 or positions, channels).
        constants: See `CONSTANTS`, float32 (6, channels).
        v: Membranes, float32 (positions, channels); stepped in place.
        y: Spikes, uint8, or what analog neurons put out, float32 (positions, channels).
        which: Place in `EMITS`; of no meaning for spikes.
        activation: Place in `ACTIVATIONS`, likewise.
        start: The first block, see `models.engine.convolution.convolve_active`.
        stop: Behind the last block.
    """
    positions, channels = v.shape
    steady = len(drive) == 1
    u = np.empty(block, np.float32)
    # From 0 on, as the compiler makes vectors only of what it knows not to count from the end.
    for part in range(-(-channels // block)):
        first = part * block
        many = min(block, channels - first)
        for position in range(positions):
            unit = part * positions + position
            if unit < start or unit >= stop:
                continue
            at = unit * block
            here = 0 if steady else position
            # One array is written in each loop: so the compiler makes vectors of it.
            for k in range(many):
                c = first + k
                current = sums[at + k] + drive[here, c]
                u[k] = (v[position, c] + current) * constants[0, c] + constants[1, c]
            for k in range(block):
                sums[at + k] = 0
            for k in range(many):
                c = first + k
                reset = constants[5, c] if u[k] - constants[4, c] > 0 else u[k]
                v[position, c] = constants[2, c] * reset + constants[3, c]
            if y.itemsize == 1:
                for k in range(many):
                    y[position, first + k] = 1 if u[k] - constants[4, first + k] > 0 else 0
                continue
            if which == 0:
                for k in range(many):
                    y[position, first + k] = u[k]
            elif which == 1:
                for k in range(many):
                    y[position, first + k] = u[k] - constants[4, first + k]
            elif which == 2:
                for k in range(many):
                    c = first + k
                    y[position, c] = constants[5, c] if u[k] - constants[4, c] > 0 else u[k]
            else:
                for k in range(many):
                    y[position, first + k] = v[position, first + k]
            if activation == 1:
                for k in range(many):
                    y[position, first + k] = max(y[position, first + k], np.float32(0))
            elif activation == 2:
                for k in range(many):
                    out = y[position, first + k]
                    y[position, first + k] = np.float32(1) / (np.float32(1) + np.exp(-out))
            elif activation == 3:
                for k in range(many):
                    y[position, first + k] = np.tanh(y[position, first + k])


@njit(nogil=True)
def pool(x: Any, side: int, y: Any) -> None:
    """Take the largest of each square of a map, (height, width, channels); a rest is left out."""
    height, width, channels = y.shape
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                y[i, j, c] = x[i * side, j * side, c]
            for k in range(1, side * side):
                row, column = i * side + k // side, j * side + k % side
                for c in range(channels):
                    y[i, j, c] = max(y[i, j, c], x[row, column, c])
