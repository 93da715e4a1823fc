"""The DVS Gesture network: three convolutions and two linear maps, LIF after each.

Per step, (2, 40, 40) -> 11 outputs; the class scores are their mean over 60 steps of 25 ms.
Source: the project's design text (Lynxi BIDL applications), shapes from LynxiTech/BIDL.
"""

from typing import NamedTuple, Unpack

from torch import Tensor

from models.layers import Conv2dLif, FcLif, StepNorm2d, names_in_bidl
from models.lif import Lif
from models.network import Network, Options

__all__ = ["DvsGesture", "DvsGestureState"]


class DvsGestureState(NamedTuple):
    """Membranes, named by layer, batch first.

    With the default options: conv1 (64, 20, 20), conv2 (128, 10, 10), conv3 (256, 5, 5),
    fc1 (256), fc2 (classes).
    """

    conv1: Tensor
    conv2: Tensor
    conv3: Tensor
    fc1: Tensor
    fc2: Tensor


class DvsGesture(Network[DvsGestureState]):
    """Gesture classifier of the design text; the options are those of `Options`.

    The last layer has one neuron a class, so ``head`` changes nothing.

    Raises:
        ModelError: An option is out of range.
    """

    name = "dvs_gesture"
    defaults = Options(classes=11, steps=60, input_channels=2, size=(40, 40), mode="spike")
    reference_names = names_in_bidl(
        clif1="conv1", clif2="conv2", clif3="conv3", flif1="fc1", flif2="fc2"
    )

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        channels = self.input_shape[0]
        lif = self.neurons(Lif)
        self.norm = StepNorm2d(channels)
        self.conv1 = Conv2dLif(channels, 64, 3, 2, 1, lif)
        self.conv2 = Conv2dLif(64, 128, 3, 2, 1, lif)
        self.conv3 = Conv2dLif(128, 256, 3, 2, 1, lif)
        self._sizes = [self.input_shape[1:]]
        for layer in (self.conv1, self.conv2, self.conv3):
            self._sizes.append(layer.output_size(*self._sizes[-1]))
        rows, columns = self._sizes[-1]
        self.fc1 = FcLif(256 * rows * columns, 256, lif)
        self.fc2 = FcLif(256, self.options["classes"], lif)

    def initial_state(self, batch: int) -> DvsGestureState:
        """Return every membrane at rest, in the weights' dtype and on their device."""
        return DvsGestureState(
            self.conv1.initial_state(batch, *self._sizes[0]),
            self.conv2.initial_state(batch, *self._sizes[1]),
            self.conv3.initial_state(batch, *self._sizes[2]),
            self.fc1.initial_state(batch),
            self.fc2.initial_state(batch),
        )

    def run(self, x: Tensor, state: DvsGestureState) -> tuple[Tensor, DvsGestureState]:
        """Advance over x (batch, time, channels, height, width) -> (batch, time, classes)."""
        x, conv1 = self.conv1(self.norm(x), state.conv1)  # (batch, time, 64, 20, 20)
        x, conv2 = self.conv2(x, state.conv2)  # (batch, time, 128, 10, 10)
        x, conv3 = self.conv3(x, state.conv3)  # (batch, time, 256, 5, 5)
        x, fc1 = self.fc1(x.flatten(2), state.fc1)  # flat order: channel, row, column
        y, fc2 = self.fc2(x, state.fc2)
        return y, DvsGestureState(conv1, conv2, conv3, fc1, fc2)
