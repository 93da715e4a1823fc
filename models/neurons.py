"""The leaky integrate-and-fire neuron of Lynxi's BIDL framework, as a pure function.

One time step, with input current ``x``, membrane ``v`` and the constants of `Lif`::

    v    = v + x                            integrate
    v    = norm(v)                          where the layer has one: BatchNorm on the *membrane*
    fire = 1 if v - theta > 0 else 0        strict: v == theta does not fire
    y    = fire  or  activation(v)          spike mode, analog mode (`Lif.emit` names which v)
    v    = fire * v_0 + (1 - fire) * v      reset
    v    = alpha * v + beta                 leak

Source: LynxiTech/BIDL, ``layers/lif.py`` (Apache-2.0); the equation alone is taken from there.
The state of a neuron is its membrane after the leak; a new recording starts from zeros.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from models.lif import Activation, Constants, Lif
from models.surrogates import spike

__all__ = ["lif_step"]

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "none": lambda v: v,
}


def lif_step(
    x: Tensor,
    v: Tensor,
    lif: Lif,
    constants: Constants | None = None,
    norm: Callable[[Tensor], Tensor] | None = None,
    training: bool = False,
) -> tuple[Tensor, Tensor]:
    """Advance a layer of neurons by one time step (equation above).

    Args:
        x: Input current, (batch, channels, ...), floating point.
        v: Membrane left by the step before, same shape and dtype; zeros at the start.
        lif: The kind of neuron.
        constants: Leak, threshold and reset where they are tensors; None takes those of `lif`.
        norm: Normalisation of the membrane, or None.
        training: Whether noise is added; drawn from torch's global generator.

    Returns:
        The output and the new membrane, both like `x`. No argument is written to.
    """
    alpha, beta, theta, v_0 = constants or lif.constants
    v = x + v
    if norm is not None:
        v = norm(v)
    normalised = v
    if training and lif.noise > 0:
        v = v + _noise(v.detach(), lif.noise)
    distance = v - theta
    fire = spike(distance, lif.surrogate)
    reset = fire * v_0 + (1 - fire) * v
    leak = alpha * reset + beta
    if lif.mode == "spike":
        return fire, leak
    emitted = {"membrane": normalised, "distance": distance, "reset": reset, "leak": leak}
    return _ACTIVATIONS[lif.activation](emitted[lif.emit]), leak


def _noise(v: Tensor, scale: float) -> Tensor:
    """Return noise as wide as the spread of the membrane.

    That is over the spatial axes of each sample and channel; where there are none, over the batch
    and all channels, as in BIDL. One value alone has no spread.
    """
    axes = tuple(range(2, v.ndim)) or (0, 1)
    if math.prod(v.shape[axis] for axis in axes) == 1:
        return torch.zeros_like(v)
    return torch.randn_like(v) * v.std(axes, keepdim=True) * scale
