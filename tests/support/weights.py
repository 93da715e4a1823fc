"""Untrained weights with a card, for tests of what is around a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import models
from models.weights import save

CLASSES = tuple(f"gesture {k}" for k in range(11))


def random_weights(
    path: Path,
    window_us: int | None = 25_000,
    size: tuple[int, int] = (40, 40),
    network: str = "dvs_gesture",
    frame: str = "counts",
    classes: Sequence[str] = CLASSES,
    **options: Any,
) -> Path:
    """Write a network that fires at all rates, so that nothing is equal by silence."""
    torch.manual_seed(0)
    built = models.build(network, classes=len(classes), size=list(size), **options)
    for name, tensor in built.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(0.05)
    card = models.ModelCard(
        network=network,
        options=built.options,
        classes=tuple(classes),
        sensor_size=(128, 128),
        input_size=size,
        window_us=window_us,
        steps=built.options["steps"],
        frame=frame,
        data="none: random weights",
        accuracy="none",
        licence="Apache-2.0",
        created_by="tests",
    )
    save(built, card, path)
    return path
