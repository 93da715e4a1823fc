"""One layer of the engine: a product, neurons, and perhaps a maximum behind them."""

import hashlib
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.engine.convolution import (
    Geometry,
    convolve_active,
    convolve_all,
    list_active,
    pack,
    padded_size,
)
from models.engine.membranes import emit, fire, pool

__all__ = ["Layer", "compile_kernels", "kernel_sources"]


def compile_kernels(sources: str) -> Any:
    """Return `advance`, compiled or out of the cache, whose key `sources` is a part of."""

    @njit(cache=True, nogil=True)
    def advance(
        x: Any,
        g: Any,
        rows: Any,
        limit: int,
        drive: Any,
        constants: Any,
        output: Any,
        scratch: Any,
        v: Any,
        y: Any,
        pooled: Any,
    ) -> int:
        """Step a layer: list, convolve, step the neurons, take the largest.

        Args:
            x: Input map, flat, uint8 (spikes, all 0 or 1) or float32.
            g: `Geometry`.
            rows: Weights.
            limit: Convolve everything where more inputs than this are active.
            drive: See `models.engine.membranes.fire`.
            constants: Likewise.
            output: Places in `EMITS` and `ACTIVATIONS`, read where y is float32; side of the
                squares.
            scratch: Lists, border and sums, see `Layer`.
            v: Membranes, (positions, channels); stepped in place.
            y: Outputs, (positions, channels), uint8 for spikes or float32.
            pooled: The largest of each square, or a map of no rows where there are none.

        Returns:
            How many inputs are active.
        """
        if not sources:
            return -1
        index, values, offsets, ranges, padded, sums = scratch
        active = list_active(x, g, index, values, offsets)
        if active > limit:
            convolve_all(g, rows, x, padded, sums)
        else:
            binary = x.itemsize == 1
            convolve_active(g, rows, index, values, offsets, ranges, binary, sums)
        if y.itemsize == 1:
            fire(sums, g.block, drive, constants, v, y)
        else:
            emit(sums, g.block, drive, constants, v, y, output[0], output[1])
        if len(pooled):
            pool(y.reshape(g.out_height, g.out_width, g.outputs), output[2], pooled)
        return active

    return advance


def kernel_sources(folder: Path) -> str:
    """Return a hash of the kernels' files, which lie in a folder.

    Numba's cache looks at the file of the function alone, not at those of what it calls: after a
    change of these it would go on with the machine code of before.
    """
    digest = hashlib.sha256()
    for name in ("vectors.py", "convolution.py", "membranes.py"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


_advance = compile_kernels(kernel_sources(Path(__file__).parent))


class Layer:
    """A convolution or linear map with its neurons.

    Args:
        geometry: Its sizes.
        weights: (outputs, inputs, kernel height, kernel width).
        drive: What is added to each position, (1 or positions, outputs).
        constants: See `models.engine.membranes.CONSTANTS`, (6, outputs).
        takes: What inputs are, uint8 for spikes or float32.
        spikes: Whether the neurons spike, or put out their membrane.
        output: Places in `EMITS` and `ACTIVATIONS`.
        pool: Side of the squares whose largest output is kept; 1 keeps all.
        is_map: Whether its neurons stand on a map; a linear map's do not.

    Attributes:
        limit: Everything is convolved where more inputs are active than this; see `tune`.
    """

    def __init__(
        self,
        geometry: Geometry,
        weights: NDArray[Any],
        drive: NDArray[Any],
        constants: NDArray[Any],
        takes: type[np.uint8 | np.float32],
        spikes: bool,
        output: tuple[int, int],
        pool: int = 1,
        is_map: bool = True,
    ) -> None:
        g = self.geometry = geometry
        self.takes, self.is_map = takes, is_map
        self.positions = g.out_height * g.out_width
        self.kind = np.uint8 if spikes else np.float32
        self.out_size = (g.out_height // pool, g.out_width // pool, g.outputs)
        self.limit = g.height * g.width * g.inputs
        self._rows = pack(weights, g)
        self._drive = np.ascontiguousarray(drive, np.float32)
        self._constants = np.ascontiguousarray(constants, np.float32)
        self._output = (*output, pool)

    @property
    def state_shape(self) -> tuple[int, int]:
        """Of the membranes: (positions, channels)."""
        return self.positions, self.geometry.outputs

    def buffers(self) -> "Buffers":
        """Return room for one step; each thread needs its own."""
        g = self.geometry
        everything = g.height * g.width * g.inputs
        pooled = self.out_size if self._output[2] > 1 else (0, 0, g.outputs)
        return (
            (
                np.empty(everything + 1, np.uint32),
                np.empty(everything + 1, np.float32),
                np.empty(g.height * g.width + 1, np.int64),
                np.empty((g.kernel_height, 3), np.int64),
                np.zeros(padded_size(g), np.float32),
                np.zeros(g.sums, np.float32),
            ),
            np.zeros(self.state_shape, self.kind),
            np.zeros(pooled, self.kind),
        )

    def step(self, x: NDArray[Any], v: NDArray[np.float32], room: "Buffers") -> "Stepped":
        """Advance one step.

        Args:
            x: Input map, flat, uint8 (all 0 or 1) or float32.
            v: Membranes of `state_shape`; stepped in place.
            room: Of `buffers`; the map that is returned is part of it.

        Returns:
            The output map, flat, and how many inputs were active.
        """
        scratch, y, pooled = room
        active = _advance(
            x,
            self.geometry,
            self._rows,
            self.limit,
            self._drive,
            self._constants,
            self._output,
            scratch,
            v,
            y,
            pooled,
        )
        return (pooled if len(pooled) else y).ravel(), active

    def tune(self) -> None:
        """Measure both ways of convolving, and set `limit` to where they take the same time."""
        g, room, v = self.geometry, self.buffers(), np.zeros(self.state_shape, np.float32)
        x = np.zeros(g.height * g.width * g.inputs, self.takes)

        def fastest() -> int:
            taken = []
            for _ in range(5):
                start = perf_counter_ns()
                self.step(x, v, room)
                taken.append(perf_counter_ns() - start)
            return min(taken[1:])

        everything, self.limit = len(x), len(x)
        nothing = fastest()
        x[::4] = 1
        each = (fastest() - nothing) / len(x[::4])
        self.limit = -1
        self.limit = min(int((fastest() - nothing) / max(each, 1e-3)), everything)


Buffers = tuple[tuple[NDArray[Any], ...], NDArray[Any], NDArray[Any]]
Stepped = tuple[NDArray[Any], int]
