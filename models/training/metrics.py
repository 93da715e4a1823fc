"""How well a network does: its answers to examples, their loss, its firing rates."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.layers import LifLayer
from models.network import Network
from models.peers import ALONE, Peers
from models.tau_lif import TauLifLayer
from models.training.confusion import confusion_matrix
from models.training.data import Examples

__all__ = [
    "FiringRates",
    "cross_entropy",
    "evaluate",
    "firing_rates",
    "predict",
]


def predict(
    network: Network[Any], examples: Examples, batch: int = 32, peers: Peers = ALONE
) -> NDArray[np.float32]:
    """Classify examples, each from a fresh state, by all their steps.

    Args:
        network: Left in the mode it was in.
        examples: What to classify, as recorded.
        batch: Examples at a time.
        peers: The processes to which the batches are dealt out in turn; all get the result.

    Returns:
        Logits (n, classes), float32.
    """
    training = network.training
    network.eval()
    logits = np.zeros((len(examples), network.options["classes"]), np.float32)
    with torch.inference_mode():
        for start in range(peers.rank * batch, len(examples), peers.count * batch):
            chosen = range(start, min(start + batch, len(examples)))
            frames = np.stack([examples.example(index) for index in chosen])
            outputs, _ = network(torch.from_numpy(frames))
            logits[chosen] = network.decide(outputs).float().cpu().numpy()
    network.train(training)
    peers.sum(torch.from_numpy(logits))  # what others found is 0 here
    return logits


def evaluate(network: Network[Any], examples: Examples, batch: int = 32) -> NDArray[np.int64]:
    """Return the confusion matrix of `predict`'s answers, see `confusion_matrix`."""
    return confusion_matrix(predict(network, examples, batch), examples.labels)


def cross_entropy(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy, nats an example, of logits (n, classes)."""
    loss = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    return float(loss)


class FiringRates:
    """Mean share of neurons above threshold, per layer."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, layer: str, fired: Tensor) -> None:
        """Count the neurons of a layer in some steps; `fired` is boolean."""
        self._sums[layer] = self._sums.get(layer, 0.0) + float(fired.float().mean())
        self._counts[layer] = self._counts.get(layer, 0) + 1

    @property
    def rates(self) -> dict[str, float]:
        """Layer -> rate, 0 to 1, in the order of the network."""
        return {layer: total / self._counts[layer] for layer, total in self._sums.items()}

    def share(self, peers: Peers) -> None:
        """Take the mean over the parts of a batch that the processes have."""
        parts = peers.all(self._sums)
        self._sums = {layer: sum(part[layer] for part in parts) for layer in self._sums}
        self._counts = {layer: count * peers.count for layer, count in self._counts.items()}

    def warnings(self) -> list[str]:
        """Name the layers that carry nothing: hardly ever or nearly always firing."""
        said = []
        for layer, rate in self.rates.items():
            if rate < 0.001:
                said.append(f"layer {layer} is dead: {rate:.2%} of its neurons fire a step")
            elif rate > 0.95:
                said.append(f"layer {layer} is saturated: {rate:.2%} of its neurons fire a step")
        return [f"{line}; try a lower learning rate" for line in said]


@contextmanager
def firing_rates(network: nn.Module) -> Iterator[FiringRates]:
    """Watch the layers of neurons while the network runs inside the ``with``."""
    rates = FiringRates()
    handles = []
    for name, layer in network.named_modules():
        if isinstance(layer, LifLayer | TauLifLayer):

            def watch(
                layer: nn.Module, _: Any, result: tuple[Tensor, Tensor], name: str = name
            ) -> None:
                # A spike is a fired neuron; in analog mode, a membrane above the threshold is.
                above: Tensor | float = 0.0
                if isinstance(layer, LifLayer) and layer.lif.mode == "analog":
                    above = layer.theta
                rates.add(name, result[0].detach() > above)

            handles.append(layer.register_forward_hook(watch))
    try:
        yield rates
    finally:
        for handle in handles:
            handle.remove()
