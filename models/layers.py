"""Layers of neurons: a map from input to current, then LIF.

Every layer is used the same way. ``step(x, v) -> (y, v)`` advances one time step; calling the
layer advances over (batch, time, ...), which is a loop of the same step and so gives the same
numbers to the bit. Folding time into the batch of the convolutions, the usual trick for training,
was measured and rejected: 1.7 s a training step either way (DVS Gesture network, 16 x 60 steps,
2 cores), for more memory and a second code path.
"""

import torch
from torch import Tensor, nn

from models.neurons import LifParameters, Mode, lif_step

__all__ = ["Conv2dLif", "FcLif", "Lif2d", "LifLayer"]


class LifLayer(nn.Module):
    """What the layers share. Alone: neurons fed directly, without normalisation.

    Args:
        mode: Output spikes, or the rectified membrane.
        lif: Leak, threshold and reset.

    Attributes:
        norm: Normalises the membrane; its output is what is held against the threshold.
    """

    def __init__(self, mode: Mode = "spike", lif: LifParameters | None = None) -> None:
        super().__init__()
        self.mode: Mode = mode
        self.lif = lif or LifParameters()
        self.norm: nn.Module = nn.Identity()

    def current(self, x: Tensor) -> Tensor:
        """Return the input current of one step."""
        return x

    def step(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Advance one time step.

        Args:
            x: Input of the step, (batch, ...).
            v: Membrane left by the step before.

        Returns:
            The output and the new membrane, both of the membrane's shape and dtype.
        """
        return lif_step(self.current(x), v, self.lif, self.mode, self.norm)

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Advance over x (batch, time, ...), at least one step.

        Returns:
            The outputs (batch, time, ...) and the membrane after the last step.
        """
        outputs = []
        for now in x.unbind(1):
            y, v = self.step(now, v)
            outputs.append(y)
        return torch.stack(outputs, 1), v


class Lif2d(LifLayer):
    """Neurons on a map (batch, channels, height, width), without weights or norm."""

    def initial_state(
        self,
        batch: int,
        channels: int,
        height: int,
        width: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return a resting membrane: zeros (batch, channels, height, width)."""
        return torch.zeros(batch, channels, height, width, dtype=dtype, device=device)


class Conv2dLif(LifLayer):
    """Conv2d with bias, then LIF with BatchNorm2d on the membrane.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Kernel size, pixels.
        stride: Stride, pixels.
        padding: Zero padding, pixels.
        mode: Output spikes, or the rectified membrane.
        lif: Leak, threshold and reset.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        mode: Mode = "spike",
        lif: LifParameters | None = None,
    ) -> None:
        super().__init__(mode, lif)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(outputs)
        self._kernel, self._stride, self._padding = kernel, stride, padding

    def current(self, x: Tensor) -> Tensor:
        """Convolve (batch, inputs, height, width)."""
        current: Tensor = self.conv(x)
        return current

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
        mode: Output spikes, or the rectified membrane.
        lif: Leak, threshold and reset.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        mode: Mode = "spike",
        lif: LifParameters | None = None,
    ) -> None:
        super().__init__(mode, lif)
        self.fc = nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def current(self, x: Tensor) -> Tensor:
        """Map (batch, inputs) to (batch, outputs)."""
        current: Tensor = self.fc(x)
        return current

    def initial_state(self, batch: int) -> Tensor:
        """Return a resting membrane: zeros (batch, outputs), like the weights."""
        return self.fc.weight.new_zeros(batch, self.fc.out_features)
