"""The ES-ImageNet network: residual LIF-18 over 8 frames of events.

A step is a frame of events, (2, 224, 224), made from a still picture by moving it.
Source: the project's design text (Lynxi BIDL applications); LynxiTech/BIDL
(``applications/classification/dvs/esimagenet``); the data set: Lin et al., "ES-ImageNet", 2021.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from models.network import Head
from models.neurons import Mode, Sharing
from models.residual_lif import ResidualLif

__all__ = ["EsImageNet"]


class EsImageNet(ResidualLif):
    """Object classifier of the design text; the options are those of `Network`.

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
