"""The card of a trained model, and how it is read without loading the model.

A card travels inside its safetensors file, as JSON under the metadata key ``card``. A safetensors
file is an 8-byte little-endian length, that many bytes of JSON header, then the tensors
(https://github.com/huggingface/safetensors#format), so a card is read from the first kilobytes
with neither torch nor numpy.
"""

import math
from pathlib import Path
from typing import Annotated, Any

import msgspec

from models.errors import ModelError

__all__ = ["ModelCard", "TrainedWords", "read_card"]

_LARGEST_HEADER = 100_000_000  # bytes; safetensors' own limit

_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2}
_BYTES |= {"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Size = tuple[_Count, _Count]


class TrainedWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vocabulary that a network of words was trained with; with another it answers nonsense.

    Attributes:
        ids: How many ids there are: of the words, of the padding and of the unknown word.
        sha256: Of the words, one a line, in UTF-8.
    """

    ids: _Count
    sha256: str


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one must know to use trained weights, and to trust them.

    Attributes:
        network: Name in the registry of `models`.
        options: Keyword arguments of the network: JSON values, finite numbers.
        classes: Class names, in output order.
        sensor_size: (height, width) of the sensor that the frames came from, pixels; that of a
            frame where nobody knows it.
        input_size: (height, width) of a frame, pixels.
        window_us: Length of one time step, microseconds; None where a step has no length in time,
            or nobody knows it.
        frame: What a frame holds, as the stages that make it call it: ``counts`` of events,
            ``bgr`` pictures, ``tokens``.
        vocabulary: That of ``tokens``; None where there is none, or nobody knows it.
        steps: Steps that one prediction is made of.
        data: What it was trained on; says so when the data are simulated.
        accuracy: What share was right, and of which recordings.
        licence: Licence of the weights.
        created_by: Program and version that wrote the file.
    """

    network: str
    options: dict[str, Any]
    classes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    sensor_size: _Size
    input_size: _Size
    window_us: _Count | None
    steps: _Count
    data: str
    accuracy: str
    licence: str
    created_by: str
    frame: str = "counts"
    vocabulary: TrainedWords | None = None


class _Tensor(msgspec.Struct):
    """One tensor's entry in the header."""

    dtype: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    data_offsets: tuple[int, int]


def read_card(path: str | Path) -> ModelCard:
    """Read the card of a weights file; the tensors are checked for length, not read.

    Args:
        path: A safetensors file written by `models.weights.save`.

    Raises:
        ModelError: The file is missing, empty, cut short, damaged, not safetensors, or has no
            usable card.
    """
    path = Path(path)
    entries, held = _read_header(path)
    try:
        metadata = msgspec.json.decode(entries.pop("__metadata__", b"{}"), type=dict[str, str])
        tensors = [msgspec.json.decode(entry, type=_Tensor) for entry in entries.values()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _bad(path, f"its header is damaged ({error})") from error
    _check_tensors(path, tensors, held)
    if "card" not in metadata:
        raise ModelError(
            f"{path}: weights must carry a model card, this file has none; "
            "write it with `models.weights.save`"
        )
    try:
        return msgspec.json.decode(metadata["card"], type=ModelCard)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path}: its model card cannot be read ({error}); "
            "train or save the model again with this version"
        ) from error


def _read_header(path: Path) -> tuple[dict[str, msgspec.Raw], int]:
    """Return the header's entries and the number of bytes behind the header."""
    try:
        with path.open("rb") as file:
            prefix = file.read(8)
            if prefix.startswith((b"PK\x03\x04", b"\x80\x02")):  # a zip, or a pickle
                raise ModelError(
                    f"{path}: is a checkpoint of torch, not a weights file of ours; bring it in"
                    f" with `pipeline models import {path} --as NETWORK`"
                )
            length = int.from_bytes(prefix, "little")
            left = path.stat().st_size - 8
            if left < 0:
                raise _bad(path, f"a safetensors file has at least 8 bytes, this one {left + 8}")
            if length > min(left, _LARGEST_HEADER):
                raise _bad(
                    path, f"it claims a header of {length} bytes and holds {left} after the length"
                )
            header = file.read(length)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: there is no such file; check the path to the weights, or make them:"
            " `pipeline train RECIPE.toml` trains, `pipeline models new --for PIPELINE.toml` makes"
            " untrained ones that fit it"
        ) from error
    except (OSError, ValueError) as error:  # a path with a NUL character is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ModelError(
            f"{path}: cannot be read ({reason}); check the path to the weights"
        ) from error
    try:
        return msgspec.json.decode(header, type=dict[str, msgspec.Raw]), left - length
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(path, f"its header is not JSON ({error})") from error


def _check_tensors(path: Path, tensors: list[_Tensor], held: int) -> None:
    """Refuse tensors whose bytes do not tile the `held` bytes behind the header."""
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.data_offsets):
        begin, stop = tensor.data_offsets
        if begin != end or stop < begin:
            raise _bad(path, f"its tensors leave a gap or overlap at byte {begin}")
        width = _BYTES.get(tensor.dtype)
        if width is not None and math.prod(tensor.shape) * width != stop - begin:
            raise _bad(path, f"a tensor of shape {tensor.shape} has {stop - begin} bytes")
        end = stop
    if end != held:
        raise _bad(path, f"its tensors need {end} bytes, it holds {held}")


def _bad(path: Path, found: str) -> ModelError:
    return ModelError(
        f"{path}: must be a whole safetensors file, but {found}; "
        "copy it again, or name the weights file written by training"
    )
