"""One time step of a network in the chip's operators: what is compiled, and what the emulator runs.

A layer of neurons is: load the membrane, add the input, BatchNorm, ``cmpandfire``,
``resetwithdecay``, save. SpikingJelly's neurons fire at the threshold already and the chip's only
above it, so they get the next lower number for a threshold: the same, in that arithmetic.

The module itself remembers nothing: membranes are kept under the names of the network's state, the
running mean of the output under ``mean``.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.ka200.compiled import Layout
from models.ka200.lowered import features, logits, prepared
from models.ka200.operators import cmpandfire, load, resetwithdecay, save
from models.layers import LifLayer, Normalise
from models.lif import Constants
from models.network import Network
from models.tau_lif import TauLifLayer

__all__ = ["MEAN", "ChipModule"]

MEAN = "mean"
"""The flag of the running mean."""


class ChipModule(nn.Module):
    """A step: frame (batch, channels, height, width) -> outputs (batch, features or classes).

    With the layout ``nhwc`` it takes frames (batch, height, width, channels).

    ``.to(torch.float16)`` makes it what the chip computes.

    Args:
        network: It is copied.
        mean_steps: None: what each step puts out, as `Network.step`. Otherwise the chip keeps the
            mean, ``mean += out / mean_steps``, and the class logits of that are put out. So many
            steps after a reset it is whole.
        arithmetic: Type in which it will be computed: of this the threshold is a number.
        layout: Of the frames that it takes.

    Attributes:
        network: What it computes, see `models.ka200.lowered.prepared`.
        watch: Where set, called for each layer of neurons with its name, output and membrane.

    Raises:
        ModelError: The network cannot run on the chip, or has no mean to keep.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        network: Network[Any],
        mean_steps: int | None = None,
        arithmetic: torch.dtype = torch.float16,
        layout: Layout = "nchw",
    ) -> None:
        super().__init__()
        if mean_steps is not None and network.take == "last":
            raise ModelError(
                f"{network.name}: its last step decides, so there is no mean to keep on the chip;"
                " leave --mean out"
            )
        self.network = prepared(network)
        self.mean_steps = mean_steps
        self.watch: Callable[[str, Tensor, Tensor], None] | None = None
        self._arithmetic, self._channels_last = arithmetic, layout == "nhwc"
        scaled = isinstance(network.normalise, Normalise)
        for name in ("mean", "std"):
            values = network.options[name] if scaled else None
            tensor = None if values is None else torch.tensor(values, dtype=network.dtype)
            shaped = None if tensor is None else tensor.to(network.device)[:, None, None]
            self.register_buffer(name, shaped, persistent=False)

    def forward(self, frame: Tensor) -> Tensor:
        """Advance one step; what is kept is that of the `ChipMemory` in use."""
        network = self.network
        x = frame.to(network.dtype)
        if self._channels_last:
            x = x.permute(0, 3, 1, 2)
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        y = features(network, x, self._fire)
        if network.head == "per_step":
            y = logits(network, y)
        if self.mean_steps is None:
            return y
        y = load(torch.zeros_like(y), MEAN) + y / self.mean_steps
        save(y, MEAN)
        return y if network.head == "per_step" else logits(network, y)

    def _fire(self, name: str, layer: nn.Module, x: Tensor) -> Tensor:
        if isinstance(layer, TauLifLayer):
            y, v = self._tau_lif(name, layer, x)
        else:
            assert isinstance(layer, LifLayer)
            y, v = self._lif(name, layer, x)
        save(v, name)
        if self.watch is not None:
            self.watch(name, y, v)
        return y

    def _lif(self, name: str, layer: LifLayer, x: Tensor) -> tuple[Tensor, Tensor]:
        """Do what `models.neurons.lif_step` does."""
        lif, product = layer.lif, layer.product
        x = x if product is None else product(x)
        v = x + load(torch.zeros_like(x), name)
        if layer.norm is not None:
            v = layer.norm(v)
        alpha, beta, theta, v_0 = _numbers(layer.constants)
        if lif.mode == "spike":
            return cmpandfire(v, theta), resetwithdecay(v, theta, v_0, alpha, beta)
        reset = resetwithdecay(v, theta, v_0, 1.0, 0.0)
        leak = alpha * reset + beta
        emitted = {"membrane": v, "reset": reset, "leak": leak}
        y = v - theta if lif.emit == "distance" else emitted[lif.emit]
        return (y if lif.activation == "none" else getattr(torch, lif.activation)(y)), leak

    def _tau_lif(self, name: str, layer: TauLifLayer, x: Tensor) -> tuple[Tensor, Tensor]:
        """Do what `models.tau_lif.tau_lif_step` does."""
        v = load(torch.zeros_like(x), name)
        v = v + (x - v) / layer.lif.tau
        below = _next_below(layer.lif.theta, self._arithmetic)
        return cmpandfire(v, below), resetwithdecay(v, below, 0.0, 1.0, 0.0)


def _numbers(constants: Constants) -> tuple[float, float, float, float]:
    alpha, beta, theta, v_0 = map(float, constants)
    return alpha, beta, theta, v_0


def _next_below(theta: float, dtype: torch.dtype) -> float:
    """Return the largest number of a type below a threshold, rounded to that type."""
    kind = torch.empty(0, dtype=dtype, device="cpu").numpy().dtype.type
    return float(np.nextafter(kind(theta), kind(-math.inf)))
