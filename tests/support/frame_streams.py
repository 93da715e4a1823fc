"""Streams of frames for tests of stages that take them."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.messages import EndRecording, Frames, Message, Start, Windows, control, data

STEP_US = 40_000


def frame_recording(
    frames: NDArray[np.generic], cuts: Sequence[int] = (), epoch: int = 0
) -> Iterator[Message]:
    """One recording of frames, cut into messages at ``cuts``; each cut may repeat."""
    height, width = frames.shape[2:]
    yield control(Start(stream="cam", epoch=epoch, width=width, height=height, source="a test"))
    yield from frame_messages(frames, cuts, epoch)
    yield control(EndRecording(stream="cam", epoch=epoch))


def frame_messages(
    frames: NDArray[np.generic], cuts: Sequence[int] = (), epoch: int = 0
) -> Iterator[Message]:
    """Its messages of frames, ``STEP_US`` apart."""
    first = 0
    for part in np.split(frames, sorted(min(cut, len(frames)) for cut in cuts)):
        start_us = first * STEP_US
        last_us = tuple(start_us + k * STEP_US for k in range(len(part)))
        windows = Windows(first, start_us, STEP_US, STEP_US, last_us)
        end_us = start_us + len(part) * STEP_US
        yield data(
            Frames,
            part.copy(),
            stream="cam",
            epoch=epoch,
            t_first_us=start_us,
            t_last_us=end_us,
            windows=windows,
        )
        first += len(part)


def spans_us(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Start and end of every frame."""
    headers = [m.header for m in messages if isinstance(m.header, Frames)]
    return [h.windows.span_us(k) for h in headers for k in range(len(h.windows))]
