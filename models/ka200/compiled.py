"""What `pipeline compile` leaves in a folder, and how it is read without torch.

The folder has ``compiled.json``, which says what was compiled and how; ``weights.safetensors``, a
copy of the weights, for the head and the emulator; and, where Lynxi's compiler was there,
``Net_0``, the network that the chip runs.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from models.card import ModelCard
from models.errors import ModelError

__all__ = [
    "BURST",
    "COMPILED",
    "NETWORK",
    "PAIRS",
    "WEIGHTS",
    "Compiled",
    "Layout",
    "check_network",
    "read_compiled",
    "write_compiled",
]

COMPILED = "compiled.json"
WEIGHTS = "weights.safetensors"
NETWORK = "Net_0"

PAIRS = 3
"""Pairs of buffers on the chip: one copied in, one computed, one copied back."""
BURST = 8
"""Steps that a pair has room for."""

Layout: TypeAlias = Literal["nchw", "nhwc"]
"""Order of a frame's axes on the chip: channels first, as everywhere here, or last."""

_Count = Annotated[int, msgspec.Meta(ge=1)]


class Compiled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was compiled, and how.

    Attributes:
        card: Of the weights.
        weights_sha256: Of the weights file.
        input_shape: (channels, height, width) of a frame.
        features: Outputs of a step.
        batch: Streams that the network runs at a time.
        input_type: What a frame's numbers are on the chip.
        layout: Order of its axes there; `input_shape` has channels first all the same.
        mean_steps: None: each step's output comes out; else the running mean of so many.
    """

    card: ModelCard
    weights_sha256: str
    input_shape: tuple[_Count, _Count, _Count]
    features: _Count
    batch: _Count = 1
    input_type: Literal["uint8", "float32"] = "uint8"
    layout: Layout = "nchw"
    mean_steps: _Count | None = None


def write_compiled(compiled: Compiled, folder: Path) -> None:
    """Write ``compiled.json`` into a folder that is there.

    Raises:
        ModelError: It cannot be written.
    """
    try:
        (folder / COMPILED).write_bytes(msgspec.json.format(msgspec.json.encode(compiled)))
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written ({error}); choose another place") from None


def read_compiled(folder: Path, for_chip: bool = False) -> Compiled:
    """Read what a folder holds, and check that it is whole.

    Args:
        folder: That `pipeline compile` made.
        for_chip: Whether the network for the chip must be there, for one stream.

    Raises:
        ModelError: It is none, or not whole; or it has no network for the chip.
    """
    try:
        compiled = msgspec.json.decode((folder / COMPILED).read_bytes(), type=Compiled)
    except OSError as error:
        raise ModelError(
            f"{folder}: must be a folder that `pipeline compile` made, but its {COMPILED} cannot be"
            f" read ({error.strerror}); make it: pipeline compile WEIGHTS --out {folder}"
            f"{'' if for_chip else ' --emulator'}"
        ) from None
    except msgspec.DecodeError as error:
        raise ModelError(
            f"{folder / COMPILED}: cannot be read ({error}); compile the network again"
        ) from None
    try:
        with (folder / WEIGHTS).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"{folder / WEIGHTS}: cannot be read ({error.strerror}); compile the network again"
        ) from None
    if found != compiled.weights_sha256:
        raise ModelError(
            f"{folder / WEIGHTS}: must be the weights that were compiled, but is not; compile the"
            " network again"
        )
    if for_chip:
        check_network(folder / NETWORK)
        if compiled.batch != 1:
            raise ModelError(
                f"{folder}: was compiled for {compiled.batch} streams at a time, and a chip has one"
                " here; compile it again with --batch 1"
            )
    return compiled


def check_network(network: Path) -> int:
    """Return the batch that a network for the chip was compiled for.

    Raises:
        ModelError: It is not there, or its batch is not what the chip takes at a time.
    """
    path = network / "apu_0" / "apu_x" / "apu.json"
    try:
        told: dict[str, Any] = msgspec.json.decode(path.read_bytes())["apu_x"]
        batch, slices = int(told["batch_size"]), int(told["n_slice"])
    except FileNotFoundError:
        raise ModelError(
            f"{network}: there is no network for the chip, only what the emulator needs; compile"
            ' it where Lynxi\'s lyngor is installed, or set backend = "emulator"'
        ) from None
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error!r}); compile the network again") from None
    if batch != slices:
        raise ModelError(
            f"{path}: batch_size and n_slice must be equal, got {batch} and {slices}; compile the"
            " network again with another batch"
        )
    return batch
