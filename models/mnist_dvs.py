"""The MNIST-DVS network: three convolutions with LIF, each halved by a maximum, then three maps.

Per step, (2, 40, 40) -> 3200 features; their mean over 20 steps goes through the classifier, or
with ``head = "per_step"`` every step does, as in the reference code. N-MNIST takes it as well.
Source: the project's design text (Lynxi BIDL applications), shapes from LynxiTech/BIDL
(``applications/classification/dvs/dvs_mnist``).
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Unpack

from torch import Tensor, nn

from models.errors import ModelError
from models.layers import Conv2dLif, each_step, names_in_bidl
from models.lif import Lif
from models.network import Network, Options

__all__ = ["MnistDvs", "MnistDvsState"]


class MnistDvsState(NamedTuple):
    """Membranes, named by layer, batch first.

    With the default options: conv1 (32, 40, 40), conv2 (64, 20, 20), conv3 (128, 10, 10).
    """

    conv1: Tensor
    conv2: Tensor
    conv3: Tensor


class MnistDvs(Network[MnistDvsState]):
    """Digit classifier of the design text; the options are those of `Options`, and one more.

    Args:
        dropout: Share of the features that training leaves out before the classifier; the
            reference has none.
        **options: See `Options`.

    Raises:
        ModelError: An option is out of range.
    """

    name = "mnist_dvs"
    defaults = Options(classes=10, steps=20, input_channels=2, size=(40, 40), mode="analog")
    reference_names: ClassVar[Mapping[str, str]] = {
        **names_in_bidl(clif1="conv1", clif2="conv2", clif3="conv3"),
        "head.0": "classifier.0",
        "head.2": "classifier.2",
        "head.4": "classifier.4",
    }

    def __init__(self, *, dropout: float = 0.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        lif = self.neurons(Lif)
        channels, height, width = self.input_shape
        if min(height, width) < 8:
            raise ModelError(
                f"{self.name}: size must be at least [8, 8], it is halved three times, "
                f"got [{height}, {width}]"
            )
        self.conv1 = Conv2dLif(channels, 32, lif=lif)
        self.conv2 = Conv2dLif(32, 64, lif=lif)
        self.conv3 = Conv2dLif(64, 128, lif=lif)
        self.pool = nn.MaxPool2d(2)
        if not 0 <= dropout < 1:
            raise ModelError(f"{self.name}: dropout must be from 0 to below 1, got {dropout}")
        self.options["dropout"] = dropout
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Sequential(
            nn.Linear(128 * (height // 8) * (width // 8), 512),
            nn.ReLU(),
            nn.Linear(512, 128),
            nn.ReLU(),
            nn.Linear(128, self.options["classes"]),
        )

    def initial_state(self, batch: int) -> MnistDvsState:
        """Return every membrane at rest, in the weights' dtype and on their device."""
        height, width = self.input_shape[1:]
        return MnistDvsState(
            self.conv1.initial_state(batch, height, width),
            self.conv2.initial_state(batch, height // 2, width // 2),
            self.conv3.initial_state(batch, height // 4, width // 4),
        )

    def run(self, x: Tensor, state: MnistDvsState) -> tuple[Tensor, MnistDvsState]:
        """Advance over x (batch, time, channels, height, width) -> (batch, time, features)."""
        x, conv1 = self.conv1(x, state.conv1)  # (batch, time, 32, 40, 40)
        x, conv2 = self.conv2(each_step(self.pool, x), state.conv2)  # (batch, time, 64, 20, 20)
        x, conv3 = self.conv3(each_step(self.pool, x), state.conv3)  # (batch, time, 128, 10, 10)
        x = each_step(self.pool, x).flatten(2)  # (batch, time, 3200): channel, row, column
        return x, MnistDvsState(conv1, conv2, conv3)

    def classify(self, features: Tensor) -> Tensor:
        """Map features (..., features) to logits (..., classes)."""
        logits: Tensor = self.classifier(self.dropout(features))
        return logits
