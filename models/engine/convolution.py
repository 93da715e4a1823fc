"""Convolution as sums of weight rows: of what is active alone, or of everything.

A map is channels last, (height, width, channels). Weights are rows of output channels, one for
each (block of output channels, kernel row, kernel column, input channel), see `pack`. A linear map
of a whole map is a convolution whose kernel is as large as the map.

What is active is listed line after line, so that all that a line of the kernel covers stands side
by side in the list. `convolve_active` adds a row of weights for each; `convolve_all` does not look
what is active, and multiplies several positions by each row it fetches. Both add the same numbers
in the same order, so their sums are equal to the bit, and what is faster can be chosen freely.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.engine.vectors import (
    BLOCK,
    TILE,
    WIDTHS,
    active_mask,
    add_products,
    add_rows,
    add_scaled_rows,
    lowest_bit,
)

__all__ = [
    "Geometry",
    "convolve_active",
    "convolve_all",
    "list_active",
    "pack",
    "padded_size",
    "plain_convolution",
]

_LANES = 16


class Geometry(NamedTuple):
    """Sizes of a convolution, as the kernels take them.

    Attributes:
        height: Of the input map, pixels.
        width: Likewise.
        inputs: Input channels.
        kernel_height: Of the kernel, pixels.
        kernel_width: Likewise.
        stride: Pixels.
        padding: Zeros around the map, pixels.
        out_height: Of the output map, pixels.
        out_width: Likewise.
        outputs: Output channels.
        block: Output channels of a row of weights, one of `WIDTHS`.
    """

    height: int
    width: int
    inputs: int
    kernel_height: int
    kernel_width: int
    stride: int
    padding: int
    out_height: int
    out_width: int
    outputs: int
    block: int

    @classmethod
    def of(
        cls,
        size: tuple[int, int, int],
        outputs: int,
        kernel: tuple[int, int],
        stride: int = 1,
        padding: int = 0,
    ) -> "Geometry":
        """Work out the sizes for an input map of (height, width, channels)."""
        height, width, inputs = size
        return cls(
            height,
            width,
            inputs,
            *kernel,
            stride,
            padding,
            (height + 2 * padding - kernel[0]) // stride + 1,
            (width + 2 * padding - kernel[1]) // stride + 1,
            outputs,
            min([each for each in WIDTHS if each >= outputs], default=BLOCK),
        )

    @property
    def blocks(self) -> int:
        """Blocks of output channels, the last one filled up."""
        return -(-self.outputs // self.block)

    @property
    def sums(self) -> int:
        """Floats that the sums of a step take: those of a block, position after position."""
        return self.blocks * self.out_height * self.out_width * self.block


def pack(weights: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    """Lay out weights (outputs, inputs, kernel height, kernel width) as rows, flat.

    They are kept as float16, in uint16, where that loses nothing: half as much to fetch.
    """
    g = geometry
    rows = np.zeros((g.kernel_height, g.kernel_width, g.inputs, g.blocks * g.block), np.float32)
    rows[..., : g.outputs] = weights.transpose(2, 3, 1, 0)
    blocks = rows.reshape(g.kernel_height, g.kernel_width, g.inputs, g.blocks, g.block)
    flat = np.ascontiguousarray(blocks.transpose(3, 0, 1, 2, 4)).ravel()
    with np.errstate(over="ignore"):
        halves = flat.astype(np.float16)
    return halves.view(np.uint16) if np.array_equal(halves, flat) else flat


def padded_size(geometry: Geometry) -> int:
    """Return how many floats `convolve_all` needs for the map with its border."""
    g = geometry
    return (g.height + 2 * g.padding) * (g.width + 2 * g.padding) * g.inputs


def plain_convolution(
    x: NDArray[Any], weights: NDArray[Any], geometry: Geometry
) -> NDArray[np.float64]:
    """Convolve a map (height, width, inputs) in the plainest way -> (positions, outputs)."""
    g = geometry
    border = np.zeros((g.height + 2 * g.padding, g.width + 2 * g.padding, g.inputs))
    border[g.padding : g.padding + g.height, g.padding : g.padding + g.width] = x
    sums = np.zeros((g.out_height, g.out_width, g.outputs))
    for ky in range(g.kernel_height):
        for kx in range(g.kernel_width):
            rows = slice(ky, ky + g.stride * g.out_height, g.stride)
            columns = slice(kx, kx + g.stride * g.out_width, g.stride)
            sums += border[rows, columns][: g.out_height, : g.out_width] @ weights[:, :, ky, kx].T
    return sums.reshape(-1, g.outputs)


@njit(nogil=True)
def list_active(x: Any, g: Any, index: Any, values: Any, offsets: Any) -> int:
    """List what is not 0, pixel after pixel, line after line.

    Args:
        x: The map, flat, uint8 or float32.
        g: `Geometry`.
        index: Place of each in its line, ``column * channels + channel``, uint32; room for all
            and one more.
        values: Its value, float32, likewise.
        offsets: Where the list of each pixel begins, int64, and where the last one ends.

    Returns:
        How many are active.
    """
    count = 0
    channels = g.inputs
    whole = channels - channels % _LANES
    for pixel in range(g.height * g.width):
        offsets[pixel] = count
        at = pixel * channels
        place = pixel % g.width * channels
        for channel in range(0, whole, _LANES):
            mask: Any = active_mask(x, at + channel)
            while mask:
                here = channel + lowest_bit(mask)
                index[count] = place + here
                values[count] = x[at + here]
                count += 1
                mask &= mask - np.uint64(1)
        for channel in range(whole, channels):
            value = x[at + channel]
            index[count] = place + channel
            values[count] = value
            count += value != 0
    offsets[g.height * g.width] = count
    return count


@njit(nogil=True)
def convolve_active(
    g: Any, rows: Any, index: Any, values: Any, offsets: Any, ranges: Any, binary: bool, sums: Any
) -> None:
    """Add the convolution of what `list_active` found.

    Args:
        g: `Geometry`.
        rows: Weights, see `pack`.
        index: Of `list_active`.
        values: Likewise.
        offsets: Likewise.
        ranges: Room for (kernel height, 3) int64.
        binary: Whether all values are 1 and need no product.
        sums: What is added to, see `Geometry.sums`.
    """
    line = g.kernel_width * g.inputs
    positions = g.out_height * g.out_width
    for block in range(-(-g.outputs // g.block)):
        for position in range(positions):
            top = position // g.out_width * g.stride - g.padding
            left = position % g.out_width * g.stride - g.padding
            begin, end = max(left, 0), min(left + g.kernel_width, g.width)
            many = 0
            for ky in range(max(-top, 0), min(g.kernel_height, g.height - top)):
                pixel = (top + ky) * g.width
                start, stop = offsets[pixel + begin], offsets[pixel + end]
                if start < stop:
                    ranges[many, 0], ranges[many, 1] = start, stop
                    ranges[many, 2] = (block * g.kernel_height + ky) * line - left * g.inputs
                    many += 1
            at = (block * positions + position) * g.block
            if many and binary:
                add_rows(sums, at, rows, index, values, ranges, many, g.block)
            elif many:
                add_scaled_rows(sums, at, rows, index, values, ranges, many, g.block)


@njit(nogil=True)
def convolve_all(g: Any, rows: Any, x: Any, padded: Any, sums: Any) -> None:
    """Add the convolution of a whole map.

    Args:
        g: `Geometry`.
        rows: Weights, see `pack`.
        x: The map, flat, uint8 or float32.
        padded: Room for the map with its border, see `padded_size`; zeros at the border.
        sums: What is added to, see `Geometry.sums`.
    """
    across = (g.width + 2 * g.padding) * g.inputs
    line = g.width * g.inputs
    for y in range(g.height):
        to = (y + g.padding) * across + g.padding * g.inputs
        for k in range(line):
            padded[to + k] = x[y * line + k]
    many = g.kernel_width * g.inputs
    positions = g.out_height * g.out_width
    for block in range(-(-g.outputs // g.block)):
        for ky in range(g.kernel_height):
            first = (block * g.kernel_height + ky) * many
            for n in range(0, positions - TILE + 1, TILE):
                at = (block * positions + n) * g.block
                places = (
                    _place(g, n, ky, across),
                    _place(g, n + 1, ky, across),
                    _place(g, n + 2, ky, across),
                    _place(g, n + 3, ky, across),
                )
                add_products(sums, at, rows, first, padded, places, many, g.block)
            for n in range(positions - positions % TILE, positions):
                at = (block * positions + n) * g.block
                alone = (_place(g, n, ky, across),)
                add_products(sums, at, rows, first, padded, alone, many, g.block)


@njit(nogil=True)
def _place(g: Any, position: int, ky: int, across: int) -> int:
    """Return where the inputs of a position and a line of the kernel begin."""
    oy, ox = position // g.out_width, position % g.out_width
    at: int = (oy * g.stride + ky) * across + ox * g.stride * g.inputs
    return at
