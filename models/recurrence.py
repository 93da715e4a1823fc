"""Neurons through time as one function: what training runs on a processor.

Back-propagation through time keeps what each operation of each step left. Here the map before the
neurons, the normalisation of the membrane and the neurons are one operation, which keeps its input
and one number a neuron and step: the membrane before scale and shift. All else, spikes, surrogate
gradients, resets, is found again from that on the way back, which is written by hand.

Time goes in stretches of a few steps: their currents are made, used up and forgotten while they are
still in the processor's cache. The numbers are those of `models.neurons.lif_step` in a loop, but
for the order of sums.
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models import recurrence_kernel as kernel
from models.lif import Lif
from models.peers import ALONE, Peers
from models.products import Product

__all__ = ["StepStatistics", "through_time"]

STRETCH_BYTES = 8 << 20
"""Size of the largest array of a stretch of steps: small enough to stay in the cache."""
_THREAD_CHANNELS = 16
"""A thread has a multiple of this many channels, so that no two write to one line of the cache."""
_THREAD_WORK = 1 << 15
"""Numbers in a stretch below which a second thread is not worth its start."""

_Run: TypeAlias = Callable[..., None]


class StepStatistics(NamedTuple):
    """Mean and unbiased variance of the membrane at each step, (steps, channels)."""

    mean: Tensor
    var: Tensor


class _Plan(NamedTuple):
    """What is not trained."""

    product: Product
    lif: Lif
    epsilon: float | None
    autocast: torch.dtype | None
    peers: Peers

    @property
    def shared(self) -> bool:
        """Whether a step waits for other processes, to normalise with them."""
        return self.epsilon is not None and self.peers.count > 1


def through_time(
    x: Tensor,
    v: Tensor,
    lif: Lif,
    product: nn.Conv2d | nn.Linear | None = None,
    norm: nn.BatchNorm1d | nn.BatchNorm2d | None = None,
    peers: Peers = ALONE,
) -> tuple[Tensor, Tensor, StepStatistics]:
    """Take a layer of neurons through all steps of x.

    Args:
        x: Input of the steps, (batch, time, ...), on the processor.
        v: Membrane left by the step before, (batch, channels, ...); its dtype is computed in.
        lif: The kind of neuron, with its constants; no noise is added.
        product: What turns input into current; None: the input is the current.
        norm: Normalises the membrane by the statistics of each step; it must have weight and bias.
            Its running statistics are not touched.
        peers: The processes that have the batch between them.

    Returns:
        The outputs (batch, time, channels, ...), the last membrane, and the statistics of each
        step, without meaning where there is no `norm`. Memory is time first, channels last.
    """
    plan = _Plan(
        Product(product),
        lif,
        None if norm is None else norm.eps,
        torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None,
        peers,
    )
    weight, bias = (None, None) if product is None else (product.weight, product.bias)
    scale, shift = (None, None) if norm is None else (norm.weight, norm.bias)
    y, last, mean, var = _ThroughTime.apply(  # type: ignore[no-untyped-call]
        x.transpose(0, 1), v, weight, bias, scale, shift, plan
    )
    if lif.mode == "analog":
        y = _ACTIVATE[lif.activation](y)
    y = y.movedim(-1, 2).transpose(0, 1)
    count = v.numel() // v.shape[1] * peers.count
    return y, last.movedim(-1, 1), StepStatistics(mean, var * count / max(count - 1, 1))


# In place: what comes before does not need its output again.
_ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
    "none": lambda y: y,
}


class _ThroughTime(torch.autograd.Function):
    """Input is (time, batch, channels, ...); what is put out has its channels last."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        v: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        scale: Tensor | None,
        shift: Tensor | None,
        plan: _Plan,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Advance stretch by stretch."""
        steps = len(x)
        shape = (len(v), *v.shape[2:], v.shape[1])
        membrane, y = v.new_empty(shape), _empty(v, steps, *shape)
        membrane.copy_(v.movedim(1, -1))
        state = membrane.flatten(0, -2)
        rows, channels = state.shape
        outputs, kept = y.view(steps, rows, channels), _empty(v, steps, rows, channels)
        mean, var = v.new_empty(steps, channels), v.new_empty(steps, channels)
        cell = _neurons(plan, v, scale, shift)
        stretch = _stretch(x, v)
        with _threads(stretch, rows, channels) as run, torch.autocast("cpu", enabled=False):
            for at in _slices(steps, stretch):
                current = plan.product.forward(
                    x[at].flatten(0, 1), weight, bias, v.dtype, plan.autocast
                )
                currents = _rows(current).view(-1, rows, channels)
                arrays = (currents, state, kept[at], outputs[at], mean[at], var[at])
                if plan.shared:
                    _advance_together(run, plan.peers, arrays, cell)
                else:
                    run(kernel.advance, *(a.numpy() for a in arrays), cell)
        # Without a map the input is not needed again, only its shape.
        held = x.new_empty(()).expand(x.shape) if weight is None else x
        ctx.save_for_backward(held, v, weight, bias, scale, shift, kept, var)
        ctx.plan = plan
        ctx.mark_non_differentiable(mean, var)
        return y, membrane, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Go back stretch by stretch."""
        x, v, weight, bias, scale, shift, kept, var = ctx.saved_tensors
        plan: _Plan = ctx.plan
        wants = ctx.needs_input_grad
        gy, last = gradients[:2]
        steps, rows, channels = kept.shape
        g = last.reshape(rows, channels).clone()
        sums = np.zeros((2, channels))
        cell = _neurons(plan, v, scale, shift)
        g_x = _like(x) if wants[0] else None
        g_weight = torch.zeros_like(weight) if wants[2] else None
        g_bias = torch.zeros_like(bias) if wants[3] else None
        stretch = _stretch(x, v)
        current = v.new_empty(stretch, rows, channels)
        with _threads(stretch, rows, channels) as run, torch.autocast("cpu", enabled=False):
            for at in reversed(_slices(steps, stretch)):
                now = kept[at]
                out = current[: len(now)]
                above = gy[at].reshape(now.shape).contiguous()
                arrays = (above, g, now, out, var[at])
                if plan.shared:
                    _go_back_together(run, plan.peers, arrays, sums, cell)
                else:
                    run(kernel.go_back, *(a.numpy() for a in arrays), sums, cell)
                g_now = out.view(-1, *v.shape[2:], channels).movedim(-1, 1)
                into = None if g_x is None else g_x[at]
                plan.product.backward(g_now, x[at], weight, plan.autocast, into, g_weight, g_bias)
        g_v = g.view(len(v), *v.shape[2:], channels).movedim(-1, 1) if wants[1] else None
        g_scale, g_shift = torch.from_numpy(sums).to(v.dtype).unbind()
        return (
            g_x,
            g_v,
            g_weight,
            g_bias,
            g_scale if wants[4] else None,
            g_shift if wants[5] else None,
            None,
        )


