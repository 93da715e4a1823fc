"""Layers: neurons with a map before them, and maps without neurons.

A network is written once, over (batch, time, ...): one step is a stretch of one. What remembers
nothing runs over all steps at once, with time folded into the batch; only neurons go through time,
and take and give their membrane: ``layer(x, v) -> (y, v)``.

BatchNorm in training takes the statistics of each step by itself, in order, as the reference does,
whose networks see one step at a time.
"""

import torch
from torch import Tensor, nn

from models.neurons import Constants, Lif, lif_step

__all__ = ["Conv2dLif", "FcLif", "Lif2d", "LifLayer", "Normalise", "StepNorm2d", "each_step"]


def each_step(module: nn.Module, x: Tensor) -> Tensor:
    """Apply a module without memory to every step of x (batch, time, ...)."""
    y: Tensor = module(x.flatten(0, 1))
    return y.view(*x.shape[:2], *y.shape[1:])


class StepNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over (batch, time, channels, height, width), each step by its own statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise every step; in training the running statistics take the steps in order."""
        if not self.training:
            y: Tensor = super().forward(input.flatten(0, 1))
            return y.view(input.shape)
        return torch.stack([super(StepNorm2d, self).forward(now) for now in input.unbind(1)], 1)


class Normalise(nn.Module):
    """Fixed scaling of the input: (x - mean) / std for each channel.

    Args:
        mean: One value a channel, in the unit of the input (0 to 255 for pictures of bytes).
        std: Likewise; not 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: "list[float]", std: "list[float]") -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scale x (..., channels, height, width)."""
        return (x - self.mean) / self.std


class LifLayer(nn.Module):
    """What the layers of neurons share. Alone: neurons fed directly, without normalisation.

    Args:
        lif: The kind of neuron.
        shape: Shape of a constant that each channel has for itself: (channels,) or
            (channels, 1, 1). Read only with ``sharing = "channel"``.

    Attributes:
        norm: Normalises the membrane; its output is what is held against the threshold.
    """

    alpha: Tensor
    beta: Tensor
    theta: Tensor
    v_0: Tensor

    def __init__(self, lif: Lif | None = None, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.lif = lif or Lif()
        self.norm: nn.Module | None = None
        for name, value in self.lif.constants._asdict().items():
            tensor = torch.full(shape if self.lif.sharing == "channel" else (), value)
            if self.lif.learnable:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                # Not in the weights file: the network's options tell it, unrounded.
                self.register_buffer(name, tensor, persistent=False)

    @property
    def constants(self) -> Constants:
        """Leak, offset, threshold and reset, broadcasting against (batch, channels, ...).

        Where nothing is learned they are the options' own numbers: a buffer made in float32 and
        turned to float64 would keep float32's rounding.
        """
        if not self.lif.learnable:
            return self.lif.constants
        return Constants(self.alpha, self.beta, self.theta, self.v_0)

    def current(self, x: Tensor) -> Tensor:
        """Return the input current of all steps of x (batch, time, ...)."""
        return x

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Advance over x (batch, time, ...), at least one step.

        Args:
            x: Input of the steps.
            v: Membrane left by the step before, (batch, ...); not written to.

        Returns:
            The outputs (batch, time, ...) and the membrane after the last step.
        """
        outputs = []
        for now in self.current(x).unbind(1):
            y, v = lif_step(now, v, self.lif, self.constants, self.norm, self.training)
            outputs.append(y)
        return torch.stack(outputs, 1), v


class Lif2d(LifLayer):
    """Neurons on a map (batch, time, channels, height, width), without weights or norm.

    Args:
        channels: Channels of the map.
        lif: The kind of neuron.
    """

    def __init__(self, channels: int, lif: Lif | None = None) -> None:
        super().__init__(lif, (channels, 1, 1))
        self.channels = channels

    def initial_state(self, batch: int, height: int, width: int) -> Tensor:
        """Return a resting membrane: zeros (batch, channels, height, width)."""
        return self.alpha.new_zeros(batch, self.channels, height, width)


class Conv2dLif(LifLayer):
    """Conv2d with bias, then LIF with BatchNorm2d on the membrane.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Kernel size, pixels.
        stride: Stride, pixels.
        padding: Zero padding, pixels.
        lif: The kind of neuron.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        lif: Lif | None = None,
    ) -> None:
        super().__init__(lif, (outputs, 1, 1))
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(outputs)
        self._kernel, self._stride, self._padding = kernel, stride, padding

    def current(self, x: Tensor) -> Tensor:
        """Convolve (batch, time, inputs, height, width)."""
        return each_step(self.conv, x)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that an input of this size gives, pixels."""
        reach = 2 * self._padding - self._kernel
        return (height + reach) // self._stride + 1, (width + reach) // self._stride + 1

    def initial_state(self, batch: int, height: int, width: int) -> Tensor:
        """Return a resting membrane for *inputs* of (height, width): zeros, like the weights."""
        return self.conv.weight.new_zeros(
            batch, self.conv.out_channels, *self.output_size(height, width)
        )


class FcLif(LifLayer):
    """Linear with bias, then LIF with BatchNorm1d on the membrane.

    Args:
        inputs: Input features.
        outputs: Output features.
        lif: The kind of neuron.
    """

    def __init__(self, inputs: int, outputs: int, lif: Lif | None = None) -> None:
        super().__init__(lif, (outputs,))
        self.fc = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def current(self, x: Tensor) -> Tensor:
        """Map (batch, time, inputs) to (batch, time, outputs)."""
        current: Tensor = self.fc(x)
        return current

    def initial_state(self, batch: int) -> Tensor:
        """Return a resting membrane: zeros (batch, outputs), like the weights."""
        return self.fc.weight.new_zeros(batch, self.fc.out_features)
