"""BatchNorm over a batch of which each of several processes has a part, as one operation."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.peers import Peers

__all__ = ["shared_norm"]


def shared_norm(
    x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, peers: Peers
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each channel by its mean and variance over all processes.

    Sums are taken in double precision: how the batch is dealt out hardly shows.

    Args:
        x: This process's part, (batch, channels, ...); as large in every process.
        weight: Scale of each channel, (channels,).
        bias: Shift of each channel, likewise.
        epsilon: Added to the variance.
        peers: The processes.

    Returns:
        The normalised part, and mean and unbiased variance of the whole batch, (channels,). The
        gradients of weight and bias are those of this process's part: to be added up, as are all.
    """
    y, mean, var = _Normalise.apply(x, weight, bias, epsilon, peers)  # type: ignore[no-untyped-call]
    return y, mean, var


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float, peers: Peers
    ) -> tuple[Tensor, Tensor, Tensor]:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
        count = x.numel() // x.shape[1] * peers.count
        total = x.sum(axes, dtype=torch.float64)
        squares = torch.linalg.vector_norm(x, 2, axes, dtype=torch.float64).square()
        total, squares = peers.sum(torch.stack([total, squares])).unbind()
        mean = total / count
        var = (squares / count - mean.square()).clamp(min=0)
        spread = (var + epsilon).rsqrt().to(weight.dtype)
        kept = (x.to(weight.dtype) - mean.to(weight.dtype).view(shape)) * spread.view(shape)
        ctx.save_for_backward(kept, weight, spread)
        ctx.peers, ctx.axes, ctx.shape, ctx.count, ctx.dtype = peers, axes, shape, count, x.dtype
        y = torch.addcmul(bias.view(shape), kept, weight.view(shape)).to(x.dtype)
        var = var * count / max(count - 1, 1)
        mean, var = mean.to(weight.dtype), var.to(weight.dtype)
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept, weight, spread = ctx.saved_tensors
        g = gradients[0].to(weight.dtype)
        total = g.sum(ctx.axes, dtype=torch.float64)
        along = (g * kept).sum(ctx.axes, dtype=torch.float64)
        g_weight, g_bias = along.to(weight.dtype), total.to(weight.dtype)
        total, along = (ctx.peers.sum(torch.stack([total, along])) / ctx.count).to(g.dtype).unbind()
        g = g - total.view(ctx.shape) - kept * along.view(ctx.shape)
        g_x = g * (weight * spread).view(ctx.shape)
        return g_x.to(ctx.dtype), g_weight, g_bias, None, None
