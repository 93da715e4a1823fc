"""Coarser bins: windows of counts that wait are merged, so that fewer are left to work on.

Consecutive windows become one that covers them all and holds the sum of their counts: no event is
lost, and the network has a step less to take. What a window was made of is told in its message
(`Windows.merged`).
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.messages import Data, Frames, Message, Windows, data

__all__ = ["join"]

_MOST_ROWS = 64


def join(first: Message, second: Message, most: int) -> Message | None:
    """Return one message of counts made of two, with fewer windows than both.

    Args:
        first: frames.
        second: what came behind them.
        most: of how many windows of the grid one may be made.

    Returns:
        None where no window can be merged: they are of different recordings, there is a gap between
        them, or all are as large already.
    """
    a, b = first.header, second.header
    if not isinstance(a, Frames) or not isinstance(b, Frames):
        return None
    after = a.windows.number(len(a.windows) - 1) + 1
    together = len(a.windows) + len(b.windows)
    if (a.stream, a.epoch, after) != (b.stream, b.epoch, b.windows.first) or (
        together > _MOST_ROWS or a.shape[1:] != b.shape[1:]
    ):
        return None
    sizes = [*_sizes(a.windows), *_sizes(b.windows)]
    groups = _groups(sizes, most)
    if len(groups) == together:
        return None
    spans = [w.span_us(k) for w in (a.windows, b.windows) for k in range(len(w))]
    last = [*a.windows.last_event_us, *b.windows.last_event_us]
    windows = Windows(
        first=a.windows.first,
        start_us=spans[0][0],
        length_us=0,
        step_us=0,
        last_event_us=tuple(
            max((t for t in last[i:j] if t is not None), default=None) for i, j in groups
        ),
        partial=b.windows.partial,
        spans_us=tuple((spans[i][0], spans[j - 1][1]) for i, j in groups),
        merged=tuple(sum(sizes[i:j]) for i, j in groups),
    )
    frames = np.concatenate([first.array, second.array])
    sums = np.add.reduceat(frames, [i for i, _ in groups], axis=0, dtype=np.int64)
    joined = data(
        Frames,
        _smallest(sums),
        stream=a.stream,
        epoch=a.epoch,
        t_first_us=a.t_first_us,
        t_last_us=b.t_last_us,
        windows=windows,
    )
    # As old as its oldest.
    return Message(_stamped(joined.header, a), joined.array, first.output)


def _stamped(header: Any, like: Data) -> Data:
    stamped: Data = msgspec.structs.replace(header, seq=like.seq, born_ns=like.born_ns)
    return stamped


def _sizes(windows: Windows) -> tuple[int, ...]:
    return windows.merged or (1,) * len(windows)


def _groups(sizes: list[int], most: int) -> list[tuple[int, int]]:
    """Return begin and end of runs that hold up to ``most`` windows of the grid each."""
    groups, begin, held = list[tuple[int, int]](), 0, 0
    for k, size in enumerate(sizes):
        if k > begin and held + size > most:
            groups.append((begin, k))
            begin, held = k, 0
        held += size
    return [*groups, (begin, len(sizes))]


def _smallest(counts: NDArray[np.int64]) -> NDArray[Any]:
    most = int(counts.max(initial=0))
    dtype = np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32
    return counts.astype(dtype)
