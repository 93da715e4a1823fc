"""The leaky integrate-and-fire neuron of SpikingJelly, which the spike-driven transformer has.

One time step, with input ``x``, membrane ``v`` and the constants of `TauLif`::

    v    = v + (x - v) / tau        leak towards the input
    fire = 1 if v >= theta else 0   not strict, unlike BIDL's
    v    = (1 - fire) * v           hard reset to 0

The reset passes no gradient on (``detach_reset`` in SpikingJelly), the spike its surrogate's.
Source: SpikingJelly's ``LIFNode`` (Fang et al., "SpikingJelly: An open-source machine learning
infrastructure platform for spike-based intelligence", Science Advances 2023) as Meta-SpikeFormer
uses it; the equation alone is taken from there. A new recording starts from zeros.
"""

import math
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from models.choices import offer
from models.errors import ModelError
from models.lif import Surrogate
from models.surrogates import spike

__all__ = ["TauLif", "TauLifLayer", "tau_lif_step"]


@dataclass(frozen=True)
class TauLif:
    """Which neurons a layer has; a JSON-ready description, no tensors.

    Attributes:
        tau: Time constant, in steps, at least 1.
        theta: Threshold, above 0.
        surrogate: Gradient of the spike, see `models.surrogates`; SpikingJelly's is ``sigmoid``.

    Raises:
        ModelError: A value is out of range.
    """

    tau: float = 2.0
    theta: float = 1.0
    surrogate: Surrogate = "sigmoid"

    def __post_init__(self) -> None:
        """Refuse values that no neuron has."""
        for option in ("tau", "theta"):
            value = getattr(self, option)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ModelError(f"{option} must be a finite number, got {value!r}")
        if self.tau < 1:
            raise ModelError(f"tau must be at least 1 step, got {self.tau}")
        if self.theta <= 0:
            raise ModelError(f"theta must be above 0, got {self.theta}")
        if self.surrogate not in get_args(Surrogate):
            raise ModelError(
                f"surrogate must be one of the choices, got {self.surrogate!r}; "
                f"{offer(str(self.surrogate), get_args(Surrogate))}"
            )


def tau_lif_step(x: Tensor, v: Tensor, lif: TauLif) -> tuple[Tensor, Tensor]:
    """Advance a layer of neurons by one time step (equation above).

    Args:
        x: Input, any shape, floating point.
        v: Membrane left by the step before, same shape and dtype; zeros at the start.
        lif: The kind of neuron.

    Returns:
        The spikes (0 or 1) and the new membrane, both like `x`. No argument is written to.
    """
    v = v + (x - v) / lif.tau
    # `spike` fires strictly above 0: at the threshold it does not say that v is below it.
    fire = 1 - spike(lif.theta - v, lif.surrogate)
    return fire, (1 - fire.detach()) * v


class TauLifLayer(nn.Module):
    """Neurons on a map (batch, time, channels, height, width), fed directly.

    Args:
        channels: Channels of the map.
        lif: The kind of neuron.
    """

    def __init__(self, channels: int, lif: TauLif | None = None) -> None:
        super().__init__()
        self.channels = channels
        self.lif = lif or TauLif()

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Advance over x (batch, time, ...), at least one step.

        Args:
            x: Input of the steps.
            v: Membrane left by the step before, (batch, ...); not written to.

        Returns:
            The spikes (batch, time, ...) and the membrane after the last step.
        """
        outputs = []
        for now in x.unbind(1):
            y, v = tau_lif_step(now, v, self.lif)
            outputs.append(y)
        return torch.stack(outputs, 1), v
