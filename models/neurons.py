"""The leaky integrate-and-fire neuron of Lynxi's BIDL framework, as a pure function.

One time step, with input current ``x``, membrane ``v`` and the parameters of `LifParameters`::

    v    = v + x                            integrate
    v    = norm(v)                          where the layer has one: BatchNorm on the *membrane*
    fire = 1 if v - theta > 0 else 0        strict: v == theta does not fire
    y    = fire  or  relu(v)                spike mode, analog mode
    v    = fire * v_0 + (1 - fire) * v      reset
    v    = alpha * v + beta                 leak

Source: LynxiTech/BIDL, ``layers/lif.py`` (Apache-2.0); the equation alone is taken from there.
The state of a neuron is its membrane after the leak; a new recording starts from zeros.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

__all__ = ["LifParameters", "Mode", "lif_step", "spike"]

Mode = Literal["spike", "analog"]


class LifParameters(NamedTuple):
    """Parameters of a layer of neurons, without unit (membrane scale).

    A float is shared by the whole layer (BIDL's ``all_share``); a tensor must broadcast against
    the membrane, e.g. (channels, 1, 1) for one value per channel, and may be learnable.
    """

    alpha: float | Tensor = 0.3
    beta: float | Tensor = 0.0
    theta: float | Tensor = 0.5
    v_0: float | Tensor = 0.0


class _Spike(torch.autograd.Function):
    """Heaviside step forward, rectangle of width 1 and height 1 backward."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        """Fire where the distance is positive."""
        ctx.save_for_backward(distance)
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Pass the gradient where the membrane is within 0.5 of the threshold."""
        (distance,) = ctx.saved_tensors
        passed: Tensor = gradients[0] * (distance.abs() < 0.5)
        return passed


def spike(distance: Tensor) -> Tensor:
    """Fire strictly above the threshold.

    Args:
        distance: Membrane minus threshold, any shape, floating point.

    Returns:
        1 where ``distance > 0`` else 0, same shape and dtype. Its surrogate gradient is 1 where
        ``|distance| < 0.5`` and 0 elsewhere (the rectangle of BIDL).
    """
    fired: Tensor = _Spike.apply(distance)  # type: ignore[no-untyped-call]
    return fired


def lif_step(
    x: Tensor,
    v: Tensor,
    parameters: LifParameters,
    mode: Mode = "spike",
    norm: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Advance a layer of neurons by one time step (equation above).

    Args:
        x: Input current, (batch, ...), floating point.
        v: Membrane left by the step before, same shape and dtype; zeros at the start.
        parameters: Leak, threshold and reset.
        mode: What is put out: spikes (0 or 1), or the rectified membrane.
        norm: Normalisation of the membrane, or None.

    Returns:
        The output and the new membrane, both like `x`. No argument is written to.
    """
    alpha, beta, theta, v_0 = parameters
    v = x + v
    if norm is not None:
        v = norm(v)
    fire = spike(v - theta)
    y = fire if mode == "spike" else torch.relu(v)
    v = fire * v_0 + (1 - fire) * v
    return y, alpha * v + beta
