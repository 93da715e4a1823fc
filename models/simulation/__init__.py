"""A simulated stand-in for the DVS128 Gesture data set: nothing in here is a real recording.

A rendered person performs the eleven gestures in front of a model of the DVS pixel.
Call :func:`models.simulation.session.simulate_session` for a recording with its labels.
Importing this package is light: numba is loaded only by ``session``, ``render`` and ``dvs_pixel``.
"""

from models.simulation.gestures import GESTURES

__all__ = ["GESTURES"]
