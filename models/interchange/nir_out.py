"""Writing a network as NIR, where NIR can say it exactly.

A layer of BIDL's neurons, with `BatchNorm` on the membrane, is one of leaky neurons: with the scale
g and the shift b of the BatchNorm, the membrane before it is held against the threshold is

    u' = g (W x + c + alpha u) + b = (g alpha) u + g W x + (g c + b)

so g alpha, of each channel, is what NIR calls ``1 - dt / tau``; the rest goes into weight and bias,
and ``r = tau / dt`` makes up for the share of the input that a leaky neuron takes. Nothing is
approximated; only the order of sums differs. What cannot be said is refused, with the reason.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.dvs_gesture import DvsGesture
from models.errors import ModelError
from models.interchange.network import NirNetwork
from models.interchange.nodes import ARRAYS, FIRING, NUMBERS
from models.interchange.rephrase import said_as_nir
from models.layers import Conv2dLif, FcLif, Normalise
from models.network import Network

__all__ = ["UNSAYABLE", "to_nir", "write"]

UNSAYABLE = {
    "mnist_dvs": "it pools by the maximum",
    "luna16cls": "it pools by the maximum",
    "cifar10_dvs": "it pools by the maximum",
    "jester": "it pools by the maximum",
    "es_imagenet": "it pools by the maximum",
    "imdb": "it looks words up",
    "meta_spikeformer_8_384": "its attention multiplies spikes by spikes",
    "meta_spikeformer_8_512": "its attention multiplies spikes by spikes",
    "meta_spikeformer_8_768": "its attention multiplies spikes by spikes",
}
"""Why NIR has no node for what a network does."""


def write(network: Network[Any], path: str | Path, window_us: int | None) -> None:
    """Write a network as a file of NIR; see `to_nir`.

    Raises:
        ModelError: It cannot be said, or the file cannot be written.
    """
    graph = to_nir(network, window_us)
    import nir

    try:
        nir.write(path, graph)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error}); choose another place") from None


def to_nir(network: Network[Any], window_us: int | None) -> Any:
    """Return a network as a graph of NIR, which steps as the network does by forward Euler.

    Args:
        network: In evaluation mode.
        window_us: Length of a step, µs; the graph's metadata tell it as ``dt``, s.

    Returns:
        A ``nir.NIRGraph``; its arrays have the type of the network's weights.

    Raises:
        ModelError: NIR cannot say what the network does; or the package is not installed.
    """
    try:
        import nir
    except ImportError:
        raise ModelError(
            "writing NIR needs the package nir; install event-pipeline[interop]"
        ) from None
    if window_us is None:
        raise ModelError(
            f"{network.name}: NIR is in continuous time, but nobody knows how long a step is; "
            "give window_us (--window-us)"
        )
    dt_s = window_us / 1e6
    if isinstance(network, NirNetwork):
        nodes, edges = _again(network, dt_s)
    elif isinstance(network, DvsGesture):
        nodes, edges = _chain(network, dt_s)
    else:
        reason = UNSAYABLE.get(network.name, "NIR has no node for one of its layers")
        raise ModelError(
            f"{network.name}: NIR cannot say what it does: {reason}; export it to onnx"
        )
    made = {name: getattr(nir, kind)(**fields) for name, (kind, fields) in nodes.items()}
    return nir.NIRGraph(nodes=made, edges=edges, metadata={"dt": dt_s})


def _chain(network: DvsGesture, dt_s: float) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return nodes, as (type, fields), and edges of a chain of layers of BIDL's neurons."""
    if network.options["mode"] != "spike":
        raise ModelError(
            f"{network.name}: NIR cannot say what it does: neurons in analog mode put their "
            "membrane out and reset it too; export it to onnx"
        )
    scale, shift = _input_norm(network)
    size = [*network.input_shape[1:]]
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "input": ("Input", {"input_type": np.array(network.input_shape)}),
        "norm": ("Conv2d", _conv(np.diag(scale)[..., None, None], shift, size)),
    }
    for name in ("conv1", "conv2", "conv3"):
        layer = getattr(network, name)
        weight, bias, decay = _folded(network, name, layer, layer.conv)
        nodes[name] = ("Conv2d", _conv(weight, bias, size, layer.conv.stride, layer.conv.padding))
        size = [*layer.output_size(*size)]
        nodes[f"{name}_lif"] = ("LIF", _neurons(layer, decay, (weight.shape[0], *size), dt_s))
    flat = np.array([weight.shape[0], *size])
    nodes["flatten"] = ("Flatten", {"input_type": {"input": flat}, "start_dim": 0, "end_dim": -1})
    for name in ("fc1", "fc2"):
        layer = getattr(network, name)
        weight, bias, decay = _folded(network, name, layer, layer.fc)
        nodes[name] = ("Affine", {"weight": weight, "bias": bias})
        nodes[f"{name}_lif"] = ("LIF", _neurons(layer, decay, (len(weight),), dt_s))
    nodes["output"] = ("Output", {"output_type": np.array([network.options["classes"]])})
    kept = np.float64 if network.dtype == torch.float64 else np.float32
    for _, fields in nodes.values():
        fields |= {k: v.astype(kept) for k, v in fields.items() if _is_floating(v)}
    return nodes, [*pairwise(nodes)]


