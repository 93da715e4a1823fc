"""Which neurons a layer has: the description of a leaky integrate-and-fire neuron, without torch.

Source: LynxiTech/BIDL, ``layers/lif.py`` (Apache-2.0); see `models.neurons` for the equation.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from models.choices import offer
from models.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Activation", "Constants", "Emit", "Lif", "Mode", "Sharing", "Surrogate"]

Mode: TypeAlias = Literal["spike", "analog"]
Emit: TypeAlias = Literal["membrane", "distance", "reset", "leak"]
Activation: TypeAlias = Literal["relu", "sigmoid", "tanh", "none"]
Sharing: TypeAlias = Literal["all", "channel"]
Surrogate: TypeAlias = Literal["rectangle", "arctan", "sigmoid", "triangle"]


class Constants(NamedTuple):
    """Leak, offset, threshold and reset of a layer, without unit (membrane scale).

    A float or a tensor of no axis is shared by the whole layer; another tensor must broadcast
    against the membrane (batch, channels, ...): (channels,) or (channels, 1, 1).
    """

    alpha: "float | Tensor" = 0.3
    beta: "float | Tensor" = 0.0
    theta: "float | Tensor" = 0.5
    v_0: "float | Tensor" = 0.0


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
