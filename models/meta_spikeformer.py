"""Meta-SpikeFormer, the spike-driven transformer V2: images shown for some steps, inference only.

An image (3, 224, 224) goes through down-sampling, four convolution blocks and eight transformer
blocks (`models.meta_spikeformer_blocks`) to a map of 14 × 14; its mean fires once more and is
classified. 8-512 has 55.35 M parameters; published for ImageNet-1K: 80.0 % (4 steps, distilled).

The published checkpoints differ in what their heads see. In the design text's framework (BIDL) and
by default the head sees the spikes. In the authors' own code it sees the mean before it fires, and
only the second head, which distillation adds, sees the spikes: ``head_input = "mean"``. Where a
checkpoint has a second head the logits of both are averaged.

Source: Yao et al., "Spike-driven Transformer V2: Meta Spiking Neural Network Architecture Inspiring
the Design of Next-generation Neuromorphic Chips", ICLR 2024; names and widths from
BICLab/Spike-Driven-Transformer-V2 and LynxiTech/BIDL.
"""

from collections import namedtuple
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, Unpack

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.meta_spikeformer_blocks import ConvBlock, DownSample, RepConv, TransformerBlock
from models.network import Network, Options
from models.tau_lif import TauLif, TauLifLayer

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "HeadInput",
    "MetaSpikeformer",
    "MetaSpikeformer384",
    "MetaSpikeformer512",
    "MetaSpikeformer768",
    "MetaSpikeformerState",
]

IMAGENET_MEAN = (123.675, 116.28, 103.53)
"""Option `mean` for frames of bytes, in the order red, green, blue, as the reference is trained."""
IMAGENET_STD = (58.395, 57.12, 57.375)
"""Option `std` for them."""

HeadInput: TypeAlias = Literal["spikes", "mean"]

_LAYERS = (
    *("down1", "conv1", "down2", "conv2", "down3", "conv3", "conv4"),
    *("down4", "block1", "block2", "block3", "block4", "block5", "block6"),
    *("down5", "block7", "block8"),
)
_NEURONS = {
    "down": ("lif",),
    "conv": ("mixer_lif1", "mixer_lif2", "lif1", "lif2"),
    "block": (
        *("attention_lif", "attention_q_lif", "attention_k_lif", "attention_v_lif"),
        *("attention_out_lif", "mlp_lif1", "mlp_lif2"),
    ),
}
_MEMBRANES = [f"{layer}_{neurons}" for layer in _LAYERS for neurons in _NEURONS[layer[:-1]]]
_MEMBRANES.remove("down1_lif")  # the first layer is fed with the image


class MetaSpikeformerState(namedtuple("MetaSpikeformerState", [*_MEMBRANES, "head_lif"])):  # type: ignore[misc]
    """Membranes, named by layer and neurons in the order in which they fire, batch first.

    ``block3_attention_q_lif`` is that of ``layers.block3.attention.q_lif``; each has the channels
    and the size of its input.
    """

    __slots__ = ()


_REFERENCE_LAYERS = {
    **{"down1": "downsample1_1", "down2": "downsample1_2"},
    **{f"down{k + 1}": f"downsample{k}" for k in (2, 3, 4)},
    **{"conv1": "ConvBlock1_1.0", "conv2": "ConvBlock1_2.0"},
    **{"conv3": "ConvBlock2_1.0", "conv4": "ConvBlock2_2.0"},
    **{f"block{k + 1}": f"block3.{k}" for k in range(6)},
    **{f"block{k + 7}": f"block4.{k}" for k in range(2)},
}
_REFERENCE_PARTS = {
    "down": {"encode_conv": "map.conv", "encode_bn": "map.norm"},
    "conv": {
        "Conv.pwconv1": "mixer.expand.conv",
        "Conv.bn1": "mixer.expand.norm",
        "Conv.dwconv": "mixer.depthwise",
        "Conv.pwconv2": "mixer.project.conv",
        "Conv.bn2": "mixer.project.norm",
        "conv1": "conv1.conv",
        "bn1": "conv1.norm",
        "conv2": "conv2.conv",
        "bn2": "conv2.norm",
    },
    "block": {
        "mlp.fc1_conv": "mlp.fc1",
        "mlp.fc1_bn": "mlp.norm1",
        "mlp.fc2_conv": "mlp.fc2",
        "mlp.fc2_bn": "mlp.norm2",
        **{
            f"attn.{theirs}_conv.{part}": f"attention.{ours}.{name}"
            for theirs, ours in {"q": "q", "k": "k", "v": "v", "proj": "project"}.items()
            for part, name in {
                "0.body.0": "conv1",
                "0.body.1.bn": "norm1",
                "0.body.2.0": "depthwise",
                "0.body.2.1": "conv2",
                "0.body.2.2": "norm2",
                "1": "norm3",
            }.items()
        },
    },
}


