"""The parts of Meta-SpikeFormer: down-sampling, convolution block, transformer block.

Every part takes x (batch, time, channels, height, width) and the membranes of its neurons in the
order in which they fire, and gives them back in that order. What has no memory sees all steps at
once; so BatchNorm in training takes the statistics of all steps together, as the reference does.

Source: Yao et al., "Spike-driven Transformer V2", ICLR 2024; BICLab/Spike-Driven-Transformer-V2.
"""

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from models.layers import each_step
from models.tau_lif import TauLif, TauLifLayer

__all__ = [
    "HEADS",
    "SCALE",
    "Attention",
    "ConvBlock",
    "DownSample",
    "Mlp",
    "RepConv",
    "SeparableConv",
    "TransformerBlock",
]

SCALE = 0.125
HEADS = 8
_MLP_RATIO = 4

Membranes = Iterator[Tensor]


def _conv_norm(conv: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(channels)))


class DownSample(nn.Module):
    """[LIF →] convolution (bias) → BatchNorm; the first of a network has no LIF.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Kernel size, pixels; odd, padded so that no border is lost.
        stride: Stride, pixels.
        lif: The kind of neuron; None: there is none.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, lif: TauLif | None
    ) -> None:
        super().__init__()
        self.lif = None if lif is None else TauLifLayer(inputs, lif)
        self.map = _conv_norm(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), outputs)
        self._stride = stride

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that an input of this size gives, pixels."""
        return -(-height // self._stride), -(-width // self._stride)

    def forward(self, x: Tensor, membranes: Membranes) -> tuple[Tensor, list[Tensor]]:
        """Advance over x (batch, time, inputs, height, width)."""
        after = []
        if self.lif is not None:
            x, v = self.lif(x, next(membranes))
            after.append(v)
        return each_step(self.map, x), after


class SeparableConv(nn.Module):
    """LIF → 1×1 to twice the width → BatchNorm → LIF → depthwise 7×7 → 1×1 back → BatchNorm."""

    def __init__(self, width: int, lif: TauLif) -> None:
        super().__init__()
        wide = 2 * width
        self.lif1 = TauLifLayer(width, lif)
        self.expand = _conv_norm(nn.Conv2d(width, wide, 1, bias=False), wide)
        self.lif2 = TauLifLayer(wide, lif)
        self.depthwise = nn.Conv2d(wide, wide, 7, padding=3, groups=wide, bias=False)
        self.project = _conv_norm(nn.Conv2d(wide, width, 1, bias=False), width)

    def forward(self, x: Tensor, membranes: Membranes) -> tuple[Tensor, list[Tensor]]:
        """Advance over x (batch, time, width, height, width of the map)."""
        x, v1 = self.lif1(x, next(membranes))
        x, v2 = self.lif2(each_step(self.expand, x), next(membranes))
        return each_step(self.project, each_step(self.depthwise, x)), [v1, v2]


class ConvBlock(nn.Module):
    """``x + SeparableConv(x)``, then ``x + BN(Conv(LIF(BN(Conv(LIF(x))))))``, 4 times as wide.

    Args:
        width: Channels of the map.
        lif: The kind of neuron.
    """

    def __init__(self, width: int, lif: TauLif) -> None:
        super().__init__()
        wide = _MLP_RATIO * width
        self.mixer = SeparableConv(width, lif)
        self.lif1 = TauLifLayer(width, lif)
        self.conv1 = _conv_norm(nn.Conv2d(width, wide, 3, padding=1, bias=False), wide)
        self.lif2 = TauLifLayer(wide, lif)
        self.conv2 = _conv_norm(nn.Conv2d(wide, width, 3, padding=1, bias=False), width)

    def forward(self, x: Tensor, membranes: Membranes) -> tuple[Tensor, list[Tensor]]:
        """Advance over x (batch, time, width, height, width of the map)."""
        mixed, after = self.mixer(x, membranes)
        x = x + mixed
        y, v1 = self.lif1(x, next(membranes))
        y, v2 = self.lif2(each_step(self.conv1, y), next(membranes))
        return x + each_step(self.conv2, y), [*after, v1, v2]


class RepConv(nn.Module):
    """1×1 → BatchNorm → depthwise 3×3 → 1×1 → BatchNorm, and the BatchNorm behind it; no biases.

    Between the first BatchNorm and the 3×3 the map gets a border of one pixel, with the value that
    the BatchNorm gives a zero: as if the *input* had been padded with zeros. So the whole is one
    3×3 convolution with zero padding (`fold`).

    Args:
        width: Channels of the map.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, groups=width, bias=False)
        self.conv2 = nn.Conv2d(width, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.norm3 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, height, width of the map) to the same shape."""
        x = self.norm1(self.conv1(x))
        _, border = _scale_and_shift(self.norm1)
        height, width = x.shape[2:]
        padded = border.detach().view(-1, 1, 1).repeat(x.shape[0], 1, height + 2, width + 2)
        padded[..., 1:-1, 1:-1] = x
        y: Tensor = self.norm3(self.norm2(self.conv2(self.depthwise(padded))))
        return y

    @torch.no_grad()
    def fold(self) -> nn.Conv2d:
        """Return the same map in evaluation, as one 3×3 convolution with bias."""
        width = self.conv1.out_channels
        scale1, shift1 = _scale_and_shift(self.norm1)
        scale2, shift2 = _scale_and_shift(self.norm2)
        scale3, shift3 = _scale_and_shift(self.norm3)
        first, last = self.conv1.weight[..., 0, 0], self.conv2.weight[..., 0, 0]
        last = (scale3 * scale2)[:, None] * last
        spatial = self.depthwise.weight[:, 0]
        conv = nn.Conv2d(width, width, 3, padding=1).to(first.device, first.dtype)
        # (outputs, middle) and (middle, 3, 3) and (middle, inputs)
        conv.weight.copy_(torch.einsum("om,myx,mi->oiyx", last, spatial, scale1[:, None] * first))
        middle = shift1 * spatial.sum((1, 2))
        assert conv.bias is not None
        conv.bias.copy_(last @ middle + scale3 * shift2 + shift3)
        return conv


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what BatchNorm multiplies by in evaluation, and what it adds: what it makes of 0."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


class Attention(nn.Module):
    """Spike-driven attention over the pixels of a map; heads of spikes, so its sums are exact.

    LIF; q, k, v = RepConv → LIF, in 8 heads; ``q (k^T v) * 0.125``; LIF; RepConv.
    """

    def __init__(self, width: int, lif: TauLif, folded: bool) -> None:
        super().__init__()
        self.lif = TauLifLayer(width, lif)
        self.q = _rep_conv(width, folded)
        self.k = _rep_conv(width, folded)
        self.v = _rep_conv(width, folded)
        self.q_lif = TauLifLayer(width, lif)
        self.k_lif = TauLifLayer(width, lif)
        self.v_lif = TauLifLayer(width, lif)
        self.out_lif = TauLifLayer(width, TauLif(lif.tau, lif.theta / 2, lif.surrogate))
        self.project = _rep_conv(width, folded)

    def forward(self, x: Tensor, membranes: Membranes) -> tuple[Tensor, list[Tensor]]:
        """Advance over x (batch, time, width, height, width of the map)."""
        batch, time, channels = x.shape[:3]
        x, *after = self.lif(x, next(membranes))
        heads = []
        for name in ("q", "k", "v"):
            current = each_step(getattr(self, name), x)
            spikes, v = getattr(self, f"{name}_lif")(current, next(membranes))
            # (batch, time, heads, channels of a head, pixels)
            heads.append(spikes.reshape(batch, time, HEADS, channels // HEADS, -1))
            after.append(v)
        q, k, v = heads
        # Transposed, q (k^T v) is (v^T k) q: no pixel is held against another.
        y = (v @ k.transpose(-2, -1)) @ q * SCALE
        y, v = self.out_lif(y.reshape(x.shape), next(membranes))
        return each_step(self.project, y), [*after, v]


def _rep_conv(width: int, folded: bool) -> nn.Module:
    return nn.Conv2d(width, width, 3, padding=1) if folded else RepConv(width)


class Mlp(nn.Module):
    """LIF → 1×1 (bias) → BatchNorm → LIF → 1×1 (bias) → BatchNorm, 4 times as wide inside."""

    def __init__(self, width: int, lif: TauLif) -> None:
        super().__init__()
        wide = _MLP_RATIO * width
        self.lif1 = TauLifLayer(width, lif)
        self.fc1, self.norm1 = nn.Conv1d(width, wide, 1), nn.BatchNorm1d(wide)
        self.lif2 = TauLifLayer(wide, lif)
        self.fc2, self.norm2 = nn.Conv1d(wide, width, 1), nn.BatchNorm1d(width)

    def forward(self, x: Tensor, membranes: Membranes) -> tuple[Tensor, list[Tensor]]:
        """Advance over x (batch, time, width, height, width of the map)."""
        batch, time, _, *pixels = x.shape
        y, v1 = self.lif1(x, next(membranes))
        y = each_step(self.norm1, each_step(self.fc1, y.flatten(3)))
        y, v2 = self.lif2(y.view(batch, time, -1, *pixels), next(membranes))
        y = each_step(self.norm2, each_step(self.fc2, y.flatten(3)))
        return y.view(x.shape), [v1, v2]


class TransformerBlock(nn.Module):
    """``x + Attention(x)``, then ``x + MLP(x)``.

    Args:
        width: Channels of the map, a multiple of 8.
        lif: The kind of neuron; the one behind the attention has half its threshold.
        folded: Whether each RepConv is one 3×3 convolution.
    """

    def __init__(self, width: int, lif: TauLif, folded: bool) -> None:
        super().__init__()
        self.attention = Attention(width, lif, folded)
        self.mlp = Mlp(width, lif)

    def forward(self, x: Tensor, membranes: Membranes) -> tuple[Tensor, list[Tensor]]:
        """Advance over x (batch, time, width, height, width of the map)."""
        y, first = self.attention(x, membranes)
        x = x + y
        y, second = self.mlp(x, membranes)
        return x + y, first + second
