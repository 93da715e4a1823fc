"""One network stepped by one framework, measured in this process.

Usage: PYTHON stepping_peers.py NAME LAYERS FRAMES THREADS ROUNDS. LAYERS is JSON: of each layer
[kind, inputs, outputs, kernel, stride, padding, pool], FRAMES an .npy file of (batch, time,
channels, height, width). It prints JSON: microseconds a step of each round. Apart from torch it
needs only the framework, so that a peer's own interpreter can run it.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["PEERS", "main"]

Layers = list[tuple[str, int, int, int, int, int, int]]


def products(layers: Layers, neurons: Callable[[], nn.Module], layer: Any = nn) -> list[nn.Module]:
    """Each layer's product, BatchNorm and neurons; nobody else normalises the membrane."""
    parts: list[nn.Module] = []
    for kind, inputs, outputs, kernel, stride, padding, pool in layers:
        if kind == "conv":
            parts += [layer.Conv2d(inputs, outputs, kernel, stride, padding)]
            parts += [layer.BatchNorm2d(outputs)]
        else:
            flat = [] if any(isinstance(part, nn.Linear) for part in parts) else [layer.Flatten()]
            parts += [*flat, layer.Linear(inputs, outputs)]
        parts.append(neurons())
        if pool > 1:
            parts.append(layer.MaxPool2d(pool))
    return parts


def spikingjelly(mode: str) -> Callable[[Layers], Callable[[torch.Tensor], None]]:
    def make(layers: Layers) -> Callable[[torch.Tensor], None]:
        from spikingjelly.activation_based import functional, layer, neuron

        def neurons() -> nn.Module:
            return neuron.LIFNode(1 / 0.7, False, 0.5, 0.0)

        network = nn.Sequential(*products(layers, neurons, layer)).eval()
        functional.set_step_mode(network, mode)

        def run(x: torch.Tensor) -> None:
            functional.reset_net(network)
            if mode == "m":
                network(x)
            else:
                for now in x:
                    network(now)

        return run

    return make


def norse(layers: Layers) -> Callable[[torch.Tensor], None]:
    import norse.torch as nt

    network = nt.SequentialState(*products(layers, nt.LIFBoxCell)).eval()

    def run(x: torch.Tensor) -> None:
        state = None
        for now in x:
            _, state = network(now, state)

    return run


def snntorch(layers: Layers) -> Callable[[torch.Tensor], None]:
    import snntorch as snn
    from snntorch import utils

    def neurons() -> nn.Module:
        return snn.Leaky(beta=0.3, threshold=0.5, reset_mechanism="zero", init_hidden=True)

    network = nn.Sequential(*products(layers, neurons)).eval()

    def run(x: torch.Tensor) -> None:
        utils.reset(network)
        for now in x:
            network(now)

    return run


PEERS = {
    "SpikingJelly, single-step": spikingjelly("s"),
    "SpikingJelly, multi-step": spikingjelly("m"),
    "norse": norse,
    "snnTorch": snntorch,
}


def main() -> None:
    """Measure one framework."""
    name, layers, frames, threads, rounds = sys.argv[1:]
    torch.set_num_threads(int(threads))
    x = torch.from_numpy(np.load(frames).astype(np.float32)).transpose(0, 1).contiguous()
    run = PEERS[name](json.loads(layers))
    taken = []
    with torch.inference_mode():
        for _ in range(int(rounds) + 1):
            start = time.perf_counter()
            run(x)
            taken.append(1e6 * (time.perf_counter() - start) / len(x))
    print(json.dumps(taken[1:]))


if __name__ == "__main__":
    main()
