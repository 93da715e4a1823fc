"""The Numba kernels of `models.recurrence`: neurons through time, forward and back.

Arrays are (steps, rows, channels); a row is one place of one sample, its channels side by side.
A call works on channels `first` to `last` alone. Channels have nothing to do with each other, so
threads share them out. The inner loops run over the channels of a row and use few arrays each: that
is what the compiler can vectorise. Sums are taken in double precision.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["EMITS", "SURROGATES", "Neurons", "advance", "go_back"]

Floats = NDArray[np.floating[Any]]

EMITS = ("fire", "membrane", "distance", "reset", "leak")
"""What a step may put out, by number."""
SURROGATES = ("rectangle", "arctan", "sigmoid", "triangle")
"""The surrogate gradients, by number."""
_FIRE, _MEMBRANE, _DISTANCE, _RESET, _LEAK = range(5)
_RECTANGLE, _ARCTAN, _SIGMOID, _TRIANGLE = range(4)


class Neurons(NamedTuple):
    """What the kernels are told of a layer.

    Attributes:
        alpha: Leak, as are all constants a scalar of the arrays' dtype.
        beta: Offset.
        theta: Threshold.
        v_0: Membrane after a spike.
        emit: Index into `EMITS`.
        surrogate: Index into `SURROGATES`.
        norm: Whether the membrane is normalised by the mean and variance of its step.
        scale: What it is multiplied with then, (channels,).
        shift: What is added after that, (channels,).
        epsilon: Added to the variance.
        shared: Whether several processes have the batch between them. A call does one step then:
            its mean and variance are given, from `gather`, and `go_back` leaves what follows from
            them to `correct`.
    """

    alpha: np.floating[Any]
    beta: np.floating[Any]
    theta: np.floating[Any]
    v_0: np.floating[Any]
    emit: int
    surrogate: int
    norm: bool
    scale: Floats
    shift: Floats
    epsilon: float
    shared: bool


@njit(cache=True, nogil=True, error_model="numpy")
def _integrate(
    currents: Floats, v: Floats, kept: Floats, mean: Floats, var: Floats, epsilon: float
) -> None:
    """Add currents to v, (rows, channels), and keep that less its mean, over its spread."""
    rows, channels = v.shape
    total, square = np.zeros(channels), np.zeros(channels)
    spread = np.empty_like(mean)
    for row in range(rows):
        now, u = currents[row], v[row]
        for c in range(channels):
            here = u[c] + now[c]
            u[c] = here
            total[c] += here
    for c in range(channels):
        mean[c] = total[c] / rows
    for row in range(rows):
        u = v[row]
        for c in range(channels):
            away = u[c] - mean[c]
            square[c] += away * away
    for c in range(channels):
        var[c] = square[c] / rows
        spread[c] = 1 / np.sqrt(var[c] + epsilon)
    for row in range(rows):
        u, keep = v[row], kept[row]
        for c in range(channels):
            keep[c] = (u[c] - mean[c]) * spread[c]


@njit(cache=True, nogil=True, error_model="numpy")
def gather(currents: Floats, v: Floats, sums: NDArray[np.float64], first: int, last: int) -> None:
    """Add the currents of a step to v, (rows, channels), and sum up what that gives.

    Args:
        currents: (rows, channels).
        v: Likewise; written to.
        sums: (2, channels), receives the sum and the sum of squares.
        first: First channel to work on.
        last: The one behind the last.
    """
    channels = last - first
    total, squares = np.zeros(channels), np.zeros(channels)
    for row in range(v.shape[0]):
        now, u = currents[row, first:last], v[row, first:last]
        for c in range(channels):
            here = u[c] + now[c]
            u[c] = here
            wide = np.float64(here)
            total[c] += wide
            squares[c] += wide * wide
    sums[0, first:last] = total
    sums[1, first:last] = squares


@njit(cache=True, nogil=True, error_model="numpy")
def _normalise(v: Floats, kept: Floats, mean: Floats, var: Floats, epsilon: float) -> None:
    """Keep v, (rows, channels), less the mean, over the spread."""
    spread = np.empty_like(mean)
    for c in range(v.shape[1]):
        spread[c] = 1 / np.sqrt(var[c] + epsilon)
    for row in range(v.shape[0]):
        u, keep = v[row], kept[row]
        for c in range(v.shape[1]):
            keep[c] = (u[c] - mean[c]) * spread[c]


@njit(cache=True, nogil=True, error_model="numpy")
def correct(
    g: Floats,
    kept: Floats,
    out: Floats,
    var: Floats,
    sums: NDArray[np.float64],
    rows: int,
    cell: Neurons,
    first: int,
    last: int,
) -> None:
    """Take gradients of one step back through its norm, after `go_back`.

    Args:
        g: Receives the gradients of the membrane before, (rows, channels).
        kept: As `advance` left it, (1, rows, channels).
        out: As `go_back` left it, likewise; receives the gradients of the currents.
        var: As in `advance`.
        sums: (2, channels), what `go_back` added, over all processes.
        rows: Of all processes.
        cell: The neurons.
        first: First channel to work on.
        last: The one behind the last.
    """
    channels = last - first
    factor, by_kept, by_one = np.empty((3, channels), kept.dtype)
    for c in range(channels):
        factor[c] = cell.scale[first + c] / np.sqrt(var[0, first + c] + cell.epsilon)
        by_kept[c] = sums[0, first + c] / rows
        by_one[c] = sums[1, first + c] / rows
    for row in range(g.shape[0]):
        gv, keep, before = out[0, row, first:last], kept[0, row, first:last], g[row, first:last]
        for c in range(channels):
            gv[c] = (gv[c] - by_one[c] - keep[c] * by_kept[c]) * factor[c]
            before[c] = gv[c]


@njit(cache=True, nogil=True, error_model="numpy")
def _emit(u: Floats, cell: Neurons, out: Floats) -> None:
    """Write what a row of membranes `u` puts out."""
    if cell.emit == _FIRE:
        for c in range(u.shape[0]):
            out[c] = 1 if u[c] - cell.theta > 0 else 0
    elif cell.emit == _MEMBRANE:
        for c in range(u.shape[0]):
            out[c] = u[c]
    elif cell.emit == _DISTANCE:
        for c in range(u.shape[0]):
            out[c] = u[c] - cell.theta
    else:
        for c in range(u.shape[0]):
            out[c] = cell.v_0 if u[c] - cell.theta > 0 else u[c]
        if cell.emit == _LEAK:
            for c in range(u.shape[0]):
                out[c] = cell.alpha * out[c] + cell.beta


@njit(cache=True, nogil=True, error_model="numpy")
def _slope(u: Floats, cell: Neurons, out: Floats) -> None:
    """Write the surrogate gradient of a row of membranes `u`."""
    if cell.surrogate == _RECTANGLE:
        for c in range(u.shape[0]):
            out[c] = 1 if abs(u[c] - cell.theta) < 0.5 else 0
    elif cell.surrogate == _ARCTAN:
        for c in range(u.shape[0]):
            out[c] = 1 / (1 + (np.pi * (u[c] - cell.theta)) ** 2)
    elif cell.surrogate == _SIGMOID:
        for c in range(u.shape[0]):
            s = 1 / (1 + np.exp(-4 * (u[c] - cell.theta)))
            out[c] = 4 * s * (1 - s)
    else:
        for c in range(u.shape[0]):
            out[c] = max(1 - abs(u[c] - cell.theta), 0)


@njit(cache=True, nogil=True, error_model="numpy")
def advance(
    currents: Floats,
    v: Floats,
    kept: Floats,
    outputs: Floats,
    mean: Floats,
    var: Floats,
    cell: Neurons,
    first: int,
    last: int,
) -> None:
    """Take neurons through some steps.

    Args:
        currents: Input, (steps, rows, channels).
        v: Membrane before, (rows, channels); afterwards that after the last step.
        kept: Receives what `go_back` needs: the membranes that are held against the threshold, or
            with a norm those before scale and shift.
        outputs: Receives what the neurons put out, before any activation.
        mean: (steps, channels), receives the mean of each step where there is a norm; where the
            batch is shared, tells it.
        var: Likewise the variance, biased.
        cell: The neurons.
        first: First channel to work on.
        last: The one behind the last.
    """
    alpha, beta, theta = cell.alpha, cell.beta, cell.theta
    after = alpha * cell.v_0 + beta  # what a spike leaves
    scale, shift = cell.scale[first:last], cell.shift[first:last]
    channels = last - first
    for step in range(currents.shape[0]):
        if cell.shared:
            _normalise(
                v[:, first:last],
                kept[step, :, first:last],
                mean[step, first:last],
                var[step, first:last],
                cell.epsilon,
            )
        elif cell.norm:
            _integrate(
                currents[step, :, first:last],
                v[:, first:last],
                kept[step, :, first:last],
                mean[step, first:last],
                var[step, first:last],
                cell.epsilon,
            )
        for row in range(currents.shape[1]):
            u, keep = v[row, first:last], kept[step, row, first:last]
            out = outputs[step, row, first:last]
            if cell.norm and cell.emit == _FIRE:  # the usual case, in one loop
                for c in range(channels):
                    here = keep[c] * scale[c] + shift[c]
                    fire = here - theta > 0
                    out[c] = 1 if fire else 0
                    u[c] = after if fire else alpha * here + beta
                continue
            if cell.norm:
                for c in range(channels):
                    u[c] = keep[c] * scale[c] + shift[c]
            else:
                now = currents[step, row, first:last]
                for c in range(channels):
                    here = u[c] + now[c]
                    u[c] = here
                    keep[c] = here
            _emit(u, cell, out)
            for c in range(channels):
                u[c] = after if u[c] - theta > 0 else alpha * u[c] + beta


@njit(cache=True, nogil=True, error_model="numpy")
def go_back(
    gradients: Floats,
    g: Floats,
    kept: Floats,
    out: Floats,
    var: Floats,
    sums: NDArray[np.float64],
    cell: Neurons,
    first: int,
    last: int,
) -> None:
    """Take gradients back through the steps of `advance`.

    Args:
        gradients: Of the outputs, (steps, rows, channels).
        g: Of the membrane after the last step, (rows, channels); afterwards of that before the
            first.
        kept: As `advance` left it.
        out: Receives the gradients of the currents.
        var: As `advance` left it.
        sums: (2, channels), the gradients of scale and shift are added to it.
        cell: The neurons.
        first: First channel to work on.
        last: The one behind the last.
    """
    steps, rows, _ = kept.shape
    channels = last - first
    alpha, theta, v_0 = cell.alpha, cell.theta, cell.v_0
    scale, shift = cell.scale[first:last], cell.shift[first:last]
    u, slope, h, factor, by_kept, by_one = np.empty((6, channels), kept.dtype)
    for step in range(steps - 1, -1, -1):
        along, total = np.zeros(channels), np.zeros(channels)
        # v = x + v before: the gradient of a current is that of the membrane it came to.
        later = g if step == steps - 1 else out[step + 1]
        for row in range(rows):
            gy, keep = gradients[step, row, first:last], kept[step, row, first:last]
            gv, above = out[step, row, first:last], later[row, first:last]
            if cell.norm:
                for c in range(channels):
                    u[c] = keep[c] * scale[c] + shift[c]
            else:
                for c in range(channels):
                    u[c] = keep[c]
            _slope(u, cell, slope)
            # h: of the membrane after reset, which is fire v_0 + (1 - fire) u.
            if cell.emit == _FIRE:
                for c in range(channels):
                    here = alpha * above[c]
                    through = (here * (v_0 - u[c]) + gy[c]) * slope[c]
                    gv[c] = through if u[c] - theta > 0 else here + through
            else:
                for c in range(channels):
                    h[c] = alpha * (above[c] + gy[c]) if cell.emit == _LEAK else alpha * above[c]
                if cell.emit == _RESET:
                    for c in range(channels):
                        h[c] += gy[c]
                for c in range(channels):
                    through = h[c] * (v_0 - u[c]) * slope[c]
                    gv[c] = through if u[c] - theta > 0 else h[c] + through
                if cell.emit in (_MEMBRANE, _DISTANCE):
                    for c in range(channels):
                        gv[c] += gy[c]
            if cell.norm:
                for c in range(channels):
                    total[c] += gv[c]
                    along[c] += gv[c] * keep[c]
        if cell.norm:
            for c in range(channels):
                sums[0, first + c] += along[c]
                sums[1, first + c] += total[c]
        if cell.norm and not cell.shared:
            for c in range(channels):
                factor[c] = scale[c] / np.sqrt(var[step, first + c] + cell.epsilon)
                by_kept[c] = along[c] / rows
                by_one[c] = total[c] / rows
            for row in range(rows):
                gv, keep = out[step, row, first:last], kept[step, row, first:last]
                for c in range(channels):
                    gv[c] = (gv[c] - by_one[c] - keep[c] * by_kept[c]) * factor[c]
    for row in range(rows):
        g[row, first:last] = out[0, row, first:last]
