"""What a network does while it is stepped: who fires, and how many synapses that reaches.

A synaptic operation is one weight that is added to one neuron's current because an input is active:
a spike costs an accumulation for each neuron that it reaches, at the border of a map fewer than in
its middle. An input that is no spike (a count of events, an analog output) is multiplied by the
weight first. *Dense* is all synapses there are, each multiplied and added: what a network without
spikes of the same shape does at every step.

Energies are the usual estimate, of arithmetic alone: no memory, no neuron updates, no control.
Source: M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, for
float32 at 45 nm: 0.9 pJ an addition, 3.7 pJ a multiplication.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.engine.convolution import Geometry
from models.engine.program import Program, Room

if TYPE_CHECKING:
    from models.engine.engine import Engine

__all__ = ["ADDITION_PJ", "BOTH_PJ", "COUNTS", "LayerWork", "Meter", "Work", "fan_out", "work_of"]

ADDITION_PJ = 0.9
BOTH_PJ = 4.6
"""A multiplication and an addition."""
COUNTS = ("operations", "fired")
"""What is counted of each layer: synaptic operations, and outputs that were not 0."""


class LayerWork(NamedTuple):
    """What a layer did, on the average.

    Attributes:
        name: Of the layer.
        rate: Share of its neurons that fired in a step; of analog neurons, that put out more or
            less than 0.
        operations: Synaptic operations of a prediction.
        dense: Synapses, times the steps of a prediction.
        multiplies: Whether its inputs are multiplied by the weights.
    """

    name: str
    rate: float
    operations: float
    dense: float
    multiplies: bool


class Work(NamedTuple):
    """What a network did for a prediction, on the average.

    Attributes:
        steps: Of a prediction.
        layers: Those with neurons, and last the classifier, if there is one; its rate is NaN.
    """

    steps: int
    layers: tuple[LayerWork, ...]

    @property
    def operations(self) -> float:
        """Synaptic operations of a prediction."""
        return sum(layer.operations for layer in self.layers)

    @property
    def dense(self) -> float:
        """Those of a prediction if every input were active at every step."""
        return sum(layer.dense for layer in self.layers)

    @property
    def energy_j(self) -> float:
        """Estimate for a prediction, joules."""
        return sum(
            layer.operations * (BOTH_PJ if layer.multiplies else ADDITION_PJ) * 1e-12
            for layer in self.layers
        )

    @property
    def dense_energy_j(self) -> float:
        """Estimate if every synapse multiplied and added at every step, joules."""
        return self.dense * BOTH_PJ * 1e-12

    def lines(self) -> Iterator[str]:
        """Yield it as text."""
        yield (
            f"{self.steps} steps, those of a prediction, took {_short(self.operations)} synaptic "
            f"operations of {_short(self.dense)} dense ({self.operations / self.dense:.1%}), about "
            f"{_short(self.energy_j, 'J')} of {_short(self.dense_energy_j, 'J')} "
            f"(45 nm: {ADDITION_PJ} pJ an addition, {BOTH_PJ} pJ with a multiplication)"
        )
        for layer in self.layers:
            rate = "" if np.isnan(layer.rate) else f"{layer.rate:.1%} of neurons active a step, "
            product = ", multiplied" if layer.multiplies else ""
            yield (
                f"{layer.name}: {rate}{_short(layer.operations)} of {_short(layer.dense)} "
                f"operations ({layer.operations / layer.dense:.1%}{product})"
            )


class Meter:
    """Counts what the layers of a program do.

    Args:
        program: What is counted.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._reach = [fan_out(layer.geometry) for layer in program.layers]

    def add(self, room: Room, counts: NDArray[np.int64]) -> None:
        """Add what the last step did to counts (layers, `COUNTS`)."""
        program = self._program
        for number, (layer, reach) in enumerate(zip(program.layers, self._reach, strict=True)):
            active = np.count_nonzero(program.inputs_of(number, room), axis=2)
            counts[number] += (
                int((active * reach).sum()) * layer.geometry.outputs,
                np.count_nonzero(program.outputs_of(number, room)),
            )


def work_of(engine: "Engine", counts: NDArray[np.int64], steps: int) -> Work:
    """Return what a prediction took, from what `Engine.forward` counted in so many steps."""
    card, found = engine.card, []
    spikes = card.options["mode"] == "spike"
    for number, (name, layer) in enumerate(zip(engine.names, engine.layers, strict=True)):
        operations, fired = (float(count) / max(steps, 1) for count in counts[number])
        dense = int(fan_out(layer.geometry).sum()) * layer.geometry.inputs * layer.geometry.outputs
        found.append(
            LayerWork(
                name,
                rate=fired / layer.neurons,
                operations=operations * card.steps,
                dense=dense * card.steps,
                multiplies=not (spikes if number else card.frame == "binary"),
            )
        )
    if engine.classifier.operations:
        per_step = card.options["head"] == "per_step"
        both = float(engine.classifier.operations * (card.steps if per_step else 1))
        found.append(LayerWork("classifier", np.nan, both, both, multiplies=True))
    return Work(card.steps, tuple(found))


def fan_out(geometry: Geometry) -> NDArray[np.int64]:
    """Return how many positions of the output map each pixel of the input map reaches."""
    g = geometry

    def along(side: int, kernel: int, outputs: int) -> NDArray[np.int64]:
        reached = np.arange(outputs)[:, None] * g.stride + np.arange(kernel) - g.padding
        inside = reached[(reached >= 0) & (reached < side)]
        return np.bincount(inside, minlength=side)

    rows = along(g.height, g.kernel_height, g.out_height)
    return rows[:, None] * along(g.width, g.kernel_width, g.out_width)


def _short(value: float, unit: str = "") -> str:
    """Return a number with three digits that count, and a prefix for its size."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ")):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}".rstrip()
    return f"{value / 1e-9:.3g} n{unit}" if unit else f"{value:.3g}"
