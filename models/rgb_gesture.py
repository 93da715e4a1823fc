"""The RGB-gesture network: that of DVS Gesture, fed by an ordinary camera.

What differs is before it: video of 25 frames a second, turned to grey; where a pixel has become
brighter or darker than in the frame before by more than a threshold, the ON or the OFF channel has
an event. So a step of 40 ms has the form of a bin of events, and training may start from the
weights of `models.dvs_gesture`.
Source: the project's design text (Lynxi BIDL applications); LynxiTech/BIDL
(``applications/classification/videodiff/rgbgesture``).
"""

from models.dvs_gesture import DvsGesture

__all__ = ["RgbGesture"]


class RgbGesture(DvsGesture):
    """Gesture classifier for frame differences; the options are those of `DvsGesture`.

    Raises:
        ModelError: An option is out of range.
    """

    name = "rgb_gesture"
