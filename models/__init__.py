"""Spiking networks: neurons, layers, networks, weights and training.

Importing this package loads no torch; the functions below do, except `read_card`.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.card import ModelCard, read_card
from models.choices import offer
from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from models.network import Network

__all__ = [
    "NETWORKS",
    "SCORES_ALREADY",
    "ModelCard",
    "ModelError",
    "build",
    "from_reference",
    "load",
    "network_class",
    "read_card",
]

NETWORKS = {
    "dvs_gesture": "models.dvs_gesture:DvsGesture",
    "rgb_gesture": "models.rgb_gesture:RgbGesture",
    "mnist_dvs": "models.mnist_dvs:MnistDvs",
    "cifar10_dvs": "models.cifar10_dvs:Cifar10Dvs",
    "jester": "models.jester:Jester",
    "imdb": "models.imdb:Imdb",
    "luna16cls": "models.luna16cls:Luna16Cls",
    "es_imagenet": "models.es_imagenet:EsImageNet",
    "meta_spikeformer_8_384": "models.meta_spikeformer:MetaSpikeformer384",
    "meta_spikeformer_8_512": "models.meta_spikeformer:MetaSpikeformer512",
    "meta_spikeformer_8_768": "models.meta_spikeformer:MetaSpikeformer768",
    "nir": "models.interchange.network:NirNetwork",
}
"""Name -> ``module:Class``; the only place that knows a network's file."""

SCORES_ALREADY = frozenset({"dvs_gesture", "rgb_gesture", "nir"})
"""Networks whose outputs' mean are the class scores: `Network.readout` has nothing to do."""


def network_class(name: str) -> "type[Network[Any]]":
    """Return the class of a network.

    Raises:
        ModelError: The name is unknown.
    """
    if name not in NETWORKS:
        raise ModelError(f"unknown network {name!r}; {offer(name, NETWORKS)}")
    module, _, attribute = NETWORKS[name].partition(":")
    found: type[Network[Any]] = getattr(import_module(module), attribute)
    return found


def build(name: str, **options: Any) -> "Network[Any]":
    """Build a network with fresh weights, drawn from torch's global generator.

    Args:
        name: A key of `NETWORKS`.
        **options: Its options: those of `models.network.Options`, and what its class adds.

    Raises:
        ModelError: The name or an option is unknown, or an option has a wrong value.
    """
    chosen = network_class(name)
    try:
        network: Network[Any] = chosen(**options)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}: options {options} cannot be used: {error}") from error
    return network


def from_reference(name: str, state_dict: "Mapping[str, Any]", **options: Any) -> "Network[Any]":
    """Build a network and fill it from a checkpoint with the published parameter names.

    The checkpoints of mnist_dvs, cifar10_dvs and luna16cls were trained with the classifier at
    each step: pass ``head="per_step"`` for the accuracy that was published for them. BIDL's of
    es_imagenet expect the ON events in channel 0: pass ``on_first=True``, and feed frames as usual.

    Args:
        name: A key of `NETWORKS`.
        state_dict: Parameter name in BIDL or BICLab -> tensor, the floating ones of one dtype; or
            the whole checkpoint that holds them under ``state_dict`` or ``model``. Prefixes of
            parallel training are cut off. Read it with ``torch.load(path, weights_only=True)``.
        **options: The network's options.

    Returns:
        The network in evaluation mode, in the checkpoint's dtype, needing no gradient.

    Raises:
        ModelError: The name, an option or a parameter is unknown or does not fit.
    """
    from models.checkpoint import from_checkpoint

    return from_checkpoint(name, state_dict, "the checkpoint", options)


def load(
    weights_path: str | Path,
    device: "torch.device | str" = "cpu",
    dtype: "torch.dtype | None" = None,
) -> "Network[Any]":
    """Load a trained network, ready for inference (see `models.weights.load`).

    Args:
        weights_path: A safetensors file with a card.
        device: Where to put the network.
        dtype: Type to compute in; None is float32.

    Raises:
        ModelError: The file or its card cannot be used.
    """
    import torch

    from models.weights import load

    return load(weights_path, device, dtype or torch.float32)
