"""Training checkpoints, as they are published: read safely, and made a network of."""

import argparse
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.errors import ModelError
from models.network import Network
from models.weights import restore

__all__ = ["from_checkpoint", "read_checkpoint"]

_NESTS = ("state_dict", "model")
"""Where training programs keep the parameters in a checkpoint."""


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read the parameters of a training checkpoint: ``.pth``, or safetensors without a card.

    A pickle may run any program as it is read. This reads tensors, numbers and texts alone
    (``torch.load(weights_only=True)``), and the arguments that BICLab keeps beside them, which are
    a plain namespace; a file that needs more is refused.

    Args:
        path: The checkpoint.

    Returns:
        Parameter name, as the file has it -> tensor, on the processor.

    Raises:
        ModelError: The file cannot be read, is no checkpoint, or needs more than that.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            begin = file.read(9)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    try:
        if begin[8:] == b"{":
            checkpoint = load_file(path)
        else:
            with (
                torch.serialization.safe_globals([argparse.Namespace]),
                warnings.catch_warnings(action="ignore"),  # of kinds of pickle: refused below
            ):
                checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises is anybody's guess
        needed = re.search(r"GLOBAL ([\w.]+)", str(error))
        if needed is None:
            raise _no_checkpoint(path, "it is damaged, or of another kind") from error
        raise ModelError(
            f"{path}: must hold only tensors, numbers and texts, but it needs {needed[1]}: reading "
            "it could run any program; where it was made, save its state_dict() alone"
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise _no_checkpoint(path, f"it holds a {type(checkpoint).__name__}")
    return _parameters(checkpoint, str(path))


def _no_checkpoint(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path}: must be a checkpoint of torch or a safetensors file, but {reason}; "
        "copy it again, or name the file that training wrote"
    )


def from_checkpoint(
    name: str, checkpoint: Mapping[str, Any], origin: str, options: Mapping[str, Any]
) -> Network[Any]:
    """Build a network and fill it from a training checkpoint; see `models.from_reference`.

    BIDL saves a dictionary with ``state_dict``, BICLab one with ``model``; parallel training,
    compiling, a classifier around the backbone and layers wrapped over time each add a part to the
    names, which is cut off. Messages name a parameter as the file does.

    Args:
        name: A key of `models.NETWORKS`.
        checkpoint: What `read_checkpoint` gives, or the whole dictionary.
        origin: Where it comes from, for the message.
        options: The network's options.

    Raises:
        ModelError: The name, an option or a parameter is unknown or does not fit, or a number is
            not finite.
    """
    tensors = _parameters(checkpoint, origin)
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    if len(dtypes) != 1:
        found = ", ".join(sorted(map(str, dtypes))) or "none"
        raise ModelError(f"{origin}: a checkpoint must have one floating dtype, got {found}")
    for parameter, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ModelError(
                f"{origin}: {parameter} must be finite, but it has NaN or infinity; "
                "its training went astray, take an earlier checkpoint"
            )
    return restore(name, tensors, origin, dtypes.pop(), options)


def _parameters(checkpoint: Mapping[str, Any], origin: str) -> dict[str, Tensor]:
    """Return the parameters of a training checkpoint, out of what it keeps beside them.

    Raises:
        ModelError: There are no tensors in it.
    """
    found: Any = checkpoint
    for key in _NESTS:
        if isinstance(found.get(key), Mapping):
            found = found[key]
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            raise ModelError(
                f"{origin}: must hold tensors by parameter name, or a dictionary of them under "
                f"{' or '.join(_NESTS)}, but {name!r} is {type(tensor).__name__}"
            )
    return {str(name): tensor for name, tensor in found.items()}
