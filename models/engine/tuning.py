"""When it is faster to convolve everything than what is active: measured, layer by layer."""

from time import perf_counter_ns

import numpy as np

from models.engine.layer import Layer
from models.engine.program import Program

__all__ = ["break_even"]


def break_even(layer: Layer, spikes: bool) -> int:
    """Return how many active inputs take as long as all products.

    It is between a sixteenth of all inputs and all: other processes may disturb the measurement,
    but an addition out of a list takes no sixteen times as long as one in order.

    Args:
        layer: Which.
        spikes: As its `Program` has it.
    """
    g = layer.geometry
    alone = Program([layer], spikes)
    room, v = alone.room(), np.zeros(alone.neurons, np.float32)
    frame = np.zeros((g.inputs, g.height, g.width), np.float32)

    def fastest() -> int:
        taken = []
        for _ in range(5):
            start = perf_counter_ns()
            alone.step(frame, v, room)
            taken.append(perf_counter_ns() - start)
        return min(taken[1:])

    nothing = fastest()
    some = frame.reshape(-1)[::4]
    some[:] = 1
    each = max(fastest() - nothing, 1) / len(some)
    alone.limit(0, -1)
    return int(np.clip((fastest() - nothing) / each, frame.size // 16, frame.size))
