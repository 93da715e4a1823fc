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
    lowest_bit,
)

__all__ = [
    "LANES",
    "Geometry",
    "convolve_active",
    "convolve_all",
    "list_active",
    "pack",
    "padded_size",
    "plain_convolution",
    "surround",
]

LANES = 16
"""Inputs that are looked at together."""


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
    """List what is not 0, line after line.

    Args:
        x: The map, flat, uint8 (0 or 1) or float32, and `LANES` numbers behind it.
        g: `Geometry`.
        index: Place of each in its line, ``column * channels + channel``, uint32.
        values: Its value, float32; not written where the map is uint8.
        offsets: Where the list of each pixel begins, int64, and where the last one ends.

    Returns:
        How many are active.
    """
    count = 0
    line = g.width * g.inputs
    for y in range(g.height):
        pixel, end = y * g.width, g.inputs  # the pixel that is listed, and its end in the line
        offsets[pixel] = count
        for start in range(0, line, LANES):
            mask: Any = active_mask(x, y * line + start)
            if start + LANES > line:
                mask &= (np.uint64(1) << np.uint64(line - start)) - np.uint64(1)
            while mask:
                place = start + lowest_bit(mask)
                while place >= end:
                    pixel += 1
                    end += g.inputs
                    offsets[pixel] = count
                index[count] = place
                if x.itemsize > 1:
                    values[count] = x[y * line + place]
                count += 1
                mask &= mask - np.uint64(1)
        while pixel < (y + 1) * g.width:
            pixel += 1
            offsets[pixel] = count
    return count


@njit(nogil=True)
def convolve_active(
    g: Any,
    rows: Any,
    index: Any,
    values: Any,
    offsets: Any,
    ranges: Any,
    binary: bool,
    sums: Any,
    start: int,
    stop: int,
) -> None:
    """Add the convolution of what `list_active` found to some blocks.

    Args:
        g: `Geometry`.
        rows: Weights, see `pack`.
        index: Of `list_active`.
        values: Likewise.
        offsets: Likewise.
        ranges: Room for (kernel height, 3) int64.
        binary: Whether all values are 1 and need no product.
        sums: What is added to, see `Geometry.sums`.
        start: The first block: of a position, those of all positions before the next channels.
        stop: Behind the last block.
    """
    line = g.kernel_width * g.inputs
    positions = g.out_height * g.out_width
    for unit in range(start, stop):
        block, position = unit // positions, unit % positions
        top = position // g.out_width * g.stride - g.padding
        left = position % g.out_width * g.stride - g.padding
        begin = min(max(left, 0), g.width)
        end = max(begin, min(left + g.kernel_width, g.width))
        many = 0
        for ky in range(max(-top, 0), min(g.kernel_height, g.height - top)):
            pixel = (top + ky) * g.width
            first, last = offsets[pixel + begin], offsets[pixel + end]
            if first < last:
                ranges[many, 0], ranges[many, 1] = first, last
                ranges[many, 2] = (block * g.kernel_height + ky) * line - left * g.inputs
                many += 1
        if many:
            add_rows(sums, unit * g.block, rows, index, values, binary, ranges, many, g.block)


@njit(nogil=True)
def surround(g: Any, x: Any, padded: Any) -> None:
    """Copy a map, flat, uint8 or float32, into one with a border of zeros, see `padded_size`."""
    across = (g.width + 2 * g.padding) * g.inputs
    line = g.width * g.inputs
    padded[: (g.height + 2 * g.padding) * across] = 0
    for y in range(g.height):
        to = (y + g.padding) * across + g.padding * g.inputs
        for k in range(line):
            padded[to + k] = x[y * line + k]


@njit(nogil=True)
def convolve_all(g: Any, rows: Any, padded: Any, sums: Any, start: int, stop: int) -> None:
    """Add the convolution of a whole map to some blocks.

    Args:
        g: `Geometry`.
        rows: Weights, see `pack`.
        padded: The map, see `surround`.
        sums: What is added to, see `Geometry.sums`.
        start: As for `convolve_active`.
        stop: Likewise.
    """
    across = (g.width + 2 * g.padding) * g.inputs
    many = g.kernel_width * g.inputs
    positions = g.out_height * g.out_width
    unit = start
    while unit < stop:
        block, n = unit // positions, unit % positions
        tile = TILE if unit + TILE <= stop and n + TILE <= positions else 1
        for ky in range(g.kernel_height):
            first = (block * g.kernel_height + ky) * many
            if tile == TILE:
                places = (
                    _place(g, n, ky, across),
                    _place(g, n + 1, ky, across),
                    _place(g, n + 2, ky, across),
                    _place(g, n + 3, ky, across),
                )
                add_products(sums, unit * g.block, rows, first, padded, places, many, g.block)
            else:
                alone = (_place(g, n, ky, across),)
                add_products(sums, unit * g.block, rows, first, padded, alone, many, g.block)
        unit += tile


@njit(nogil=True)
def _place(g: Any, position: int, ky: int, across: int) -> int:
    """Return where the inputs of a position and a line of the kernel begin."""
    oy, ox = position // g.out_width, position % g.out_width
    at: int = (oy * g.stride + ky) * across + ox * g.stride * g.inputs
    return at
