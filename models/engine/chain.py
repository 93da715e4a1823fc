"""What the engine has to know of a network: its layers, one after the other.

The networks themselves are torch modules (`models.NETWORKS`); these are their layers once more, as
names of parameters and sizes, so that a stream needs no torch. Networks that are no chain of
convolutions, linear maps and neurons of `models.lif.Lif` have none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from models.card import ModelCard

__all__ = ["CHAINS", "Chain", "Stage", "supports", "why_not"]


@dataclass(frozen=True)
class Stage:
    """A product with neurons behind it.

    Attributes:
        name: Of the layer; its parameters are ``name.product.weight`` and so on.
        product: ``conv`` or ``fc``, what the parameters of the product are called.
        outputs: Channels.
        kernel: Pixels; 0: the whole map, a linear map.
        stride: Pixels.
        padding: Pixels.
        pool: Side of the squares whose largest output is kept.
    """

    name: str
    product: str
    outputs: int
    kernel: int = 0
    stride: int = 1
    padding: int = 0
    pool: int = 1


@dataclass(frozen=True)
class Chain:
    """A network as its layers.

    Attributes:
        stages: In their order.
        norm: Name of the normalisation of the input, if there is one.
        classifier: Names of the linear maps of the head, ReLU between them; none where the last
            layer has one neuron a class.
    """

    stages: tuple[Stage, ...]
    norm: str | None = None
    classifier: tuple[str, ...] = ()


def _conv(name: str, outputs: int, kernel: int = 3, stride: int = 1, pool: int = 1) -> Stage:
    return Stage(name, "conv", outputs, kernel, stride, kernel // 2, pool)


def _dvs_gesture(options: Mapping[str, Any]) -> Chain:
    widths = {"conv1": 64, "conv2": 128, "conv3": 256}
    convolutions = [_conv(name, width, stride=2) for name, width in widths.items()]
    linear = [Stage("fc1", "fc", 256), Stage("fc2", "fc", options["classes"])]
    return Chain((*convolutions, *linear), norm="norm")


def _mnist_dvs(options: Mapping[str, Any]) -> Chain:
    widths = {"conv1": 32, "conv2": 64, "conv3": 128}
    return Chain(
        tuple(_conv(name, width, pool=2) for name, width in widths.items()),
        classifier=("classifier.0", "classifier.2", "classifier.4"),
    )


def _cifar10_dvs(options: Mapping[str, Any]) -> Chain:
    widths = {"conv1": 32, "conv2": 64, "conv3": 128, "conv4": 256, "conv5": 512}
    first, *others = (_conv(name, width, pool=2) for name, width in widths.items())
    first = replace(first, kernel=5, stride=2, padding=2)
    return Chain((first, *others), classifier=("classifier.0", "classifier.2"))


CHAINS: Mapping[str, Callable[[Mapping[str, Any]], Chain]] = {
    "dvs_gesture": _dvs_gesture,
    "rgb_gesture": _dvs_gesture,
    "mnist_dvs": _mnist_dvs,
    "cifar10_dvs": _cifar10_dvs,
    "luna16cls": _mnist_dvs,
}
"""Network -> its chain, by the options in the card of its weights."""


_OPTIONS = ("classes", "input_channels", "size", "mode", "head", "sharing")
"""What a card must say; the defaults are known to the torch networks alone."""


def supports(card: ModelCard) -> bool:
    """Tell whether the engine can run the network of a card."""
    return why_not(card) is None


def why_not(card: ModelCard) -> str | None:
    """Return why the engine cannot run the network of a card, None where it can."""
    if card.network not in CHAINS:
        return f"the event-driven engine runs {', '.join(CHAINS)}, not {card.network}"
    silent = [option for option in _OPTIONS if option not in card.options]
    if silent:
        return (
            f"the card of {card.network} must say {', '.join(silent)} for the event-driven engine"
        )
    return None
