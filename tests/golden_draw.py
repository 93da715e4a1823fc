"""Parameters and inputs that the golden numbers in ``tests/golden`` were computed on.

Every array has its own generator, numpy's default one, seeded with the CRC-32 of ``word/name``
where the word is ``dev``; parameters are standard normal numbers scaled and moved by kind. All
float64. The golden numbers are what the published reference code gives for these.
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

GOLDEN = Path(__file__).parent / "golden"
WORD = "dev"


def generator(seed: str) -> np.random.Generator:
    """Return the generator of one array."""
    return np.random.default_rng(zlib.crc32(seed.encode()))


def parameter(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw one parameter by its name in the reference's checkpoint."""
    normal = generator(f"{WORD}/{name}").standard_normal(shape)
    match name.split(".")[-1], len(shape):
        case "running_mean" | "bias", _:
            return normal * 0.1
        case "running_var", _:
            return np.abs(normal) * 0.2 + 1.0
        case "weight", 1:  # of a batch norm
            return normal * 0.1 + 1.0
        case "weight", _:  # of a convolution or a linear map: by fan-in
            return normal * (1.5 / math.sqrt(math.prod(shape[1:])))
    raise ValueError(f"no rule draws {name}")


def parameters(network: str) -> dict[str, NDArray[np.float64]]:
    """Draw all parameters of a network."""
    shapes = json.loads((GOLDEN / f"{network}.params.json").read_text())
    return {name: parameter(name, tuple(shape)) for name, shape in shapes.items()}


def tensors(name: str) -> dict[str, torch.Tensor]:
    """Draw all parameters of a golden file, as the checkpoint that a program would load."""
    return {key: torch.from_numpy(array) for key, array in parameters(name).items()}


def event_frames(network: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw a network's input: Poisson counts, 0.15 events a pixel and step."""
    counts = generator(f"{WORD}{network}/input").poisson(0.15, shape)
    return counts.astype(np.float64)


def image_frames(network: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Draw a network's input: uniform numbers from 0 to 1."""
    return generator(f"{WORD}{network}/input").random(shape)


def golden(network: str) -> dict[str, NDArray[np.float64]]:
    """Return the reference's numbers for a network."""
    with np.load(GOLDEN / f"{network}.npz") as arrays:
        return dict(arrays)
