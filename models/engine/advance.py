"""All layers of a program stepped, in compiled code.

Numba looks functions up by the file that they are in; see `kernel_sources` for those that they
call.
"""

import hashlib
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from models.engine.convolution import (
    Geometry,
    convolve_active,
    convolve_all,
    list_active,
    surround,
)
from models.engine.membranes import CONSTANTS, pool, step_neurons

__all__ = [
    "LIMIT",
    "MAP_AT",
    "MEMBRANES_AT",
    "advance",
    "advance_on_cores",
    "compile_kernels",
    "kernel_sources",
    "take",
]

_SIZES = len(Geometry._fields)
_ROWS_AT, _DRIVE_AT, _STEADY, _CONSTANTS_AT, MEMBRANES_AT, _POOL, MAP_AT, LIMIT = range(
    _SIZES, _SIZES + 8
)
"""Columns of the table behind the sizes: where a layer's rows, drive, constants, membranes and
output map begin, whether one drive holds for all positions, the side of the squares of its
maximum, and from how many active inputs on everything is convolved."""
_KINDS = len(CONSTANTS)


class _Work(NamedTuple):
    """A layer whose inputs are listed: what one step of it needs, beside the room."""

    rows: Any
    everything: bool
    binary: bool
    drive: Any
    constants: Any
    v: Any
    y: Any
    units: int


@njit(nogil=True)
def _step_part(
    g: Any, work: Any, which: int, activation: int, room: Any, part: int, start: int, stop: int
) -> None:
    """Step some blocks of a layer: convolve in the faster way, and step their neurons."""
    sums = room.sums
    if work.everything:
        convolve_all(g, work.rows, room.padded, sums, start, stop)
    else:
        convolve_active(
            g,
            work.rows,
            room.places,
            room.values,
            room.offsets,
            room.ranges[part],
            work.binary,
            sums,
            start,
            stop,
        )
    step_neurons(
        sums, g.block, work.drive, work.constants, work.v, work.y, which, activation, start, stop
    )


@njit(nogil=True)
def step_layer(g: Any, work: Any, which: int, activation: int, room: Any) -> None:
    """Step a layer."""
    _step_part(g, work, which, activation, room, 0, 0, work.units)


@njit(nogil=True, parallel=True)
def _step_on_cores(g: Any, work: Any, which: int, activation: int, room: Any) -> None:
    """Step a layer, each core some blocks of it."""
    parts = len(room.ranges)
    for part in prange(parts):
        start, stop = work.units * part // parts, work.units * (part + 1) // parts
        _step_part(g, work, which, activation, room, part, start, stop)


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
            table: Of `models.engine.program.Program`.
            rows: Weights of all layers.
            numbers: Drives and constants of all layers.
            which: Place in `EMITS`; not read where maps are uint8.
            activation: Place in `ACTIVATIONS`, likewise.
            v: Membranes of all layers; stepped in place.
            room: `models.engine.program.Room`.
        """
        if not sources:
            return
        for k in range(len(table)):
            row = table[k]
            g = Geometry(
                row[0], row[1], row[2], row[3], row[4], row[5],
                row[6], row[7], row[8], row[9], row[10],
            )  # fmt: skip
            weights = rows[row[_ROWS_AT] :]
            if k:
                x = room.maps[table[k - 1, MAP_AT] :]
                active = list_active(x, g, room.places, room.values, room.offsets)
                if active > row[LIMIT]:
                    surround(g, x, room.padded)
            else:
                active = list_active(room.x, g, room.places, room.values, room.offsets)
                if active > row[LIMIT]:
                    surround(g, room.x, room.padded)
            room.active[k] = active
            binary = k > 0 and room.maps.itemsize == 1
            positions = g.out_height * g.out_width
            many = positions * g.outputs
            drives = 1 if row[_STEADY] else positions
            drive = numbers[row[_DRIVE_AT] : row[_DRIVE_AT] + drives * g.outputs]
            drive_map = drive.reshape(drives, g.outputs)
            constants = numbers[row[_CONSTANTS_AT] : row[_CONSTANTS_AT] + _KINDS * g.outputs]
            constant_rows = constants.reshape(_KINDS, g.outputs)
            membranes = v[row[MEMBRANES_AT] : row[MEMBRANES_AT] + many].reshape(
                positions, g.outputs
            )
            out = room.maps[row[MAP_AT] :]
            y = (room.y[row[MEMBRANES_AT] :] if row[_POOL] > 1 else out)[:many]
            outputs = y.reshape(positions, g.outputs)
            everything = active > row[LIMIT]
            units = -(-g.outputs // g.block) * positions
            work = _Work(
                weights, everything, binary, drive_map, constant_rows, membranes, outputs, units
            )
            step_layer(g, work, which, activation, room)
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
advance = compile_kernels(_SOURCES)
advance_on_cores = compile_kernels(f"{_SOURCES}, on cores", cores=True)
