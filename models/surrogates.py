"""Surrogate gradients: a spike is a step, its gradient is taken from a smooth neighbour.

With ``d`` the membrane minus the threshold, the gradient of the spike is::

    rectangle   1 where |d| < 0.5, else 0                (BIDL's, the default)
    arctan      1 / (1 + (pi d)^2)
    sigmoid     4 s (1 - s), s = 1 / (1 + exp(-4 d))
    triangle    max(0, 1 - |d|)

All have height 1 at the threshold and area 1.
Sources: LynxiTech/BIDL ``layers/gradient_approx.py``; Fang et al., "Incorporating Learnable
Membrane Time Constant", ICCV 2021 (arctan); Esser et al., PNAS 2016 (triangle).
"""

from typing import Any

import torch
from torch import Tensor

from models.lif import Surrogate

__all__ = ["spike", "surrogate_gradient"]


def surrogate_gradient(distance: Tensor, kind: Surrogate) -> Tensor:
    """Return the gradient of the spike at each distance, same shape and dtype."""
    if kind == "rectangle":
        return (distance.abs() < 0.5).to(distance.dtype)
    if kind == "arctan":
        return 1 / (1 + (torch.pi * distance) ** 2)
    if kind == "sigmoid":
        s = torch.sigmoid(4 * distance)
        return 4 * s * (1 - s)
    return (1 - distance.abs()).clamp(min=0)


class _Spike(torch.autograd.Function):
    """Heaviside step forward, surrogate backward."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, kind: Surrogate) -> Tensor:
        """Fire where the distance is positive."""
        ctx.save_for_backward(distance)
        ctx.kind = kind
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Pass the gradient on, times the surrogate's."""
        (distance,) = ctx.saved_tensors
        return gradients[0] * surrogate_gradient(distance, ctx.kind), None


def spike(distance: Tensor, kind: Surrogate = "rectangle") -> Tensor:
    """Fire strictly above the threshold.

    Args:
        distance: Membrane minus threshold, any shape, floating point.
        kind: Its surrogate gradient.

    Returns:
        1 where ``distance > 0`` else 0, same shape and dtype.
    """
    fired: Tensor = _Spike.apply(distance, kind)  # type: ignore[no-untyped-call]
    return fired
