"""Streams of messages for tests of stages: a recording cut in any way, and what comes out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.events import EventArray, events_from_columns
from pipeline.messages import Data, EndRecording, Events, Message, Start, control, data
from pipeline.offline import run_chain
from pipeline.stage import Account, Transform


def recording(
    events: EventArray, cuts: Sequence[int] = (), width: int = 8, height: int = 6
) -> Iterator[Message]:
    """One recording, its events cut into messages at ``cuts``; each cut may repeat."""
    first_us = int(events["t"][0]) if len(events) else None
    yield control(
        Start(stream="cam", width=width, height=height, source="test", t_first_us=first_us)
    )
    reached = -(2**63)
    for part in np.split(events, sorted(min(cut, len(events)) for cut in cuts)):
        possible = part["t"][np.abs(part["t"] // 2) < 2**61]
        reached = int(possible.max(initial=reached))
        times = {"t_first_us": 0, "t_last_us": 0, "watermark_us": reached}
        yield data(Events, part.copy(), stream="cam", **times)
    yield control(EndRecording(stream="cam"))


def through(stages: Sequence[Transform[Any, Any]], messages: Iterable[Message]) -> list[Message]:
    """All that comes out of a row of stages."""
    return list(run_chain(messages, stages))


def account(stage: Transform[Any, Any], messages: Iterable[Message]) -> Account:
    """Send messages through a stage and return its account of the last recording."""
    stage.open()
    state: Any = None
    for message in messages:
        turn = stage.step(state, message)
        while True:
            try:
                next(turn)
            except StopIteration as end:
                state = end.value
                break
    return stage.account(state)


def rows(messages: Iterable[Message]) -> NDArray[Any]:
    """The arrays of all data messages, one behind the other; counts as uint16."""
    arrays = [message.array for message in messages if isinstance(message.header, Data)]
    if not arrays:
        return np.empty(0)
    wide = np.uint16 if arrays[0].dtype.kind == "u" else arrays[0].dtype
    return np.concatenate([array.astype(wide) for array in arrays])


@st.composite
def event_arrays(
    draw: st.DrawFn,
    max_events: int = 60,
    span_us: int = 400,
    width: int = 8,
    height: int = 6,
    ordered: bool = True,
) -> EventArray:
    """Events of a small sensor within a short time, in order or not."""
    count = draw(st.integers(0, max_events))

    def column(low: int, high: int) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(low, high), min_size=count, max_size=count)

    t = draw(column(0, span_us))
    x, y, p = draw(column(0, width - 1)), draw(column(0, height - 1)), draw(column(0, 1))
    return events_from_columns(sorted(t) if ordered else t, x, y, p)


def cuts(max_cut: int = 60) -> st.SearchStrategy[list[int]]:
    """Where to cut: nowhere, anywhere, also several times at one place (empty messages)."""
    return st.lists(st.integers(0, max_cut), max_size=8)
