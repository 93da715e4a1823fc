"""A toy problem that no single frame answers (which way does the bar move?), and runs on it."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.training import LabelledFrames, Recipe, read_recipe

__all__ = ["moving_bars", "recipe", "train_and_tell"]


def moving_bars(count: int, person: int, seed: int, side: int = 8) -> LabelledFrames:
    """Draw a bar that wraps round, going left or right from anywhere; polarity says nothing."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    start = rng.integers(0, side, count)
    column = (start[:, None] + (2 * labels - 1)[:, None] * np.arange(8)) % side  # (count, steps)
    frames = rng.poisson(0.02, (count, 8, 2, side, side))
    frames += 2 * (column[:, :, None, None, None] == np.arange(side))
    classes = ("left", "right")
    groups = np.full(count, person)
    return LabelledFrames(frames.astype(np.uint8), labels, groups, classes, (side, side), 1000)


def recipe(**tables: dict[str, Any]) -> Recipe:
    """Return a recipe for the bars; each table's keys are laid over it."""
    whole: dict[str, dict[str, Any]] = {
        "data": {"set": "bars"},
        "network": {
            "name": "dvs_gesture",
            "options": {"classes": 2, "size": [8, 8], "steps": 8},
        },
        "training": {"epochs": 4, "learning_rate": 2e-3, "logit_scale": 10, "norm_momentum": 0.2},
        "card": {"data": "simulated bars", "licence": "Apache-2.0"},
    }
    for name, table in tables.items():
        whole[name] = whole.get(name, {}) | table
    return read_recipe(whole)


def train_and_tell(out: Path, tables: dict[str, dict[str, Any]], teller: Connection) -> None:
    """Train in a process of its own, and tell after each step that it is done."""
    from models.training.trainer import train

    torch.set_num_threads(1)

    def tell() -> bool:
        teller.send("step")
        return False

    train(recipe(**tables), moving_bars(48, 0, 1, 16), moving_bars(8, 1, 2, 16), out, stop=tell)


def interrupted_after(steps: int) -> Callable[[], bool]:
    """Return a `stop` that says yes after so many questions."""
    asked = iter(range(1, steps))

    def stop() -> bool:
        return next(asked, None) is None

    return stop
