"""How far float16 drifts on the emulated KA200 where nothing is reset, beside float32.

Usage: python -m benchmarks.ka200_drift WEIGHTS RECORDING [STEPS]

The recording's windows are shown again and again, STEPS in all (10,000), to the network and to the
emulated chip, each with its own membranes. For each thousand it tells what share of the outputs is
equal, of the predictions of the last 60 windows at each, and how far scores are apart at most.
Networks whose outputs are the class scores.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import models
from models.ka200.emulator import Emulator
from stages.inference.binned import frames_of

__all__ = ["drift"]

_BLOCK = 1000


def outputs(weights: Path, frames: NDArray[Any], steps: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what the emulated chip and the network put out, (steps, classes)."""
    network = models.load(weights)
    chip, state = Emulator(network), network.initial_state(1)
    ours, theirs = [], []
    with torch.inference_mode():
        for k in range(steps):
            frame = frames[k % len(frames)]
            ours.append(chip.step(frame))
            y, state = network.step(torch.from_numpy(frame[None].astype(np.float32)), state)
            theirs.append(y[0].numpy())
    return np.stack(ours), np.stack(theirs)


def scores(outputs: NDArray[Any], steps: int) -> NDArray[np.float64]:
    """Return the mean of the last `steps` outputs at each step from there on."""
    sums = np.cumsum(np.vstack([np.zeros((1, outputs.shape[1])), outputs]), axis=0)
    means: NDArray[np.float64] = (sums[steps:] - sums[:-steps]) / steps
    return means


def drift(weights: Path, recording: Path, steps: int = 10_000) -> None:
    """Print a line for each thousand steps."""
    torch.set_num_threads(1)
    card = models.read_card(weights)
    chip, network = outputs(weights, frames_of(card, recording), steps)
    for first in range(0, steps, _BLOCK):
        begin = max(0, first - card.steps + 1)
        part = slice(begin, first + _BLOCK)
        one, other = scores(chip[part], card.steps), scores(network[part], card.steps)
        print(
            f"{first + 1} to {first + _BLOCK}:"
            f" outputs {(chip[part] == network[part]).mean():.2%},"
            f" predictions {(one.argmax(1) == other.argmax(1)).mean():.2%} equal,"
            f" scores {np.abs(one - other).max():.3f} apart"
        )


if __name__ == "__main__":
    drift(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
