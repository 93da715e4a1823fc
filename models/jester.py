"""The Jester network: residual LIF-18 over 16 frames of a video.

A step is a picture, (3, 112, 112), blue, green, red. The published weights expect it less
`MEAN_BGR` and divided by `STD_BGR`; given as the options `mean` and `std` they let the stream carry
plain bytes. Left out, pictures are taken as they are.
Source: the project's design text (Lynxi BIDL applications); LynxiTech/BIDL
(``applications/classification/video/jester/resnetlif18_t16``).
"""

from models.network import Options
from models.residual_lif import ResidualLif

__all__ = ["MEAN_BGR", "STD_BGR", "Jester"]

MEAN_BGR = (118.656525, 111.0543, 106.928955)
"""The mean of blue, green and red over the training videos, 0 to 255."""
STD_BGR = (60.48212, 61.974182, 60.785057)
"""Their standard deviation."""


class Jester(ResidualLif):
    """Hand gesture classifier of the design text; the options are those of `Options`.

    Raises:
        ModelError: An option is out of range.
    """

    name = "jester"
    frame = "bgr"
    defaults = Options(classes=27, steps=16, input_channels=3, size=(112, 112), mode="spike")
