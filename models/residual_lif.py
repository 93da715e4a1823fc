"""Residual LIF-18: the network of Jester and of ES-ImageNet, which differ in their options.

Per step: stem and maximum, eight blocks of two convolutions each, mean over the map -> 512
features; their mean over the steps goes through one linear map. BatchNorm stands behind each
convolution here, not on the membrane: the neurons are `Lif2d`.
Source: the project's design text (Lynxi BIDL applications); LynxiTech/BIDL
(``applications/classification/video/jester``, ``applications/classification/dvs/esimagenet``).
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Unpack

from torch import Tensor, nn

from models.layers import Lif2d, StepNorm2d, each_step
from models.lif import Lif
from models.network import Network, Options

__all__ = ["ResidualBlock", "ResidualLif", "ResidualLifState"]

_SMALL_PX = 64
"""A frame with a shorter side than this has the stem of 3x3 that keeps its size."""
_BLOCKS = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
"""Channels and stride of each block."""


class ResidualLifState(NamedTuple):
    """Membranes: of the stem, then of both layers of each block, batch first.

    With frames of 112 x 112: stem (64, 56, 56), blocks 1 and 2 (64, 28, 28), 3 and 4
    (128, 14, 14), 5 and 6 (256, 7, 7), 7 and 8 (512, 4, 4).
    """

    stem: Tensor
    block1_inner: Tensor
    block1_outer: Tensor
    block2_inner: Tensor
    block2_outer: Tensor
    block3_inner: Tensor
    block3_outer: Tensor
    block4_inner: Tensor
    block4_outer: Tensor
    block5_inner: Tensor
    block5_outer: Tensor
    block6_inner: Tensor
    block6_outer: Tensor
    block7_inner: Tensor
    block7_outer: Tensor
    block8_inner: Tensor
    block8_outer: Tensor


class _ConvNorm(nn.Module):
    """Conv2d with bias and BatchNorm over (batch, time, channels, height, width)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = StepNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(each_step(self.conv, x))
        return y


class ResidualBlock(nn.Module):
    """Two convolutions with LIF; the input is added before the second one fires.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        stride: Stride of the first convolution, pixels.
        lif: The kind of neuron.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, lif: Lif) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(inputs, outputs, 3, stride)
        self.lif1 = Lif2d(outputs, lif)
        self.conv2 = _ConvNorm(outputs, outputs, 3)
        self.lif2 = Lif2d(outputs, lif)
        self.pool: nn.Module | None = None
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.pool = nn.AvgPool2d(stride, ceil_mode=True)
            self.shortcut = _ConvNorm(inputs, outputs, 1)

    def forward(self, x: Tensor, inner: Tensor, outer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Advance over x (batch, time, inputs, height, width); give both membranes back."""
        identity = x
        if self.pool is not None and self.shortcut is not None:
            identity = self.shortcut(each_step(self.pool, x))
        y, inner = self.lif1(self.conv1(x), inner)
        y, outer = self.lif2(self.conv2(y) + identity, outer)
        return y, inner, outer


class ResidualLif(Network[ResidualLifState]):
    """What the residual networks share; each subclass has its own defaults.

    Raises:
        ModelError: An option is out of range.
    """

    reference_names: ClassVar[Mapping[str, str]] = {
        "conv.0": "stem.conv",
        "conv.1": "stem.norm",
        "lif": "stem_lif",
        "lif.lif": "stem_lif",
        **{
            f"layer{k // 2 + 1}.{k % 2}.{theirs}": f"blocks.{k}.{ours}"
            for k in range(len(_BLOCKS))
            for theirs, ours in {
                "conv1.0": "conv1.conv",
                "conv1.1": "conv1.norm",
                "lif1": "lif1",
                "lif1.lif": "lif1",
                "conv2.0": "conv2.conv",
                "conv2.1": "conv2.norm",
                "lif2": "lif2",
                "lif2.lif": "lif2",
                "downsample.1": "shortcut.conv",
                "downsample.2": "shortcut.norm",
            }.items()
        },
    }

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        lif = self.neurons(Lif)
        kernel, stride = (3, 1) if min(self.input_shape[1:]) < _SMALL_PX else (7, 2)
        self.stem = _ConvNorm(self.input_shape[0], 64, kernel, stride)
        self.stem_lif = Lif2d(64, lif)
        self.stem_pool = nn.MaxPool2d(3, 2, 1)
        height, width = (_divide(side, stride) for side in self.input_shape[1:])
        self._membranes = [(64, height, width)]
        height, width = _divide(height, 2), _divide(width, 2)
        self.blocks = nn.ModuleList()
        channels = 64
        for outputs, stride in _BLOCKS:
            self.blocks.append(ResidualBlock(channels, outputs, stride, lif))
            channels, height, width = outputs, _divide(height, stride), _divide(width, stride)
            self._membranes += [(channels, height, width)] * 2
        self.fc = nn.Linear(channels, self.options["classes"])

    def initial_state(self, batch: int) -> ResidualLifState:
        """Return every membrane at rest, in the weights' dtype and on their device."""
        zeros = self.fc.weight.new_zeros
        return ResidualLifState(*(zeros(batch, *shape) for shape in self._membranes))

    def run(self, x: Tensor, state: ResidualLifState) -> tuple[Tensor, ResidualLifState]:
        """Advance over x (batch, time, channels, height, width) -> (batch, time, 512)."""
        x, stem = self.stem_lif(self.stem(x), state.stem)
        x = each_step(self.stem_pool, x)
        membranes = [stem]
        for k, block in enumerate(self.blocks):
            x, inner, outer = block(x, state[2 * k + 1], state[2 * k + 2])
            membranes += [inner, outer]
        return x.mean((-2, -1)), ResidualLifState(*membranes)

    def classify(self, features: Tensor) -> Tensor:
        """Map features (..., 512) to logits (..., classes)."""
        logits: Tensor = self.fc(features)
        return logits


def _divide(side: int, stride: int) -> int:
    """Return a side behind a stride, rounded up: the padding keeps the last odd pixel."""
    return -(-side // stride)
