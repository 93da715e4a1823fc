"""The ES-ImageNet network: residual LIF-18 over 8 frames of events.

A step is a frame of events, (2, 224, 224), made from a still picture by moving it.
Channel 0 has the OFF events, as everywhere here. BIDL's reader of the data set puts the ON events
there: its checkpoints want the option ``on_first``, then the same frames may be fed to them.
Source: the project's design text (Lynxi BIDL applications); LynxiTech/BIDL
(``applications/classification/dvs/esimagenet``); the data set: Lin et al., "ES-ImageNet", 2021.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from models.errors import ModelError
from models.network import Head
from models.neurons import Mode, Sharing
from models.residual_lif import ResidualLif, ResidualLifState

__all__ = ["EsImageNet"]


class EsImageNet(ResidualLif):
    """Object classifier of the design text; the options are those of `Network`, and one more.

    Args:
        on_first: Whether the weights expect the ON events in channel 0. The channels of the frames
            that come, OFF first, are then turned round.

    Raises:
        ModelError: An option is out of range.
    """

    name = "es_imagenet"

    def __init__(
        self,
        classes: int = 1000,
        steps: int = 8,
        input_channels: int = 2,
        size: Sequence[int] = (224, 224),
        mode: Mode = "analog",
        head: Head = "after_mean",
        sharing: Sharing = "all",
        lif: Mapping[str, Any] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        on_first: bool = False,
    ) -> None:
        super().__init__(
            classes=classes,
            steps=steps,
            input_channels=input_channels,
            size=size,
            mode=mode,
            head=head,
            sharing=sharing,
            lif=lif,
            mean=mean,
            std=std,
        )
        if not isinstance(on_first, bool):
            raise ModelError(f"{self.name}: on_first must be true or false, got {on_first!r}")
        self._on_first = on_first
        if on_first:
            self.options["on_first"] = True

    def run(self, x: Tensor, state: ResidualLifState) -> tuple[Tensor, ResidualLifState]:
        """Advance over x (batch, time, channels, height, width) -> (batch, time, 512)."""
        return super().run(x.flip(2) if self._on_first else x, state)