def _is_floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _input_norm(network: DvsGesture) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scale and shift of each channel of a frame: those of `mean`, `std` and BatchNorm."""
    scale, shift = _batch_norm(network.norm)
    fixed = network.normalise
    if isinstance(fixed, Normalise):
        std = np.array(network.options["std"])
        shift = shift - scale * np.array(network.options["mean"]) / std
        scale = scale / std
    return scale, shift


def _batch_norm(norm: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scale and shift of each channel, of a BatchNorm in evaluation."""
    g = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
    return g, _array(norm.bias) - g * _array(norm.running_mean)


def _folded(
    network: DvsGesture, name: str, layer: Conv2dLif | FcLif, product: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return weight, bias and decay of each channel, with the BatchNorm of the membrane in them.

    Raises:
        ModelError: A neuron is none that leaks, or does not begin where NIR's do.
    """
    g, b = _batch_norm(layer.norm)
    alpha, beta, *_ = (_array(value).reshape(-1) for value in layer.constants)
    decay = g * alpha
    if np.any(beta != 0):
        raise ModelError(
            f"{network.name}: NIR cannot say what {name} does: beta is {beta.flat[0]:g}, and NIR "
            "does not say that a membrane starts elsewhere than its leak; export it to onnx"
        )
    wrong = np.flatnonzero((decay <= 0) | (decay >= 1))
    if len(wrong):
        raise ModelError(
            f"{network.name}: NIR cannot say what {name} does: {len(wrong)} of {len(decay)} "
            f"channels keep {decay[wrong[0]]:.4g} of their membrane (channel {wrong[0]}), alpha "
            "times BatchNorm's scale, and a leaky neuron keeps between 0 and 1; export it to onnx"
        )
    weight = _array(product.weight)
    return weight * g.reshape(-1, *(1,) * (weight.ndim - 1)), _array(product.bias) * g + b, decay


def _neurons(
    layer: Conv2dLif | FcLif, decay: NDArray[np.float64], shape: tuple[int, ...], dt_s: float
) -> dict[str, Any]:
    """Return the fields of leaky neurons that keep `decay` of their membrane in a step."""
    theta, v_0 = (_array(value).reshape(-1) for value in layer.constants[2:])
    values = {
        "tau": dt_s / (1 - decay),
        "r": 1 / (1 - decay),
        "v_leak": np.zeros(1),
        "v_threshold": theta,
        "v_reset": v_0,
    }
    ones = (1,) * (len(shape) - 1)
    return {
        name: np.broadcast_to(value.reshape(-1, *ones), shape).copy()
        for name, value in values.items()
    }


def _conv(
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    size: list[int],
    stride: tuple[int, ...] = (1, 1),
    padding: tuple[int, ...] = (0, 0),
) -> dict[str, Any]:
    return {
        "input_shape": tuple(size),
        "weight": weight,
        "bias": bias,
        "stride": stride,
        "padding": padding,
        "dilation": (1, 1),
        "groups": 1,
    }


def _array(value: Tensor | float) -> NDArray[np.float64]:
    tensor = torch.as_tensor(value, dtype=torch.float64).detach()
    array: NDArray[np.float64] = tensor.cpu().numpy()
    return array


def _again(network: NirNetwork, dt_s: float) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the graph that a network was read from, as NIR steps it, for steps of `dt_s`.

    Raises:
        ModelError: Its neurons do what NIR has no word for.
    """
    scheme, written = network.scheme, network.graph["nodes"]
    if FIRING & {node["type"] for node in written.values()}:
        for key, value, sayable in (
            ("reset", scheme.reset, ("value",)),
            ("fires", scheme.fires, ("above", "at")),
        ):
            if value not in sayable:
                raise ModelError(
                    f"{network.name}: NIR cannot say what it does: its neurons have {key} ="
                    f" {value!r}, and in NIR a spike sets the membrane to one value; export it to"
                    " onnx"
                )
    nodes = {}
    for name, node in written.items():
        kind = node["type"]
        shape = network.shape_of(name)
        if kind in ("Input", "Output"):
            nodes[name] = (kind, {f"{kind.lower()}_type": np.array(shape)})
            continue
        fields = {key: node[key] for key in NUMBERS.get(kind, ())}
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        kept = network.node(name)
        arrays = {key: getattr(kept, key).detach().cpu() for key in ARRAYS[kind]}
        arrays |= said_as_nir(kind, arrays, scheme, dt_s)
        if "weight" not in arrays:  # one number for all: `nir` takes its shape for the input's
            arrays = {key: tensor.expand(shape) for key, tensor in arrays.items()}
        fields |= {key: tensor.numpy().copy() for key, tensor in arrays.items()}
        if kind == "Flatten":
            fields["input_type"] = {"input": np.array(shape)}
        if kind.startswith("Conv"):
            fields["input_shape"] = shape[1:] if kind == "Conv2d" else shape[1]
        if kind.endswith("Pool2d"):
            fields = {key: np.array(np.broadcast_to(value, 2)) for key, value in fields.items()}
        nodes[name] = (kind, fields)
    return nodes, [(a, b) for a, b in network.graph["edges"]]
