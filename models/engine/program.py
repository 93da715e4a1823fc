"""Layers one after the other, stepped by one call of compiled code.

What the layers have is packed into a few flat arrays, and a table says where each one's part
begins: a call with many arrays would take as long as a small layer. The membranes of all layers are
one flat array too.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.engine.advance import LIMIT, MAP_AT, MEMBRANES_AT, advance, advance_on_cores, take
from models.engine.convolution import LANES, padded_size
from models.engine.layer import Layer

__all__ = ["Program", "Room"]


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
        step = advance if len(room.ranges) == 1 else advance_on_cores
        take(frame, self._scale, room.x)
        step(self.table, self._rows, self._numbers, *self.output, v, room)
        return self.map_of(-1, room).ravel()

    def map_of(self, layer: int, room: Room) -> NDArray[Any]:
        """Return the output map of a layer in the last step, (height, width, channels)."""
        start, size = self.table[layer, MAP_AT], self.layers[layer].out_size
        return room.maps[start : start + self.layers[layer].outputs].reshape(size)

    def outputs_of(self, layer: int, room: Room) -> NDArray[Any]:
        """Return what the neurons of a layer put out in the last step, (positions, channels)."""
        one, start = self.layers[layer], self.table[layer, MEMBRANES_AT]
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
        start = self.table[layer, MEMBRANES_AT]
        return v[..., start : start + one.neurons].reshape(*v.shape[:-1], *one.state_shape)

    def limit(self, layer: int, inputs: int) -> None:
        """Set from how many active inputs on a layer convolves everything."""
        self.table[layer, LIMIT] = inputs


def _as_float32(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Return packed rows as float32."""
    return (rows.view(np.float16) if rows.dtype == np.uint16 else rows).astype(np.float32)
