"""The CIFAR10-DVS network: five convolutions with LIF, each halved by a maximum, then two maps.

Per step, (2, 128, 128) -> 2048 features; their mean over 10 steps of 5 ms goes through the
classifier, or with ``head = "per_step"`` every step does, as in the reference code.
Source: the project's design text (Lynxi BIDL applications), shapes from LynxiTech/BIDL
(``applications/classification/dvs/cifar10dvs/vgg_cifar10dvs``).
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Unpack

from torch import Tensor, nn

from models.errors import ModelError
from models.layers import Conv2dLif, each_step, names_in_bidl
from models.lif import Lif
from models.network import Network, Options

__all__ = ["Cifar10Dvs", "Cifar10DvsState"]


class Cifar10DvsState(NamedTuple):
    """Membranes, named by layer, batch first.

    With the default options: conv1 (32, 64, 64), conv2 (64, 32, 32), conv3 (128, 16, 16),
    conv4 (256, 8, 8), conv5 (512, 4, 4).
    """

    conv1: Tensor
    conv2: Tensor
    conv3: Tensor
    conv4: Tensor
    conv5: Tensor


class Cifar10Dvs(Network[Cifar10DvsState]):
    """Object classifier of the design text; the options are those of `Options`.

    Raises:
        ModelError: An option is out of range.
    """

    name = "cifar10_dvs"
    defaults = Options(classes=10, steps=10, input_channels=2, size=(128, 128), mode="analog")
    reference_names: ClassVar[Mapping[str, str]] = {
        **names_in_bidl(clif1="conv1", clif2="conv2", clif3="conv3", clif4="conv4", clif5="conv5"),
        "head.0": "classifier.0",
        "head.2": "classifier.2",
    }

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        lif = self.neurons(Lif)
        self.conv1 = Conv2dLif(self.input_shape[0], 32, 5, 2, 2, lif)
        self.conv2 = Conv2dLif(32, 64, lif=lif)
        self.conv3 = Conv2dLif(64, 128, lif=lif)
        self.conv4 = Conv2dLif(128, 256, lif=lif)
        self.conv5 = Conv2dLif(256, 512, lif=lif)
        self.pool = nn.MaxPool2d(2)
        self._sizes = [self.input_shape[1:]]
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            height, width = layer.output_size(*self._sizes[-1])
            self._sizes.append((height // 2, width // 2))
        rows, columns = self._sizes.pop()
        if min(rows, columns) < 1:
            raise ModelError(
                f"{self.name}: size must be at least [63, 63], it is halved six times, "
                f"got {self.options['size']}"
            )
        self.classifier = nn.Sequential(
            nn.Linear(512 * rows * columns, 512),
            nn.ReLU(),
            nn.Linear(512, self.options["classes"]),
        )

    def initial_state(self, batch: int) -> Cifar10DvsState:
        """Return every membrane at rest, in the weights' dtype and on their device."""
        return Cifar10DvsState(
            self.conv1.initial_state(batch, *self._sizes[0]),
            self.conv2.initial_state(batch, *self._sizes[1]),
            self.conv3.initial_state(batch, *self._sizes[2]),
            self.conv4.initial_state(batch, *self._sizes[3]),
            self.conv5.initial_state(batch, *self._sizes[4]),
        )

    def run(self, x: Tensor, state: Cifar10DvsState) -> tuple[Tensor, Cifar10DvsState]:
        """Advance over x (batch, time, channels, height, width) -> (batch, time, features)."""
        x, conv1 = self.conv1(x, state.conv1)  # (batch, time, 32, 64, 64)
        x, conv2 = self.conv2(each_step(self.pool, x), state.conv2)  # (batch, time, 64, 32, 32)
        x, conv3 = self.conv3(each_step(self.pool, x), state.conv3)  # (batch, time, 128, 16, 16)
        x, conv4 = self.conv4(each_step(self.pool, x), state.conv4)  # (batch, time, 256, 8, 8)
        x, conv5 = self.conv5(each_step(self.pool, x), state.conv5)  # (batch, time, 512, 4, 4)
        x = each_step(self.pool, x).flatten(2)  # (batch, time, 2048): channel, row, column
        return x, Cifar10DvsState(conv1, conv2, conv3, conv4, conv5)

    def classify(self, features: Tensor) -> Tensor:
        """Map features (..., features) to logits (..., classes)."""
        logits: Tensor = self.classifier(features)
        return logits