def _advance_together(
    run: _Run, peers: Peers, arrays: tuple[Tensor, ...], cell: kernel.Neurons
) -> None:
    """Do what `kernel.advance` does, each step normalised by the batch of all processes."""
    currents, state, kept, outputs, mean, var = arrays
    rows, channels = state.shape
    sums = torch.empty(2, channels, dtype=torch.float64)
    for step in range(len(currents)):
        run(kernel.gather, currents[step].numpy(), state.numpy(), sums.numpy())
        total, squares = peers.sum(sums) / (rows * peers.count)
        mean[step] = total
        var[step] = (squares - total.square()).clamp(min=0)
        now = slice(step, step + 1)
        given = (currents[now], state, kept[now], outputs[now], mean[now], var[now])
        run(kernel.advance, *(a.numpy() for a in given), cell)


def _go_back_together(
    run: _Run,
    peers: Peers,
    arrays: tuple[Tensor, ...],
    sums: NDArray[np.float64],
    cell: kernel.Neurons,
) -> None:
    """Do what `kernel.go_back` does, likewise."""
    above, g, kept, out, var = arrays
    for step in reversed(range(len(kept))):
        now, here = slice(step, step + 1), np.zeros_like(sums)
        given = (above[now], g, kept[now], out[now], var[now])
        run(kernel.go_back, *(a.numpy() for a in given), here, cell)
        sums += here  # of this process alone, as all gradients of weights are
        peers.sum(torch.from_numpy(here))
        there = (g, kept[now], out[now], var[now])
        run(kernel.correct, *(a.numpy() for a in there), here, len(g) * peers.count, cell)


def _rows(x: Tensor) -> Tensor:
    """Lay (n, channels, ...) out as (rows, channels); a view where the memory is so already."""
    return x.detach().movedim(1, -1).reshape(-1, x.shape[1]).contiguous()


def _like(x: Tensor) -> Tensor:
    """Return memory for (time, batch, channels, ...), channels last."""
    time, batch, channels, *place = x.shape
    return _empty(x, time, batch, *place, channels).movedim(-1, 2)


def _empty(like: Tensor, *shape: int) -> Tensor:
    """Return memory from NumPy, which asks the kernel for huge pages where it is much.

    Touching new memory in small pages costs more than the neurons' arithmetic.
    """
    if like.dtype not in (torch.float32, torch.float64):
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, like.new_empty(0).numpy().dtype))


def _neurons(plan: _Plan, v: Tensor, scale: Tensor | None, shift: Tensor | None) -> kernel.Neurons:
    """Tell the kernels what they need to know."""
    lif, number = plan.lif, v.new_empty(0).numpy().dtype.type
    emit = "fire" if lif.mode == "spike" else lif.emit
    scale = v.new_empty(0) if scale is None else scale.detach()
    shift = v.new_empty(0) if shift is None else shift.detach()
    return kernel.Neurons(
        number(lif.alpha),
        number(lif.beta),
        number(lif.theta),
        number(lif.v_0),
        kernel.EMITS.index(emit),
        kernel.SURROGATES.index(lif.surrogate),
        plan.epsilon is not None,
        scale.numpy(),
        shift.numpy(),
        plan.epsilon or 0.0,
        plan.shared,
    )


def _stretch(x: Tensor, v: Tensor) -> int:
    """Return how many steps are taken at once."""
    largest = max(x[0].numel(), v.numel()) * v.element_size()
    return min(len(x), max(1, STRETCH_BYTES // largest))


def _slices(steps: int, stretch: int) -> list[slice]:
    return [slice(begin, begin + stretch) for begin in range(0, steps, stretch)]


@contextmanager
def _threads(stretch: int, rows: int, channels: int) -> Generator[_Run, None, None]:
    """Give a function that runs a kernel, its channels shared out to as many threads as torch has.

    The threads are our own, since Numba's would wait, spinning, in the way of torch's.
    """
    groups = -(-channels // _THREAD_CHANNELS)
    count = min(torch.get_num_threads(), groups)
    if stretch * rows * channels < _THREAD_WORK:
        count = 1
    bounds = [min(channels, _THREAD_CHANNELS * (groups * i // count)) for i in range(count + 1)]
    if count == 1:
        yield lambda function, *arguments: function(*arguments, 0, channels)
        return
    with ThreadPoolExecutor(count - 1) as pool:

        def run(function: _Run, *arguments: Any) -> None:
            others = [
                pool.submit(function, *arguments, first, last)
                for first, last in pairwise(bounds[1:])
            ]
            function(*arguments, 0, bounds[1])
            for other in others:
                other.result()

        yield run
