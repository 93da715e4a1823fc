"""The LUNA16Cls network: that of MNIST-DVS over the slices of a CT patch around a lung nodule.

A step is a slice, (1, 32, 32), and a patch has 8 of them. The slices are bytes: Hounsfield units of
-1200 to 600, cut and scaled to 0 to 255. The reference feeds them as they are, and its published
weights expect that, so `mean` and `std` are left out by default; a new training may set them.
Source: the project's design text (Lynxi BIDL applications), shapes from LynxiTech/BIDL
(``applications/classification/three_D/luna16cls``, ``datasets/prepare_Luna16.py``).
"""

from models.mnist_dvs import MnistDvs
from models.network import Options

__all__ = ["Luna16Cls"]


class Luna16Cls(MnistDvs):
    """Nodule classifier of the design text; the options are those of `MnistDvs`.

    Raises:
        ModelError: An option is out of range.
    """

    name = "luna16cls"
    frame = "slices"
    defaults = Options(classes=2, steps=8, input_channels=1, size=(32, 32), mode="analog")
