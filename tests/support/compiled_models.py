"""Folders as `pipeline compile` leaves them, without Lynxi's compiler."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import msgspec
from weights import random_weights

import models
from models.ka200.compiled import Compiled, write_compiled

__all__ = ["compiled_model", "emptied"]


def compiled_model(folder: Path, batch_size: int = 1, n_slice: int = 1, **changes: Any) -> Path:
    """Make a folder of a small network of random weights; ``Net_0`` is a double's.

    Args:
        folder: Where; made.
        batch_size: What the chip's network says of itself; `n_slice` likewise.
        changes: What ``compiled.json`` says otherwise.
    """
    apu = folder / "Net_0" / "apu_0" / "apu_x"
    apu.mkdir(parents=True)
    weights = random_weights(folder / "weights.safetensors")
    (apu / "apu.json").write_bytes(
        msgspec.json.encode({"apu_x": {"batch_size": batch_size, "n_slice": n_slice}})
    )
    fields: dict[str, Any] = {
        "card": models.read_card(weights),
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "input_shape": (2, 40, 40),
        "features": 11,
    }
    write_compiled(Compiled(**{**fields, **changes}), folder)
    return folder


def emptied(folder: Path) -> Path:
    """Take away what only the chip needs."""
    shutil.rmtree(folder / "Net_0")
    return folder
