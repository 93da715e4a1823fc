"""The tensors of a weights file as NumPy arrays, without torch."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError

__all__ = ["read_tensors", "tensor_of"]

_KINDS = {"F16": np.float16, "F32": np.float32, "F64": np.float64}


def read_tensors(
    path: str | Path, wanted: Collection[str] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Read tensors of a weights file as float32.

    Args:
        path: A safetensors file.
        wanted: Names of those to read, None for all; one that is not there is left out.

    Raises:
        ModelError: The file cannot be read, or a tensor is not of a floating type.
    """
    import safetensors

    deserialize: Any = safetensors.deserialize
    try:
        found = deserialize(Path(path).read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path}: its tensors cannot be read ({error}); copy it again") from error
    return {
        name: _array(each, f"{path}: {name}")
        for name, each in found
        if wanted is None or name in wanted
    }


def tensor_of(
    tensors: Mapping[str, NDArray[Any]], name: str, shape: Sequence[int | None], network: str
) -> NDArray[np.float32]:
    """Return a tensor as float32.

    Args:
        tensors: By their names.
        name: Which.
        shape: It must have; None stands for any number.
        network: For the message.

    Raises:
        ModelError: It is missing, or has another shape.
    """
    found = tensors.get(name)
    if (
        found is None
        or found.ndim != len(shape)
        or any(want not in (None, got) for want, got in zip(shape, found.shape, strict=True))
    ):
        has = "none" if found is None else f"one of {found.shape}"
        text = ", ".join("any" if side is None else str(side) for side in shape)
        raise ModelError(
            f"{network}: there must be a tensor {name} of ({text}), the file has {has}; it is "
            "damaged, or its card is not its own"
        )
    return found.astype(np.float32)


def _array(each: Mapping[str, Any], place: str) -> NDArray[np.float32]:
    kind, shape, data = each["dtype"], each["shape"], each["data"]
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view(np.float32).reshape(shape)
    if kind not in _KINDS:
        raise ModelError(f"{place} must be of a floating type, it is of {kind}; save it as one")
    return np.frombuffer(data, _KINDS[kind]).astype(np.float32).reshape(shape)
