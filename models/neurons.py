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
from models.peers import ALONE, Peers
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
    peers: Peers = ALONE,
) -> tuple[Tensor, Tensor]:
    """Advance a layer of neurons by one time step (equation above).

    Args:
        x: Input current, (batch, channels, ...), floating point.
        v: Membrane left by the step before, same shape and dtype; zeros at the start.
        lif: The kind of neuron.
        constants: Leak, threshold and reset where they are tensors; None takes those of `lif`.
        norm: Normalisation of the membrane, or None.
        training: Whether noise is added; drawn from torch's global generator.
        peers: The processes that have the batch between them.

    Returns:
        The output and the new membrane, both like `x`. No argument is written to.
    """
    alpha, beta, theta, v_0 = constants or lif.constants
    v = x + v
    if norm is not None:
        v = norm(v)
    normalised = v
    if training and lif.noise > 0:
        v = v + _noise(v.detach(), lif.noise, peers)
    distance = v - theta
    fire = spike(distance, lif.surrogate)
    reset = fire * v_0 + (1 - fire) * v
    leak = alpha * reset + beta
    if lif.mode == "spike":
        return fire, leak
    emitted = {"membrane": normalised, "distance": distance, "reset": reset, "leak": leak}
    return _ACTIVATIONS[lif.activation](emitted[lif.emit]), leak


def _noise(v: Tensor, scale: float, peers: Peers) -> Tensor:
    """Return noise as wide as the spread of the membrane.

    That is over the spatial axes of each sample and channel; where there are none, over the batch
    and all channels, as in BIDL. One value alone has no spread.
    """
    axes = tuple(range(2, v.ndim)) or (0, 1)
    if math.prod(v.shape[axis] for axis in axes) * (1 if v.ndim > 2 else peers.count) == 1:
        return torch.zeros_like(v)
    if peers.count == 1:
        return torch.randn_like(v) * v.std(axes, keepdim=True) * scale
    spread = v.std(axes, keepdim=True) if v.ndim > 2 else _spread(v, peers)
    return peers.mine(torch.randn_like(peers.whole_like(v))) * spread * scale


def _spread(v: Tensor, peers: Peers) -> Tensor:
    """Return the standard deviation of all numbers of all processes."""
    count = v.numel() * peers.count
    mean = peers.sum(v.sum(dtype=torch.float64)) / count
    squares = peers.sum((v - mean).square().sum(dtype=torch.float64))
    return (squares / (count - 1)).sqrt().to(v.dtype)