class MetaSpikeformer(Network[MetaSpikeformerState]):
    """What the three sizes share; the options are those of `Options`, and three more.

    Its neurons are SpikingJelly's (`models.tau_lif`): ``lif`` has their ``tau``, ``theta`` and
    ``surrogate``. They have no analog output and no constants for a channel to have for itself.

    Args:
        head_input: What the head sees: the spikes, or the mean before it fires.
        distilled: Whether there is a second head, averaged with the first; it sees the spikes.
        folded: Whether each RepConv is one 3×3 convolution, see `fold`; a checkpoint that is not
            folded is folded when it is loaded.
        **options: See `Options`.

    Attributes:
        widths: Channels of the maps after each down-sampling.

    Raises:
        ModelError: An option is out of range.
    """

    defaults = Options(classes=1000, steps=4, input_channels=3, size=(224, 224), mode="spike")
    frame = "rgb"
    widths: ClassVar[tuple[int, int, int, int, int]]
    reference_names: ClassVar[Mapping[str, str]] = {
        "head": "fc",
        "head_kd": "fc_kd",
        **{
            f"{_REFERENCE_LAYERS[layer]}.{theirs}": f"layers.{layer}.{ours}"
            for layer in _LAYERS
            for theirs, ours in _REFERENCE_PARTS[layer[:-1]].items()
        },
    }

    def __init__(
        self,
        *,
        head_input: HeadInput = "spikes",
        distilled: bool = False,
        folded: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        mode, sharing = self.options["mode"], self.options["sharing"]
        if mode != "spike" or sharing != "all":
            raise ModelError(
                f"{self.name}: mode must be 'spike' and sharing 'all', its neurons have no other, "
                f"got {mode!r} and {sharing!r}"
            )
        if head_input not in ("spikes", "mean"):
            raise ModelError(
                f"{self.name}: head_input must be 'spikes' or 'mean', got {head_input!r}"
            )
        for option, value in {"distilled": distilled, "folded": folded}.items():
            if not isinstance(value, bool):
                raise ModelError(f"{self.name}: {option} must be true or false, got {value!r}")
        neurons = self.neurons(TauLif)
        self.options |= {
            "head_input": head_input,
            "distilled": distilled,
            "folded": folded,
        }
        self._head_input = head_input
        w1, w2, w3, w4, w5 = self.widths
        self.layers = nn.ModuleDict(
            {
                "down1": DownSample(self.input_shape[0], w1, 7, 2, None),
                "conv1": ConvBlock(w1, neurons),
                "down2": DownSample(w1, w2, 3, 2, neurons),
                "conv2": ConvBlock(w2, neurons),
                "down3": DownSample(w2, w3, 3, 2, neurons),
                "conv3": ConvBlock(w3, neurons),
                "conv4": ConvBlock(w3, neurons),
                "down4": DownSample(w3, w4, 3, 2, neurons),
                **{f"block{k}": TransformerBlock(w4, neurons, folded) for k in range(1, 7)},
                "down5": DownSample(w4, w5, 3, 1, neurons),
                **{f"block{k}": TransformerBlock(w5, neurons, folded) for k in (7, 8)},
            }
        )
        self.head_lif = TauLifLayer(w5, neurons)
        self.fc = nn.Linear(w5, self.options["classes"])
        self.fc_kd = nn.Linear(w5, self.options["classes"]) if distilled else None

    @classmethod
    def told_by(cls, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return whether a checkpoint has a second head."""
        return {"distilled": any(name.startswith(("head_kd.", "fc_kd.")) for name in tensors)}

    def translate(self, tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
        """Name a checkpoint's tensors as here, and fold them where this network is folded."""
        named = super().translate(tensors, origin)
        for layer in _LAYERS if self.options["folded"] else ():
            for part in ("q", "k", "v", "project"):
                path = f"layers.{layer}.attention.{part}."
                parts = {name: named[name] for name in named if name.startswith(path)}
                if f"{path}conv1.weight" not in parts:
                    continue  # no attention in this layer, or folded already
                conv = _filled({name.removeprefix(path): parts[name] for name in parts}, origin)
                named = {name: named[name] for name in named if name not in parts}
                named |= {path + name: value for name, value in conv.fold().state_dict().items()}
        return named

    def initial_state(self, batch: int) -> MetaSpikeformerState:
        """Return every membrane at rest, in the weights' dtype and on their device."""
        zeros = self.fc.weight.new_zeros
        membranes = []
        size = self.input_shape[1:]
        for layer in self.layers.values():
            neurons = [part for part in layer.modules() if isinstance(part, TauLifLayer)]
            membranes += [zeros(batch, part.channels, *size) for part in neurons]
            size = layer.output_size(*size) if isinstance(layer, DownSample) else size
        return MetaSpikeformerState._make([*membranes, zeros(batch, self.fc.in_features)])

    def run(self, x: Tensor, state: MetaSpikeformerState) -> tuple[Tensor, MetaSpikeformerState]:
        """Advance over x (batch, time, channels, height, width).

        Returns:
            What the heads see, (batch, time, width), or, with ``head_input = "mean"``, the mean
            and behind it the spikes, (batch, time, 2 * width); and the new state.
        """
        before = iter(state)
        after: list[Tensor] = []
        for layer in self.layers.values():
            x, membranes = layer(x, before)
            after += membranes
        means = x.mean((-2, -1))
        spikes, last = self.head_lif(means, next(before))
        features = torch.cat([means, spikes], -1) if self._head_input == "mean" else spikes
        return features, MetaSpikeformerState._make([*after, last])

    def classify(self, features: Tensor) -> Tensor:
        """Map features (..., width or 2 * width) to logits (..., classes)."""
        width = self.fc.in_features
        logits: Tensor = self.fc(features[..., :width])
        if self.fc_kd is not None:
            logits = (logits + self.fc_kd(features[..., -width:])) / 2
        return logits

    def fold(self) -> "MetaSpikeformer":
        """Return the same network for inference, each RepConv as one 3×3 convolution.

        For hardware that adds up spikes: one layer instead of three, with no border to keep. On a
        processor it is no gain, for it has nine weights where there are about two: 8-512 at
        batch 1 in float32 needed 1.4 times the time and 2.2 times the memory for weights.
        """
        folded = type(self)(**{**self.options, "folded": True}).to(self.device, self.dtype)
        folded.load_state_dict(folded.translate(self.state_dict(), self.name))
        return folded.eval().requires_grad_(False)


def _filled(tensors: Mapping[str, Tensor], origin: str) -> RepConv:
    """Return a RepConv with the tensors of a checkpoint, in float32 at least.

    Raises:
        ModelError: They do not fit.
    """
    first = tensors["conv1.weight"]
    conv = RepConv(len(first)).to(first.device, torch.promote_types(first.dtype, torch.float32))
    try:
        conv.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(
            f"{origin}: a RepConv cannot be folded ({' '.join(str(error).split())}); "
            "check the network's name and options"
        ) from None
    return conv


class MetaSpikeformer384(MetaSpikeformer):
    """Meta-SpikeFormer 8-384."""

    name = "meta_spikeformer_8_384"
    widths = (48, 96, 192, 384, 480)


class MetaSpikeformer512(MetaSpikeformer):
    """Meta-SpikeFormer 8-512, the one of the design text."""

    name = "meta_spikeformer_8_512"
    widths = (64, 128, 256, 512, 640)


class MetaSpikeformer768(MetaSpikeformer):
    """Meta-SpikeFormer 8-768."""

    name = "meta_spikeformer_8_768"
    widths = (96, 192, 384, 768, 960)
