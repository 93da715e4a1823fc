"""Weights with their card, in one safetensors file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.card import ModelCard, read_card
from models.errors import ModelError
from models.lif import Constants
from models.network import Network

__all__ = ["load", "restore", "save"]

_WRAPPERS = frozenset({"module", "_orig_mod", "backbone", "unit"})
"""Parts of names that parallel training, compiling and BIDL's own wrappers add."""


def save(
    network: Network[Any], card: ModelCard, path: str | Path, dtype: torch.dtype = torch.float16
) -> None:
    """Write a network's weights with their card; the file appears whole or not at all.

    Args:
        network: The network that `card` describes.
        card: Its card.
        path: The file, replaced if it exists.
        dtype: Type of the numbers on disk; float16 halves the file. Rounding moves membranes
            that are near the threshold, so measure accuracy on what `load` gives back.

    Raises:
        ModelError: A weight is not finite in `dtype`, or the file cannot be written.
    """
    path = Path(path)
    tensors = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):  # only a cumulative average would read it
            continue
        # Leak and threshold act on every step: rounding them would shift all membranes.
        constant = name.rpartition(".")[2] in Constants._fields
        kept = torch.promote_types(dtype, torch.float32) if constant else dtype
        tensors[name] = tensor.detach().to("cpu", kept).contiguous()
        if not tensors[name].isfinite().all():
            raise ModelError(
                f"{name} must be finite in {dtype} to be saved, its largest value is "
                f"{float(tensor.abs().max()):g}; train with a lower learning rate, "
                "or save with dtype=torch.float32"
            )
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One key only: safetensors writes several in random order.
        save_file(tensors, part, {"card": msgspec.json.encode(card).decode()})
        part.chmod(0o644)  # safetensors makes files that nobody else may read
        os.replace(part, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path}: cannot be written ({error}); choose another place") from error


def load(
    path: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Network[Any]:
    """Build the network that a weights file's card names, and fill it.

    Args:
        path: A safetensors file with a card.
        device: Where to put the network.
        dtype: Type to compute in.

    Returns:
        The network, in evaluation mode, its weights needing no gradient: a stream would
        otherwise remember every step. Training asks for gradients again.

    Raises:
        ModelError: The file or its card cannot be used, or the tensors do not fit the network.
    """
    card = read_card(path)
    try:
        tensors = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path}: its tensors cannot be read ({error}); copy it again") from error
    return restore(card.network, tensors, str(path), dtype, card.options).to(device)


def restore(
    name: str,
    tensors: Mapping[str, Tensor],
    origin: str,
    dtype: torch.dtype,
    options: Mapping[str, Any],
) -> Network[Any]:
    """Build a network and fill it.

    Args:
        name: A key of `models.NETWORKS`.
        tensors: Parameter name -> tensor, in this network's names or in the published ones, with
            or without what wrappers add. BatchNorm's ``num_batches_tracked`` may be absent.
        origin: Where they come from, for the message.
        dtype: Type to compute in.
        options: The network's options.

    Returns:
        The network in evaluation mode, its weights needing no gradient.

    Raises:
        ModelError: The name or an option is wrong, or a tensor is missing, unknown or of another
            shape.
    """
    from models import build, network_class

    bare = {_bare(written): tensor for written, tensor in tensors.items()}
    told = network_class(name).told_by(bare)
    with torch.random.fork_rng():  # the weights drawn here are overwritten: draw in private
        network = build(name, **{**told, **options}).to(dtype)
    given = network.translate(bare, origin)
    _fill(network, given, _Written(network, tensors, given), origin)
    return network.eval().requires_grad_(False)


class _Written:
    """How a file writes the names of parameters.

    Args:
        network: The network that they are of.
        tensors: Name in the file -> tensor.
        given: Name in the network -> the same tensor, or one made of several.
    """

    def __init__(
        self, network: Network[Any], tensors: Mapping[str, Tensor], given: Mapping[str, Tensor]
    ) -> None:
        names = {id(tensor): name for name, tensor in tensors.items()}
        self._names = {ours: names.get(id(tensor), ours) for ours, tensor in given.items()}
        bare = set(map(_bare, tensors))
        published = bool(given.keys() - bare) or not bare & network.state_dict().keys()
        reference = network.reference_names if published else {}
        self._published = {ours: theirs for theirs, ours in reversed([*reference.items()])}

    def __call__(self, name: str) -> str:
        """Return a parameter's name in the file, or what it would be there if it is missing."""
        if name in self._names:
            return self._names[name]
        prefix, _, last = name.rpartition(".")
        return ".".join(part for part in (self._published.get(prefix, prefix), last) if part)


def _fill(
    network: Network[Any], tensors: Mapping[str, Tensor], written: _Written, origin: str
) -> None:
    """Copy tensors into a network by name, every one of them."""
    wanted = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    given = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    _fit_constants(network, wanted, given, written, origin)
    wrong = [f"{written(name)} is missing" for name in wanted if name not in given]
    wrong += [f"{written(name)} is unknown" for name in given if name not in wanted]
    other = [n for n, t in wanted.items() if n in given and given[n].shape != t.shape]
    if other and not wrong:
        _check_classes(network, wanted, {name: given[name] for name in other}, written, origin)
    wrong += [
        f"{written(name)} is {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in other
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(
            f"{origin}: must fit {network.name}, but {', '.join(wrong[:3])}{more}; "
            "check the network's name and options"
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(given[name])


def _check_classes(
    network: Network[Any],
    wanted: Mapping[str, Tensor],
    other: Mapping[str, Tensor],
    written: _Written,
    origin: str,
) -> None:
    """Where all that differs is the number of classes, say so."""
    classes = network.options["classes"]
    rows = {len(tensor) if tensor.ndim else 0 for tensor in other.values()}
    if len(rows) == 1 and all(
        wanted[name].shape == (classes, *tensor.shape[1:]) for name, tensor in other.items()
    ):
        (found,) = rows
        raise ModelError(
            f"{origin}: must fit {network.name} with {classes} classes, but its head "
            f"({written(next(iter(other)))}) has {found}; set classes = {found}, on the command "
            f"line --option classes={found} or --classes with {found} names"
        )


def _fit_constants(
    network: Network[Any],
    wanted: dict[str, Tensor],
    given: dict[str, Tensor],
    written: _Written,
    origin: str,
) -> None:
    """Bring the neurons' constants of a checkpoint into this network's form.

    BIDL keeps them in every checkpoint, with axes of length 1; here they are in a file only where
    they were trained, otherwise the options tell them.
    """
    fixed = dict(network.named_buffers())
    for name in [name for name in given if name.rpartition(".")[2] in Constants._fields]:
        if name in wanted:
            if given[name].numel() == wanted[name].numel():
                given[name] = given[name].reshape(wanted[name].shape)
        elif name in fixed:
            value = given.pop(name)
            if not torch.allclose(value.to(fixed[name]), fixed[name]):
                raise ModelError(
                    f"{origin}: {written(name)} must be what the options say, "
                    f"{fixed[name].flatten().tolist()[:3]}, got {value.flatten().tolist()[:3]}; "
                    "set it in the option `lif`, with learnable = true where it was trained"
                )
    for name, tensor in wanted.items():
        if name.rpartition(".")[2] in Constants._fields:
            given.setdefault(name, tensor)


def _bare(name: str) -> str:
    """Return a parameter's name without the wrappers of its training."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)
