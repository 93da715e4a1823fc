"""The ES-ImageNet network: residual LIF-18 over 8 frames of events.

A step is a frame of events, (2, 224, 224), made from a still picture by moving it.
Channel 0 has the OFF events, as everywhere here. BIDL's reader of the data set puts the ON events
there: its checkpoints want the option ``on_first``, then the same frames may be fed to them.
Source: the project's design text (Lynxi BIDL applications); LynxiTech/BIDL
(``applications/classification/dvs/esimagenet``); the data set: Lin et al., "ES-ImageNet", 2021.
"""

from typing import Unpack

from torch import Tensor

from models.errors import ModelError
from models.network import Options
from models.residual_lif import ResidualLif, ResidualLifState

__all__ = ["EsImageNet"]


class EsImageNet(ResidualLif):
    """Object classifier of the design text; the options are those of `Options`, and one more.

    Args:
        on_first: Whether the weights expect the ON events in channel 0. The channels of the frames
            that come, OFF first, are then turned round.
        **options: See `Options`.

    Raises:
        ModelError: An option is out of range.
    """

    name = "es_imagenet"
    defaults = Options(classes=1000, steps=8, input_channels=2, size=(224, 224), mode="analog")

    def __init__(self, *, on_first: bool = False, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        if not isinstance(on_first, bool):
            raise ModelError(f"{self.name}: on_first must be true or false, got {on_first!r}")
        self._on_first = on_first
        self.options["on_first"] = on_first

    def run(self, x: Tensor, state: ResidualLifState) -> tuple[Tensor, ResidualLifState]:
        """Advance over x (batch, time, channels, height, width) -> (batch, time, 512)."""
        return super().run(x.flip(2) if self._on_first else x, state)
