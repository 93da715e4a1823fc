"""One network stepped by frameworks in turns, measured in this process.

Usage: PYTHON stepping_peers.py list | PYTHON stepping_peers.py NAMES LAYERS FRAMES THREADS ROUNDS.
NAMES and LAYERS are JSON: of each layer [kind, inputs, outputs, kernel, stride, padding, pool];
FRAMES is an .npy file of (batch, time, channels, height, width). It prints JSON: the names of what
is installed, or of each the microseconds a step of each round. Apart from torch it needs only the
frameworks, so that a peer's own interpreter can run it.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
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


def alone(layers: Layers) -> Callable[[torch.Tensor], None]:
    """Convolutions and linear maps, step by step, without any neurons."""
    parts = products(layers, nn.Identity)
    network = nn.Sequential(*(part for part in parts if not isinstance(part, nn.BatchNorm2d)))

    def run(x: torch.Tensor) -> None:
        for now in x:
            network(now)

    return run


PEERS = {
    "torch, the products alone": alone,
    "SpikingJelly, single-step": spikingjelly("s"),
    "SpikingJelly, multi-step": spikingjelly("m"),
    "norse": norse,
    "snnTorch": snntorch,
}


def main() -> None:
    """Measure frameworks, or tell which there are."""
    if sys.argv[1:] == ["list"]:
        modules = {name: name.partition(",")[0].lower() for name in PEERS}
        print(json.dumps([name for name in PEERS if find_spec(modules[name])]))
        return
    names, layers, frames, threads, rounds = sys.argv[1:]
    torch.set_num_threads(int(threads))
    x = torch.from_numpy(np.load(frames).astype(np.float32)).transpose(0, 1).contiguous()
    runs = {name: PEERS[name](json.loads(layers)) for name in json.loads(names)}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for turn in range(int(rounds) + 1):
            for name, run in runs.items():
                start = time.perf_counter()
                run(x)
                if turn:
                    taken[name].append(1e6 * (time.perf_counter() - start) / len(x))
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
