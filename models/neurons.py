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
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from models.choices import offer
from models.errors import ModelError
from models.surrogates import Surrogate, spike

__all__ = ["Activation", "Constants", "Emit", "Lif", "Mode", "Sharing", "lif_step"]

Mode: TypeAlias = Literal["spike", "analog"]
Emit: TypeAlias = Literal["membrane", "distance", "reset", "leak"]
Activation: TypeAlias = Literal["relu", "sigmoid", "tanh", "none"]
Sharing: TypeAlias = Literal["all", "channel"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "none": lambda v: v,
}


class Constants(NamedTuple):
    """Leak, offset, threshold and reset of a layer, without unit (membrane scale).

    A float or a tensor of no axis is shared by the whole layer; another tensor must broadcast
    against the membrane (batch, channels, ...): (channels,) or (channels, 1, 1).
    """

    alpha: float | Tensor = 0.3
    beta: float | Tensor = 0.0
    theta: float | Tensor = 0.5
    v_0: float | Tensor = 0.0


@dataclass(frozen=True)
class Lif:
    """Which neurons a layer has; a JSON-ready description, no tensors.

    Attributes:
        mode: What is put out: spikes (0 or 1), or the membrane through `activation`.
        alpha: Leak: what is left of the membrane after a step.
        beta: Added to the membrane after the leak.
        theta: Threshold.
        v_0: Membrane after a spike, before the leak.
        sharing: ``all``: one value of each constant a layer; ``channel``: one a channel.
        learnable: Whether the constants are trained.
        surrogate: Gradient of the spike, see `models.surrogates`.
        emit: Which membrane analog mode puts out: normalised (``membrane``), that minus theta
            (``distance``), after reset, or after leak.
        activation: What analog mode puts it through.
        noise: In training, this share of the membrane's spread (standard deviation over the
            axes behind the channel, per sample and channel; over everything where there are no
            such axes) is added as Gaussian noise, behind the norm. The ``membrane`` that analog
            mode puts out is the one before it.

    Raises:
        ModelError: A value is none of the choices, no finite number, or noise is negative.
    """

    mode: Mode = "spike"
    alpha: float = 0.3
    beta: float = 0.0
    theta: float = 0.5
    v_0: float = 0.0
    sharing: Sharing = "all"
    learnable: bool = False
    surrogate: Surrogate = "rectangle"
    emit: Emit = "membrane"
    activation: Activation = "relu"
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that no neuron has."""
        choices = {
            "mode": Mode,
            "sharing": Sharing,
            "surrogate": Surrogate,
            "emit": Emit,
            "activation": Activation,
        }
        for option, kind in choices.items():
            value = getattr(self, option)
            if value not in get_args(kind):
                raise ModelError(
                    f"{option} must be one of the choices, got {value!r}; "
                    f"{offer(str(value), get_args(kind))}"
                )
        for option in (*Constants._fields, "noise"):
            value = getattr(self, option)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ModelError(f"{option} must be a finite number, got {value!r}")
        if not isinstance(self.learnable, bool):
            raise ModelError(f"learnable must be true or false, got {self.learnable!r}")
        if self.noise < 0:
            raise ModelError(f"noise must be at least 0, got {self.noise}")

    @property
    def constants(self) -> Constants:
        """The constants as floats."""
        return Constants(self.alpha, self.beta, self.theta, self.v_0)

    def but(self, **changes: Any) -> "Lif":
        """Return the same neurons with some options changed."""
        return replace(self, **changes)


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
