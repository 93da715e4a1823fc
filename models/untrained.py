"""Untrained networks that fire, to try a pipeline before there are trained weights.

BatchNorm begins with a running mean of 0 and a running variance of 1. With fresh weights that is
far from what the membranes are, and the error grows from layer to layer: behind the first few, no
neuron of a deep network ever fires, and every input gets the same answer. So the statistics are
taken from random frames here; nothing is learned.
"""

from typing import Any

import torch
from torch import Tensor, nn

from models.network import Network
from models.training.metrics import firing_rates

__all__ = ["calibrate", "random_frames", "silent_layers"]

_MOST_STEPS = 8
"""By then the membranes have settled."""
_VALUES = 1 << 19
"""Numbers in all frames, about: large networks are slow."""
_SILENT = 0.001
"""Share of a layer's neurons that fire a step, below which it carries nothing."""
_PATCH_PX = 16
_EVENTS = 0.2
"""Events a pixel and step."""


def calibrate(network: Network[Any], seed: int = 0) -> None:
    """Take the running statistics of every BatchNorm from random frames.

    Args:
        network: Its statistics are replaced; it is left in evaluation mode.
        seed: Of the frames, and of what the network itself draws in training.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all steps
    frames = random_frames(network, seed)
    state = network.train().initial_state(len(frames))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for now in frames.unbind(1):  # in training mode, each step has its own statistics
            _, state = network.step(now, state)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def silent_layers(network: Network[Any], seed: int = 1) -> list[str]:
    """Return the layers of neurons that do not fire on random frames.

    Args:
        network: In evaluation mode.
        seed: Of the frames.
    """
    with torch.no_grad(), firing_rates(network) as rates:
        network(random_frames(network, seed))
    return [layer for layer, rate in rates.rates.items() if rate < _SILENT]


def random_frames(network: Network[Any], seed: int) -> Tensor:
    """Draw frames of the kind that a network takes.

    Tokens are drawn from its vocabulary, events from a Poisson distribution; pictures are smooth
    patches of bytes that stand still.

    Returns:
        (examples, steps, channels, height, width), at least two examples and two steps.
    """
    channels, height, width = network.input_shape
    values = channels * height * width
    examples = max(2, min(8, _VALUES // (_MOST_STEPS * values)))
    steps = max(2, min(_MOST_STEPS, network.options["steps"], _VALUES // (examples * values)))
    shape = (examples, steps, *network.input_shape)
    generator = torch.Generator().manual_seed(seed)
    if network.frame == "tokens":
        return torch.randint(network.options["vocabulary"], shape, generator=generator)
    if network.frame == "counts":
        return torch.poisson(torch.full(shape, _EVENTS), generator)
    patches = (examples, channels, -(-height // _PATCH_PX) + 1, -(-width // _PATCH_PX) + 1)
    coarse = 255 * torch.rand(patches, generator=generator)
    pictures = nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return pictures.round()[:, None].expand(shape)
