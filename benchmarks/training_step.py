"""One training step of the DVS Gesture network, measured in this process.

Usage: PYTHON training_step.py NAME STEPS. It prints JSON: the seconds of each step after a first
one, the peak memory of the process before the steps and after, MB, and torch's version. Apart
from torch it needs only what NAME stands for, so that a peer's own interpreter can run it.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["STEPS", "main"]

BATCH, TIME, CLASSES = 16, 60, 11
Scores = Callable[[Tensor], Tensor]


def ours() -> tuple[nn.Module, Scores]:
    """Our network as training runs it."""
    import models

    network = models.build("dvs_gesture").train()
    return network, lambda x: network.decide(network(x)[0])


def loop() -> tuple[nn.Module, Scores]:
    """Our plain loop over single steps, each operation by itself."""
    from models.layers import LifLayer, StepNorm2d

    def each(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
        return torch.stack([nn.BatchNorm2d.forward(self, now) for now in x.unbind(1)], 1)

    LifLayer.forward = LifLayer.loop  # type: ignore[method-assign]
    StepNorm2d.forward = each  # type: ignore[method-assign, assignment]
    return ours()


def spikingjelly() -> tuple[nn.Module, Scores]:
    """The same layers, multi-step; BatchNorm stands before the neurons and takes all steps at once.

    Its neurons cannot normalise their membrane. Leak, threshold, reset and surrogate are the same.
    """
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def neurons() -> nn.Module:
        rectangle = surrogate.Rect(alpha=1.0)
        return neuron.LIFNode(1 / 0.7, False, 0.5, 0.0, rectangle)

    widths = (2, 64, 128, 256)
    parts: list[nn.Module] = [layer.BatchNorm2d(2)]
    for inputs, outputs in pairwise(widths):
        convolution = layer.Conv2d(inputs, outputs, 3, 2, 1)
        parts += [convolution, layer.BatchNorm2d(outputs), neurons()]
    parts.append(layer.Flatten())
    for inputs, outputs in ((6400, 256), (256, CLASSES)):
        parts += [layer.Linear(inputs, outputs), layer.BatchNorm1d(outputs), neurons()]
    network = nn.Sequential(*parts).train()
    functional.set_step_mode(network, "m")

    def scores(x: Tensor) -> Tensor:
        functional.reset_net(network)
        mean: Tensor = network(x.transpose(0, 1).contiguous()).mean(0)
        return mean

    return network, scores


STEPS: dict[str, Callable[[], tuple[nn.Module, Scores]]] = {
    "ours": ours,
    "ours, bfloat16": ours,
    "our plain loop": loop,
    "SpikingJelly": spikingjelly,
}
"""What can be measured, by name."""


def main(name: str, steps: int) -> None:
    """Train a few steps and print what they took."""
    torch.manual_seed(0)
    network, scores = STEPS[name]()
    optimiser = torch.optim.Adam(network.parameters())
    x = (torch.rand(BATCH, TIME, 2, 40, 40) < 0.05).float()
    labels = torch.randint(0, CLASSES, (BATCH,))
    precision: Any = torch.autocast("cpu", torch.bfloat16) if "bfloat16" in name else nullcontext()
    before_mb = _peak_mb()
    seconds = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        optimiser.zero_grad()
        with precision:
            loss = nn.functional.cross_entropy(scores(x), labels)
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - started)
    memory = {"before_mb": before_mb, "peak_mb": _peak_mb()}
    print(json.dumps({"seconds": seconds[1:], **memory, "torch": torch.__version__}))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
