"""The DVS Gesture network: three convolutions and two linear maps, LIF after each.

Per step, (2, 40, 40) -> 11 outputs; the class scores are their mean over 60 steps of 25 ms.
Source: the project's design text (Lynxi BIDL applications), shapes from LynxiTech/BIDL.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from models.errors import ModelError
from models.layers import Conv2dLif, FcLif
from models.network import Network
from models.neurons import LifParameters, Mode

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
    """Gesture classifier of the design text.

    Args:
        classes: Number of classes.
        steps: Steps that one prediction is the mean of; the network itself runs for any number.
        input_channels: Channels of a frame (negative and positive events).
        size: (height, width) of a frame, pixels.
        mode: Output of every layer: spikes, or the rectified membrane.
        lif: Leak, threshold and reset, the same in all layers: alpha, beta, theta,
            v_0 as in `LifParameters`.

    Raises:
        ModelError: An option is out of range.
    """

    name = "dvs_gesture"
    reference_names: ClassVar[Mapping[str, str]] = {
        "clif1.p0": "conv1.conv",
        "clif1.lif.norm": "conv1.norm",
        "clif2.p0": "conv2.conv",
        "clif2.lif.norm": "conv2.norm",
        "clif3.p0": "conv3.conv",
        "clif3.lif.norm": "conv3.norm",
        "flif1.p0": "fc1.fc",
        "flif1.lif.norm": "fc1.norm",
        "flif2.p0": "fc2.fc",
        "flif2.lif.norm": "fc2.norm",
        "norm": "norm",
    }

    def __init__(
        self,
        classes: int = 11,
        steps: int = 60,
        input_channels: int = 2,
        size: Sequence[int] = (40, 40),
        mode: Mode = "spike",
        lif: Sequence[float] = (0.3, 0.0, 0.5, 0.0),
    ) -> None:
        super().__init__()
        height, width = size
        counts = {"classes": classes, "steps": steps, "input_channels": input_channels}
        for option, value in {**counts, "height": height, "width": width}.items():
            if value < 1:
                raise ModelError(f"dvs_gesture: {option} must be at least 1, got {value}")
        if mode not in ("spike", "analog"):
            raise ModelError(f"dvs_gesture: mode must be 'spike' or 'analog', got {mode!r}")
        self.options = {**counts, "size": [height, width], "mode": mode, "lif": list(lif)}
        self.input_shape = (input_channels, height, width)
        neurons = LifParameters(*lif)

        self.norm = nn.BatchNorm2d(input_channels)
        self.conv1 = Conv2dLif(input_channels, 64, 3, 2, 1, mode, neurons)
        self.conv2 = Conv2dLif(64, 128, 3, 2, 1, mode, neurons)
        self.conv3 = Conv2dLif(128, 256, 3, 2, 1, mode, neurons)
        self._sizes = [(height, width)]
        for layer in (self.conv1, self.conv2, self.conv3):
            self._sizes.append(layer.output_size(*self._sizes[-1]))
        rows, columns = self._sizes[-1]
        self.fc1 = FcLif(256 * rows * columns, 256, mode, neurons)
        self.fc2 = FcLif(256, classes, mode, neurons)

    def initial_state(self, batch: int) -> DvsGestureState:
        """Return every membrane at rest, in the weights' dtype and on their device."""
        return DvsGestureState(
            self.conv1.initial_state(batch, *self._sizes[0]),
            self.conv2.initial_state(batch, *self._sizes[1]),
            self.conv3.initial_state(batch, *self._sizes[2]),
            self.fc1.initial_state(batch),
            self.fc2.initial_state(batch),
        )

    def advance(self, x: Tensor, state: DvsGestureState) -> tuple[Tensor, DvsGestureState]:
        """Advance one step: x (batch, channels, height, width) -> (batch, classes)."""
        x, conv1 = self.conv1.step(self.norm(x), state.conv1)  # (batch, 64, 20, 20)
        x, conv2 = self.conv2.step(x, state.conv2)  # (batch, 128, 10, 10)
        x, conv3 = self.conv3.step(x, state.conv3)  # (batch, 256, 5, 5)
        x, fc1 = self.fc1.step(x.flatten(1), state.fc1)  # flat order: channel, row, column
        y, fc2 = self.fc2.step(x, state.fc2)
        return y, DvsGestureState(conv1, conv2, conv3, fc1, fc2)
