"""The LUNA16Cls network: that of MNIST-DVS over the slices of a CT patch around a lung nodule.

A step is a slice, (1, 32, 32), and a patch has 8 of them. The slices are bytes: Hounsfield units of
-1200 to 600, cut and scaled to 0 to 255. The reference feeds them as they are, and its published
weights expect that, so `mean` and `std` are left out by default; a new training may set them.
Source: the project's design text (Lynxi BIDL applications), shapes from LynxiTech/BIDL
(``applications/classification/three_D/luna16cls``, ``datasets/prepare_Luna16.py``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from models.mnist_dvs import MnistDvs
from models.network import Head
from models.neurons import Mode, Sharing

__all__ = ["Luna16Cls"]


class Luna16Cls(MnistDvs):
    """Nodule classifier of the design text; the options are those of `Network`.

    Raises:
        ModelError: An option is out of range.
    """

    name = "luna16cls"
    frame = "slices"

    def __init__(
        self,
        classes: int = 2,
        steps: int = 8,
        input_channels: int = 1,
        size: Sequence[int] = (32, 32),
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
