"""Untrained weights with a card, for tests of what is around the network."""

from pathlib import Path

import torch

import models
from models.weights import save

CLASSES = tuple(f"gesture {k}" for k in range(11))


def random_weights(path: Path, window_us: int = 25_000, size: tuple[int, int] = (40, 40)) -> Path:
    """Write a DVS Gesture network that fires at all rates, so that nothing is equal by silence."""
    torch.manual_seed(0)
    network = models.build("dvs_gesture", size=list(size))
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(0.05)
    card = models.ModelCard(
        network="dvs_gesture",
        options=network.options,
        classes=CLASSES,
        sensor_size=(128, 128),
        input_size=size,
        window_us=window_us,
        steps=60,
        data="none: random weights",
        accuracy="none",
        licence="Apache-2.0",
        created_by="tests",
    )
    save(network, card, path)
    return path
