"""Frames in short: a run of windows of 10 µs, each one pixel of one channel."""

import numpy as np

from pipeline.messages import Frames, Message, Windows, data


def frames(first: int, counts: list[int], epoch: int = 0) -> Message:
    """Windows from number ``first`` on, each of which counts so much."""
    windows = Windows(
        first, 10 * first, 10, 10, tuple(10 * (first + k) for k in range(len(counts)))
    )
    array = np.array(counts, np.uint8).reshape(-1, 1, 1, 1)
    times = {"t_first_us": 10 * first, "t_last_us": 10 * (first + len(counts))}
    return data(Frames, array, stream="cam", epoch=epoch, windows=windows, **times)
