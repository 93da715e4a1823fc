"""One time step of each network without the axis of time: what the chip is given.

A `Network` runs over (batch, time, ...), up to six axes; the chip has four. So its step is written
here a second time, over (batch, ...), with the network's own layers and weights. What neurons do is
left to the caller, by the names of the network's state. Tests hold it against the network.

Where a network has an operator that the chip has not, another does the same: a token's vector is a
product with a row of zeros and a one, as in BIDL (LynxiTech/BIDL, ``applications/classification``);
channels that are turned round are weights turned round; a RepConv is folded to one convolution.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from models.cifar10_dvs import Cifar10Dvs
from models.dvs_gesture import DvsGesture
from models.errors import ModelError
from models.es_imagenet import EsImageNet
from models.imdb import Imdb
from models.meta_spikeformer import MetaSpikeformer
from models.meta_spikeformer_blocks import (
    HEADS,
    SCALE,
    Attention,
    ConvBlock,
    DownSample,
    Mlp,
    SeparableConv,
    TransformerBlock,
)
from models.mnist_dvs import MnistDvs
from models.network import Network
from models.residual_lif import ResidualBlock, ResidualLif

__all__ = ["Fire", "features", "logits", "prepared"]

Fire: TypeAlias = Callable[[str, nn.Module, Tensor], Tensor]
"""Advance the neurons of a name and a layer by their input; return what they put out."""

_LARGEST_ID = 2048
"""Up to here float16 has every whole number."""


def prepared(network: Network[Any]) -> Network[Any]:
    """Return a copy of a network in evaluation that can be lowered, the same but for rounding.

    Raises:
        ModelError: The network cannot run on the chip: the reason and the operator.
    """
    why = _why_not(network)
    if why is not None:
        raise ModelError(f"{network.name}: cannot run on the KA200: {why}")
    if isinstance(network, MetaSpikeformer) and not network.options["folded"]:
        return network.fold()
    made = copy.deepcopy(network).eval().requires_grad_(False)
    if isinstance(made, EsImageNet) and made.options["on_first"]:
        made.stem.conv.weight.copy_(made.stem.conv.weight.flip(1))
    if isinstance(made, Imdb):
        weight = made.embedding.weight
        ids = torch.arange(len(weight), dtype=weight.dtype, device=weight.device)
        made.register_buffer("ids", ids, persistent=False)
    return made


def features(network: Network[Any], x: Tensor, fire: Fire) -> Tensor:
    """Advance one step: x (batch, channels, height, width), normalised -> (batch, features).

    Args:
        network: One that `prepared` gave.
        x: A frame, in the dtype of the weights.
        fire: What the neurons do.
    """
    for kind, lowered in _LOWERED.items():
        if isinstance(network, kind):
            return lowered(network, x, fire)
    raise AssertionError(network.name)


def logits(network: Network[Any], taken: Tensor) -> Tensor:
    """Return the logits of features, (batch, features) -> (batch, classes), without slices."""
    if isinstance(network, MetaSpikeformer) and network.options["head_input"] == "spikes":
        y: Tensor = network.fc(taken)
        return y if network.fc_kd is None else (y + network.fc_kd(taken)) / 2
    return network.classify(taken)


def _why_not(network: Network[Any]) -> str | None:
    if not isinstance(network, tuple(_LOWERED)):
        return (
            "its neurons are of another kind than those that the chip's operators step; run it with"
            " the stage `snn`"
        )
    if network.options["sharing"] == "channel":
        return (
            'sharing = "channel" gives each channel constants of its own, and cmpandfire and'
            ' resetwithdecay take one number a layer; train with sharing = "all"'
        )
    if isinstance(network, Imdb) and network.options["vocabulary"] > _LARGEST_ID:
        return (
            f"float16 has whole numbers up to {_LARGEST_ID}, and the vocabulary"
            f" {network.options['vocabulary']} ids; train with fewer words"
        )
    return None


def _dvs_gesture(network: DvsGesture, x: Tensor, fire: Fire) -> Tensor:
    x = _norm(network.norm, x)
    for name in ("conv1", "conv2", "conv3"):
        x = fire(name, network.get_submodule(name), x)
    return fire("fc2", network.fc2, fire("fc1", network.fc1, x.flatten(1)))


def _convolutions(network: MnistDvs | Cifar10Dvs, x: Tensor, fire: Fire) -> Tensor:
    for name, layer in network.named_children():
        if name.startswith("conv"):
            x = network.pool(fire(name, layer, x))
    return x.flatten(1)


def _imdb(network: Imdb, x: Tensor, fire: Fire) -> Tensor:
    x, ids = x.flatten(1), network.get_buffer("ids")
    one = torch.relu(1 - torch.relu(x - ids) - torch.relu(ids - x))  # (batch, ids)
    return fire("fc1", network.fc1, one @ network.embedding.weight)


def _residual(network: ResidualLif, x: Tensor, fire: Fire) -> Tensor:
    x = network.stem_pool(fire("stem", network.stem_lif, _conv_norm(network.stem, x)))
    for number, block in enumerate(network.blocks, start=1):
        assert isinstance(block, ResidualBlock)
        identity = x
        if block.pool is not None and block.shortcut is not None:
            identity = _conv_norm(block.shortcut, block.pool(x))
        y = fire(f"block{number}_inner", block.lif1, _conv_norm(block.conv1, x))
        y = _conv_norm(block.conv2, y) + identity
        x = fire(f"block{number}_outer", block.lif2, y)
    return x.mean((-2, -1))


def _meta_spikeformer(network: MetaSpikeformer, x: Tensor, fire: Fire) -> Tensor:
    names = iter(network.initial_state(0)._fields)  # in the order in which they fire

    def next_fire(layer: nn.Module, x: Tensor) -> Tensor:
        return fire(next(names), layer, x)

    for layer in network.layers.values():
        x = _PARTS[type(layer)](layer, x, next_fire)
    means = x.mean((-2, -1))
    spikes = next_fire(network.head_lif, means)
    return torch.cat([means, spikes], -1) if network.options["head_input"] == "mean" else spikes


_NextFire: TypeAlias = Callable[[nn.Module, Tensor], Tensor]


def _down_sample(part: DownSample, x: Tensor, fire: _NextFire) -> Tensor:
    y: Tensor = part.map(x if part.lif is None else fire(part.lif, x))
    return y


def _separable(part: SeparableConv, x: Tensor, fire: _NextFire) -> Tensor:
    y: Tensor = part.project(part.depthwise(fire(part.lif2, part.expand(fire(part.lif1, x)))))
    return y


def _conv_block(part: ConvBlock, x: Tensor, fire: _NextFire) -> Tensor:
    x = x + _separable(part.mixer, x, fire)
    y: Tensor = part.conv2(fire(part.lif2, part.conv1(fire(part.lif1, x))))
    return x + y


def _attention(part: Attention, x: Tensor, fire: _NextFire) -> Tensor:
    x = fire(part.lif, x)
    shape = (x.shape[0], HEADS, part.lif.channels // HEADS, -1)
    q = fire(part.q_lif, part.q(x)).reshape(shape)
    k = fire(part.k_lif, part.k(x)).reshape(shape)
    v = fire(part.v_lif, part.v(x)).reshape(shape)
    y = (v @ k.transpose(-2, -1)) @ q * SCALE
    projected: Tensor = part.project(fire(part.out_lif, y.reshape(x.shape)))
    return projected


def _mlp(part: Mlp, x: Tensor, fire: _NextFire) -> Tensor:
    batch, _, height, width = x.shape
    y = part.norm1(part.fc1(fire(part.lif1, x).flatten(2)))
    y = fire(part.lif2, y.reshape(batch, -1, height, width))
    mapped: Tensor = part.norm2(part.fc2(y.flatten(2)))
    return mapped.reshape(x.shape)


def _transformer(part: TransformerBlock, x: Tensor, fire: _NextFire) -> Tensor:
    x = x + _attention(part.attention, x, fire)
    return x + _mlp(part.mlp, x, fire)


_PARTS: Mapping[type[nn.Module], Callable[[Any, Tensor, _NextFire], Tensor]] = {
    DownSample: _down_sample,
    ConvBlock: _conv_block,
    TransformerBlock: _transformer,
}
_LOWERED: Mapping[type[Network[Any]], Callable[[Any, Tensor, Fire], Tensor]] = {
    DvsGesture: _dvs_gesture,
    MnistDvs: _convolutions,
    Cifar10Dvs: _convolutions,
    Imdb: _imdb,
    ResidualLif: _residual,
    MetaSpikeformer: _meta_spikeformer,
}


def _conv_norm(part: Any, x: Tensor) -> Tensor:
    """Convolve and normalise: a part of the residual network."""
    return _norm(part.norm, part.conv(x))


def _norm(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise (batch, channels, height, width): a `StepNorm2d` would want an axis of time."""
    return nn.functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
