"""Rows: the units of a message, one by one, of whatever kind the message is.

Events are worked on many at a time, as words; of frames, outputs and predictions each row becomes a
message of its own, since what a header says of the windows that follow each other no longer holds
when one of them is taken out.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.events import EVENT, TIME_LIMIT_US
from pipeline.messages import Data, Events, Frames, Message, Outputs, Predictions, Windows

__all__ = ["Rows", "as_messages", "rows_of", "times_us"]

Rows = NDArray[Any]
"""Events as (n, 2) int64 words, as `stages.filters.event_filter` has them; of other kinds (n,)
messages of one row."""


def rows_of(message: Message) -> Rows:
    """Return the rows of a message of data; an array that may be indexed, but not written to."""
    header, array = message.header, message.array
    assert isinstance(header, Data)
    if isinstance(header, Events):
        return array.view(np.int64).reshape(-1, 2)
    rows = np.empty(header.units, dtype=object)
    for k in range(header.units):
        rows[k] = _row(header, array, k)
    return rows


def as_messages(rows: Rows, header: Data, watermark_us: int) -> Iterator[Message]:
    """Yield rows as messages: events in one, and one that is empty too, others each in its own.

    Args:
        rows: of the kind of ``header``.
        header: of any message of the stream.
        watermark_us: for events, what they promise.
    """
    if not isinstance(header, Events):
        yield from rows
        return
    first_us = last_us = watermark_us
    if len(rows):
        first_us, last_us = int(rows[0, 0]), int(rows[-1, 0])
    header = msgspec.structs.replace(
        header,
        shape=(len(rows),),
        t_first_us=first_us,
        t_last_us=last_us,
        watermark_us=watermark_us,
    )
    events = np.ascontiguousarray(rows).reshape(-1).view(EVENT)
    events.setflags(write=False)
    yield Message(header, events)


def times_us(message: Message) -> NDArray[np.int64]:
    """Return (n,) the time of each row in µs: of an event, or the end of what a row was made from.

    Times that no event can have are moved to the limits, so that differences do not overflow.
    """
    header = message.header
    if isinstance(header, Events):
        times = message.array["t"]
    elif isinstance(header, Predictions):
        times = np.array([span.t_end_us for span in header.spans], dtype=np.int64)
    else:
        assert isinstance(header, Frames | Outputs)
        ends = [header.windows.span_us(k)[1] for k in range(header.units)]
        times = np.array(ends, dtype=np.int64)
    possible: NDArray[np.int64] = np.clip(times, 1 - TIME_LIMIT_US, TIME_LIMIT_US - 1)
    return possible


def _row(header: Data, array: NDArray[Any], k: int) -> Message:
    row = array[k : k + 1]
    if isinstance(header, Predictions):
        span = header.spans[k]
        first_us, last_us, more = span.t_start_us, span.t_end_us, {"spans": (span,)}
    else:
        assert isinstance(header, Frames | Outputs)
        first_us, last_us = header.windows.span_us(k)
        more = {"windows": _window(header.windows, k)}  # type: ignore[dict-item]
    return Message(
        msgspec.structs.replace(
            header,
            shape=row.shape,
            t_first_us=first_us,
            t_last_us=last_us,
            **more,
        ),
        row,
    )


def _window(windows: Windows, k: int) -> Windows:
    return Windows(
        first=windows.number(k) - (windows.merged[k] - 1 if windows.merged else 0),
        start_us=windows.span_us(k)[0],
        length_us=windows.length_us,
        step_us=windows.step_us,
        last_event_us=windows.last_event_us[k : k + 1],
        partial=windows.partial and k == len(windows) - 1,
        spans_us=None if windows.spans_us is None else windows.spans_us[k : k + 1],
        merged=windows.merged[k : k + 1],
    )
