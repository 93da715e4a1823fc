"""Coarser bins: windows of counts that wait are merged, so that fewer are left to work on.

Consecutive windows become one that covers them all and holds the sum of their counts: no event is
lost, and the network has a step less to take. What a window was made of is told in its message
(`Windows.merged`).
"""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.messages import Frames, Message, Windows, data

__all__ = ["join", "split"]

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
    if (a.stream, a.epoch, after) != (b.stream, b.epoch, b.windows.first) or (
        len(a.windows) + len(b.windows) > _MOST_ROWS or a.shape[1:] != b.shape[1:]
    ):
        return None
    return _merged([first, second], most)


def split(message: Message) -> list[Message]:
    """Return a message for each window, of which each can be given up alone."""
    header = message.header
    if not isinstance(header, Frames) or len(header.windows) < 2:
        return [message]
    windows, found = header.windows, []
    for k in range(len(windows)):
        begin_us, end_us = windows.span_us(k)
        size = windows.merged[k] if windows.merged else 1
        one = msgspec.structs.replace(
            windows,
            first=windows.number(k) - size + 1,
            start_us=begin_us,
            last_event_us=windows.last_event_us[k : k + 1],
            partial=windows.partial and k == len(windows) - 1,
            spans_us=None if windows.spans_us is None else windows.spans_us[k : k + 1],
            merged=windows.merged[k : k + 1],
        )
        row = message.array[k : k + 1]
        told = msgspec.structs.replace(
            header,
            shape=row.shape,
            t_first_us=begin_us,
            t_last_us=end_us,
            windows=one,
            shed=None if k else header.shed,
        )
        found.append(Message(told, row))
    return found


def _merged(parts: list[Message], most: int) -> Message | None:
    """Merge the windows of messages that follow each other; None where none can be."""
    headers = [part.header for part in parts if isinstance(part.header, Frames)]
    runs = [header.windows for header in headers]
    sizes = [size for run in runs for size in _sizes(run)]
    groups = _groups(sizes, most)
    if len(groups) == len(sizes):
        return None
    spans = [run.span_us(k) for run in runs for k in range(len(run))]
    last = [t for run in runs for t in run.last_event_us]
    windows = Windows(
        first=runs[0].first,
        start_us=spans[0][0],
        length_us=0,
        step_us=0,
        last_event_us=tuple(
            max((t for t in last[i:j] if t is not None), default=None) for i, j in groups
        ),
        partial=runs[-1].partial,
        spans_us=tuple((spans[i][0], spans[j - 1][1]) for i, j in groups),
        merged=tuple(sum(sizes[i:j]) for i, j in groups),
    )
    frames = np.concatenate([part.array for part in parts])
    sums = np.add.reduceat(frames, [i for i, _ in groups], axis=0, dtype=np.int64)
    joined = data(
        Frames,
        _smallest(sums),
        stream=headers[0].stream,
        epoch=headers[0].epoch,
        t_first_us=headers[0].t_first_us,
        t_last_us=headers[-1].t_last_us,
        windows=windows,
    )
    # As old as its oldest.
    stamps = {"seq": headers[0].seq, "born_ns": headers[0].born_ns}
    return Message(msgspec.structs.replace(joined.header, **stamps), joined.array)


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
