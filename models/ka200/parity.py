"""How far a network on the emulated chip is from the network itself: layer by layer, step by step.

Both see the same frames and each goes its own way from there: a spike that float16 puts elsewhere
changes what comes after. So agreement is of whole runs, and not of single operations.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import ModelError
from models.ka200.chip_module import ChipModule
from models.ka200.operators import ChipMemory
from models.layers import LifLayer
from models.network import Network
from models.tau_lif import TauLifLayer

__all__ = ["LayerParity", "Parity", "compare"]

_Seen = tuple[Tensor, Tensor]
"""What a layer put out in a step, and its membrane."""


class LayerParity(msgspec.Struct, frozen=True):
    """A layer of neurons, over all steps.

    Attributes:
        name: As in the network's state.
        neurons: How many.
        agreement: Share of neurons and steps in which both fired or neither did, 0 to 1; in analog
            mode, put out more than the threshold.
        fired: Spikes of the network itself.
        fired_on_chip: Spikes on the chip.
        first_difference: The first step in which not all agreed; None: there is none.
        membrane_rms: Root of the mean square of the network's membranes.
        difference_rms: That of what the chip's differ by.
        difference_max: The largest such difference.
    """

    name: str
    neurons: int
    agreement: float
    fired: int
    fired_on_chip: int
    first_difference: int | None
    membrane_rms: float
    difference_rms: float
    difference_max: float


class Parity(msgspec.Struct, frozen=True):
    """The comparison.

    Attributes:
        arithmetic: That of the chip: ``float16``, or ``float32`` to see that nothing else differs.
        steps: Steps that were run, without a reset.
        predictions: How many were compared, each of the network's own number of steps.
        agreed: How many of them named the same class.
        output_max: The largest number that the network puts out, without its sign.
        difference_max: The largest difference of an output.
        layers: In the order in which they fire.
    """

    arithmetic: str
    steps: int
    predictions: int
    agreed: int
    output_max: float
    difference_max: float
    layers: tuple[LayerParity, ...]


def compare(
    network: Network[Any], frames: NDArray[Any], arithmetic: torch.dtype = torch.float16
) -> Parity:
    """Run frames through a network and through its module on the emulated chip.

    A transformer is compared as it is compiled, with each RepConv folded to one convolution.

    Args:
        network: In evaluation mode, in float32.
        frames: One recording, (steps, channels, height, width), any real dtype.
        arithmetic: That of the chip.

    Raises:
        ModelError: There is no frame, it has another shape than the network takes, or the network
            cannot run on the chip.
    """
    if frames.shape[1:] != network.input_shape or not len(frames):
        raise ModelError(
            f"{network.name} takes frames (steps, {', '.join(map(str, network.input_shape))}) with"
            f" at least one step, got {frames.shape}"
        )
    module = ChipModule(network, arithmetic=arithmetic)
    if module.network.options != network.options:  # folded
        network = module.network
        module = ChipModule(network, arithmetic=arithmetic)
    module.to(arithmetic)
    state, memory = network.initial_state(1), ChipMemory()
    names = state._fields
    sums = [_Sums() for _ in names]
    outputs: list[Tensor] = []
    on_chip: list[Tensor] = []
    thresholds = [_threshold(layer) for layer in _neurons(network)]
    with torch.inference_mode(), memory.in_use(), _watched(network) as seen:
        chip: dict[str, _Seen] = {}
        module.watch = _into(chip)
        for step, frame in enumerate(frames):
            x = torch.from_numpy(frame[None].astype(np.float32))
            seen.clear()
            y, state = network.step(x, state)
            outputs.append(y)
            on_chip.append(module(x).float())
            for name, of_layer, total, theta in zip(names, seen, sums, thresholds, strict=True):
                total.add(step, of_layer, chip[name], theta)
        first, second = torch.stack(outputs, 1), torch.stack(on_chip, 1)
        classes = [_predictions(network, each) for each in (first, second)]
    return Parity(
        arithmetic=str(arithmetic).removeprefix("torch."),
        steps=len(frames),
        predictions=len(classes[0]),
        agreed=sum(a == b for a, b in zip(*classes, strict=True)),
        output_max=float(first.abs().max()),
        difference_max=float((first - second).abs().max()),
        layers=tuple(total.parity(name) for name, total in zip(names, sums, strict=True)),
    )


class _Sums:
    """What is summed up of one layer."""

    def __init__(self) -> None:
        self.steps = self.neurons = self.agreed = self.fired = self.fired_on_chip = 0
        self.first: int | None = None
        self.square = self.difference = self.most = 0.0

    def add(self, step: int, network: _Seen, chip: _Seen, theta: float) -> None:
        """Add a step."""
        fired, on_chip = (seen[0].float() > theta for seen in (network, chip))
        same = int((fired == on_chip).sum())
        self.steps += 1
        self.neurons = fired.numel()
        self.agreed += same
        self.fired += int(fired.sum())
        self.fired_on_chip += int(on_chip.sum())
        if same < self.neurons and self.first is None:
            self.first = step
        membrane = network[1].double()
        away = chip[1].double() - membrane
        self.square += float((membrane**2).sum())
        self.difference += float((away**2).sum())
        self.most = max(self.most, float(away.abs().max()))

    def parity(self, name: str) -> LayerParity:
        """Return the comparison."""
        count = self.steps * self.neurons
        return LayerParity(
            name=name,
            neurons=self.neurons,
            agreement=self.agreed / count,
            fired=self.fired,
            fired_on_chip=self.fired_on_chip,
            first_difference=self.first,
            membrane_rms=(self.square / count) ** 0.5,
            difference_rms=(self.difference / count) ** 0.5,
            difference_max=self.most,
        )


def _predictions(network: Network[Any], outputs: Tensor) -> list[int]:
    """Return the class of every whole stretch of outputs (1, steps, ...); of a short one, its."""
    steps = min(network.options["steps"], outputs.shape[1])
    whole = torch.split(outputs[:, : outputs.shape[1] // steps * steps], steps, 1)
    return [int(network.decide(stretch).argmax()) for stretch in whole]


def _neurons(network: Network[Any]) -> list[nn.Module]:
    """Return the layers of neurons; those of a network stand in the order in which they fire."""
    return [each for each in network.modules() if isinstance(each, LifLayer | TauLifLayer)]


def _threshold(layer: nn.Module) -> float:
    """Return above what a layer's output is a spike."""
    if isinstance(layer, LifLayer) and layer.lif.mode == "analog":
        return float(layer.constants.theta)
    return 0.0


@contextmanager
def _watched(network: Network[Any]) -> Iterator[list[_Seen]]:
    """Collect what every layer of neurons gives in a step, in the order in which they fire."""
    seen: list[_Seen] = []

    def see(layer: nn.Module, given: Any, result: tuple[Tensor, Tensor]) -> None:
        seen.append((result[0].squeeze(1), result[1]))

    handles = [layer.register_forward_hook(see) for layer in _neurons(network)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _into(chip: dict[str, _Seen]) -> Callable[[str, Tensor, Tensor], None]:
    def see(name: str, output: Tensor, membrane: Tensor) -> None:
        chip[name] = (output, membrane)

    return see
