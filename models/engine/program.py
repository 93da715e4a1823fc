"""Layers one after the other, stepped by one call of compiled code.

What the layers have is packed into a few flat arrays, and a table says where each one's part
begins: a call with many arrays would take as long as a small layer. The membranes of all layers are
one flat array too.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from models.engine.convolution import (
    LANES,
    Geometry,
    convolve_active,
    convolve_all,
    list_active,
    padded_size,
    surround,
)
from models.engine.layer import Layer
from models.engine.membranes import CONSTANTS, emit, fire, pool

__all__ = ["Program", "Room", "compile_kernels", "kernel_sources"]

_SIZES = len(Geometry._fields)
_ROWS, _DRIVE, _STEADY, _CONSTANTS, _V, _POOL, _MAP, _LIMIT = range(_SIZES, _SIZES + 8)
"""Columns of the table behind the sizes: where a layer's rows, drive, constants, membranes and
output map begin, whether one drive holds for all positions, the side of the squares of its
maximum, and from how many active inputs on everything is convolved."""
_KINDS = len(CONSTANTS)


class Room(NamedTuple):
    """What one step needs beside the membranes; each thread needs its own.

    Attributes:
        x: The input map, flat, channels last, float32.
        places: See `models.engine.convolution.list_active`, where it is `index`.
        values: Likewise.
        offsets: Likewise.
        ranges: See `models.engine.convolution.convolve_active`, for each core one.
        padded: See `models.engine.convolution.convolve_all`.
        sums: The currents of a layer; 0 between layers.
        y: Outputs of the layers that have a maximum, before it, laid out as the membranes are.
        maps: The output maps of all layers, uint8 for spikes or float32.
        active: How many inputs of each layer were active in the last step.
    """

    x: NDArray[np.float32]
    places: NDArray[np.uint32]
    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    ranges: NDArray[np.int64]
    padded: NDArray[np.float32]
    sums: NDArray[np.float32]
    y: NDArray[Any]
    maps: NDArray[Any]
    active: NDArray[np.int64]


def compile_kernels(sources: str, cores: bool = False) -> Any:
    """Return `advance`, compiled or out of the cache, whose key `sources` is a part of.

    Args:
        sources: Must differ where the code does that it calls.
        cores: Whether a layer is put on several cores.
    """

    def advance(
        table: Any,
        rows: Any,
        numbers: Any,
        which: int,
        activation: int,
        v: Any,
        room: Any,
    ) -> None:
        """Step all layers from ``room.x`` on.

        Args:
            table: Of `Program`.
            rows: Weights of all layers.
            numbers: Drives and constants of all layers.
            which: Place in `EMITS`; not read where maps are uint8.
            activation: Place in `ACTIVATIONS`, likewise.
            v: Membranes of all layers; stepped in place.
            room: `Room`.
        """
        if not sources:
            return
        for k in range(len(table)):
            row = table[k]
            g = Geometry(
                row[0], row[1], row[2], row[3], row[4], row[5],
                row[6], row[7], row[8], row[9], row[10],
            )  # fmt: skip
            weights = rows[row[_ROWS] :]
            if k:
                x = room.maps[table[k - 1, _MAP] :]
                active = list_active(x, g, room.places, room.values, room.offsets)
                if active > row[_LIMIT]:
                    surround(g, x, room.padded)
            else:
                active = list_active(room.x, g, room.places, room.values, room.offsets)
                if active > row[_LIMIT]:
                    surround(g, room.x, room.padded)
            room.active[k] = active
            binary = k > 0 and room.maps.itemsize == 1
            positions = g.out_height * g.out_width
            many = positions * g.outputs
            drives = 1 if row[_STEADY] else positions
            drive = numbers[row[_DRIVE] : row[_DRIVE] + drives * g.outputs]
            drive_map = drive.reshape(drives, g.outputs)
            constants = numbers[row[_CONSTANTS] : row[_CONSTANTS] + _KINDS * g.outputs]
            constant_rows = constants.reshape(_KINDS, g.outputs)
            membranes = v[row[_V] : row[_V] + many].reshape(positions, g.outputs)
            out = room.maps[row[_MAP] :]
            y = (room.y[row[_V] :] if row[_POOL] > 1 else out)[:many]
            outputs = y.reshape(positions, g.outputs)
            everything = active > row[_LIMIT]
            units = -(-g.outputs // g.block) * positions
            step_layer(
                g,
                weights,
                everything,
                binary,
                room,
                drive_map,
                constant_rows,
                membranes,
                outputs,
                which,
                activation,
                units,
            )
            if row[_POOL] > 1:
                side = row[_POOL]
                size = (g.out_height // side, g.out_width // side, g.outputs)
                pool(
                    y.reshape(g.out_height, g.out_width, g.outputs),
                    side,
                    out[: size[0] * size[1] * size[2]].reshape(size),
                )

    names = {**globals(), "step_layer": _step_on_cores if cores else step_layer}
    closure = advance.__closure__
    return njit(cache=True, nogil=True)(
        FunctionType(advance.__code__, names, "advance", None, closure)
    )


@njit(cache=True, nogil=True)
def take(frame: Any, scale: Any, x: Any) -> None:
    """Lay a frame out channels last.

    It is a function of its own, as it is compiled for every dtype that frames have.

    Args:
        frame: (channels, height, width), any real dtype.
        scale: What each channel is multiplied by, float32.
        x: Where to, flat, float32.
    """
    channels, height, width = frame.shape
    for channel in range(channels):
        for i in range(height):
            for j in range(width):
                value = np.float32(frame[channel, i, j]) * scale[channel]
                x[(i * width + j) * channels + channel] = value


@njit(nogil=True)
def step_layer(
    g: Any,
    rows: Any,
    everything: bool,
    binary: bool,
    room: Any,
    drive: Any,
    constants: Any,
    v: Any,
    y: Any,
    which: int,
    activation: int,
    units: int,
) -> None:
    """Step a layer whose inputs are listed."""
    _step_part(
        g,
        rows,
        everything,
        binary,
        room,
        room.ranges[0],
        drive,
        constants,
        v,
        y,
        which,
        activation,
        0,
        units,
    )


@njit(nogil=True, parallel=True)
def _step_on_cores(
    g: Any,
    rows: Any,
    everything: bool,
    binary: bool,
    room: Any,
    drive: Any,
    constants: Any,
    v: Any,
    y: Any,
    which: int,
    activation: int,
    units: int,
) -> None:
    """Step a layer whose inputs are listed, each core some blocks."""
    parts = len(room.ranges)
    for part in prange(parts):
        _step_part(
            g,
            rows,
            everything,
            binary,
            room,
            room.ranges[part],
            drive,
            constants,
            v,
            y,
            which,
            activation,
            units * part // parts,
            units * (part + 1) // parts,
        )


@njit(nogil=True)
def _step_part(
    g: Any,
    rows: Any,
    everything: bool,
    binary: bool,
    room: Any,
    ranges: Any,
    drive: Any,
    constants: Any,
    v: Any,
    y: Any,
    which: int,
    activation: int,
    start: int,
    stop: int,
) -> None:
    """Step some blocks of a layer: convolve in the faster way, and step their neurons."""
    sums = room.sums
    if everything:
        convolve_all(g, rows, room.padded, sums, start, stop)
    else:
        convolve_active(
            g,
            rows,
            room.places,
            room.values,
            room.offsets,
            ranges,
            binary,
            sums,
            start,
            stop,
        )
    if y.itemsize == 1:
        fire(sums, g.block, drive, constants, v, y, start, stop)
    else:
        emit(sums, g.block, drive, constants, v, y, which, activation, start, stop)


def kernel_sources(folder: Path) -> str:
    """Return a hash of the kernels' files, which lie in a folder.

    Numba's cache looks at the file of the function alone, not at those of what it calls: after a
    change of these it would go on with the machine code of before.
    """
    digest = hashlib.sha256()
    for name in ("vectors.py", "convolution.py", "membranes.py"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


_SOURCES = kernel_sources(Path(__file__).parent)
_advance = compile_kernels(_SOURCES)
_advance_on_cores = compile_kernels(f"{_SOURCES}, on cores", cores=True)


class Program:
    """Layers that follow each other.

    Args:
        layers: At least one; the input map of each is the output map of the one before.
        spikes: Whether the neurons spike, or put out their membrane.
        output: Places in `EMITS` and `ACTIVATIONS`.
        scale: What each channel of a frame is multiplied by.

    Attributes:
        layers: As given.
        spikes: As given.
        output: As given.
        neurons: Membranes of all layers.
        table: The sizes of each layer, and where its part of the flat arrays begins.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        spikes: bool,
        output: tuple[int, int] = (0, 0),
        scale: Sequence[float] | NDArray[Any] | None = None,
    ) -> None:
        self.layers = tuple(layers)
        self.output = output
        self.spikes = spikes
        channels = layers[0].geometry.inputs
        given = [1.0] * channels if scale is None else scale
        self._scale = np.array(given, np.float32)
        kinds = {layer.rows.dtype for layer in layers}
        rows = [layer.rows if len(kinds) == 1 else _as_float32(layer.rows) for layer in layers]
        self._rows = np.concatenate(rows)
        numbers: list[NDArray[np.float32]] = []
        table = []
        ends = dict.fromkeys(("rows", "numbers", "v", "maps"), 0)
        for layer, own in zip(layers, rows, strict=True):
            drive_at, constants_at = ends["numbers"], ends["numbers"] + layer.drive.size
            table.append(
                [
                    *layer.geometry,
                    ends["rows"],
                    drive_at,
                    len(layer.drive) == 1,
                    constants_at,
                    ends["v"],
                    layer.pool,
                    ends["maps"],
                    layer.geometry.height * layer.geometry.width * layer.geometry.inputs,
                ]
            )
            numbers += [layer.drive.ravel(), layer.constants.ravel()]
            ends["rows"] += own.size
            ends["numbers"] = constants_at + layer.constants.size
            ends["v"] += layer.neurons
            ends["maps"] += layer.outputs
        self._numbers = np.concatenate(numbers)
        self.table = np.array(table, np.int64)
        self.neurons = ends["v"]

    def room(self, cores: int = 1) -> Room:
        """Return room for one step on so many cores."""
        sizes = [layer.geometry for layer in self.layers]
        inputs = max(g.height * g.width * g.inputs for g in sizes)
        first = sizes[0]
        kind = np.uint8 if self.spikes else np.float32
        return Room(
            x=np.zeros(first.height * first.width * first.inputs + LANES, np.float32),
            places=np.zeros(inputs + 1, np.uint32),
            values=np.zeros(inputs + 1, np.float32),
            offsets=np.zeros(max(g.height * g.width for g in sizes) + 1, np.int64),
            ranges=np.zeros((cores, max(g.kernel_height for g in sizes), 3), np.int64),
            padded=np.zeros(max(map(padded_size, sizes)), np.float32),
            sums=np.zeros(max(g.sums for g in sizes), np.float32),
            y=np.zeros(self.neurons, kind),
            maps=np.zeros(sum(layer.outputs for layer in self.layers) + LANES, kind),
            active=np.zeros(len(self.layers), np.int64),
        )

    def step(self, frame: NDArray[Any], v: NDArray[np.float32], room: Room) -> NDArray[Any]:
        """Advance one step.

        Args:
            frame: (channels, height, width), any real dtype.
            v: Membranes, (neurons,); stepped in place.
            room: Of `room`.

        Returns:
            The output map of the last layer, flat, channels last: a part of `room`.
        """
        advance = _advance if len(room.ranges) == 1 else _advance_on_cores
        take(frame, self._scale, room.x)
        advance(self.table, self._rows, self._numbers, *self.output, v, room)
        return self.map_of(-1, room).ravel()

    def map_of(self, layer: int, room: Room) -> NDArray[Any]:
        """Return the output map of a layer in the last step, (height, width, channels)."""
        start, size = self.table[layer, _MAP], self.layers[layer].out_size
        return room.maps[start : start + self.layers[layer].outputs].reshape(size)

    def outputs_of(self, layer: int, room: Room) -> NDArray[Any]:
        """Return what the neurons of a layer put out in the last step, (positions, channels)."""
        one, start = self.layers[layer], self.table[layer, _V]
        y = room.y[start : start + one.neurons] if one.pool > 1 else self.map_of(layer, room)
        return y.reshape(one.state_shape)

    def inputs_of(self, layer: int, room: Room) -> NDArray[Any]:
        """Return the input map of a layer in the last step, (height, width, channels)."""
        if layer:
            return self.map_of(layer - 1, room)
        g = self.layers[0].geometry
        size = (g.height, g.width, g.inputs)
        return room.x[: math.prod(size)].reshape(size)

    def membranes_of(self, layer: int, v: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of membranes (..., neurons) that a layer has, (..., positions, channels).

        It is a view where `v` is contiguous.
        """
        one = self.layers[layer]
        start = self.table[layer, _V]
        return v[..., start : start + one.neurons].reshape(*v.shape[:-1], *one.state_shape)

    def limit(self, layer: int, inputs: int) -> None:
        """Set from how many active inputs on a layer convolves everything."""
        self.table[layer, _LIMIT] = inputs


def _as_float32(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Return packed rows as float32."""
    return (rows.view(np.float16) if rows.dtype == np.uint16 else rows).astype(np.float32)
