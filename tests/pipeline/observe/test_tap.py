"""A tap: who looks sees some of what flows, who does not costs nothing, each may come and go."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from pipeline.events import events_from_columns
from pipeline.messages import EndRecording, Events, Message, Start, control, data, decode
from pipeline.observe import tap
from pipeline.observe.tap import GAUGES, Tap

START = control(Start(stream="camera", width=8, height=6, source="a"))
PATIENCE_MS = 5000


def some(count: int) -> Message:
    column = np.zeros(count, np.int64)
    times = {"t_first_us": 0, "t_last_us": 0, "watermark_us": 0}
    return data(
        Events, events_from_columns(column, column, column, column), stream="camera", **times
    )


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def monotonic_ns(self) -> int:
        return self.ns

    def pass_ms(self, ms: int) -> None:
        self.ns += ms * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tap, "time", clock)
    return clock


@pytest.fixture
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def shown(context: "zmq.Context[zmq.Socket[bytes]]", tmp_path: Path, clock: Clock) -> Iterator[Tap]:
    tap = Tap(context, f"ipc://{tmp_path}/tap")
    yield tap
    tap.close()


@pytest.fixture
def look(context: "zmq.Context[zmq.Socket[bytes]]", tmp_path: Path) -> Iterator["Look"]:
    viewers = []

    def look(at: bytes = b"") -> "zmq.Socket[bytes]":
        viewer = context.socket(zmq.SUB)
        viewers.append(viewer)
        viewer.subscribe(at)
        viewer.connect(f"ipc://{tmp_path}/tap")
        return viewer

    yield look
    for viewer in viewers:
        viewer.close(0)


def offer_until(shown: Tap, clock: Clock, reached: Callable[[], bool]) -> None:
    """Offer messages until something is so, which takes others a moment."""
    over = zmq.Poller()
    for _ in range(PATIENCE_MS):
        clock.pass_ms(50)
        shown.offer(some(1))
        if reached():
            return
        over.poll(1)
    raise AssertionError("it did not come to that")


Look = Callable[..., "zmq.Socket[bytes]"]


def test_who_comes_late_is_shown_the_start_first(shown: Tap, clock: Clock, look: Look) -> None:
    shown.offer(START)
    for _ in range(2):
        viewer = look()
        offer_until(shown, clock, lambda: viewer.poll(0) > 0)  # noqa: B023
        first, second = (decode(*viewer.recv_multipart()).header for _ in range(2))
        assert isinstance(first, Start)
        assert isinstance(second, Events)


def test_who_looks_at_gauges_is_sent_no_message(shown: Tap, clock: Clock, look: Look) -> None:
    viewer = look(GAUGES)
    offer_until(shown, clock, lambda: shown.watched)
    assert shown.viewers == 0
    for _ in range(20):
        clock.pass_ms(50)
        shown.offer(some(1))
    assert not viewer.poll(50)


def test_they_are_counted_as_they_come_and_go(shown: Tap, clock: Clock, look: Look) -> None:
    viewers = [look(), look(), look(GAUGES)]
    offer_until(shown, clock, lambda: shown.viewers == 2 and shown.watched)
    viewers[0].close(0)
    offer_until(shown, clock, lambda: shown.viewers == 1)
    viewers[1].close(0)
    offer_until(shown, clock, lambda: shown.viewers == 0)
    assert shown.watched
    viewers[2].close(0)
    offer_until(shown, clock, lambda: not shown.watched)


def test_messages_are_sampled_the_large_ones_more(shown: Tap, clock: Clock, look: Look) -> None:
    viewer = look()
    offer_until(shown, clock, lambda: viewer.poll(0) > 0)
    while viewer.poll(50):
        viewer.recv_multipart()
    clock.pass_ms(1000)
    for _ in range(100):
        clock.pass_ms(1)
        shown.offer(some(2))
        shown.offer(control(EndRecording(stream="camera")))
    small = 0
    while viewer.poll(50):
        small += len(decode(*viewer.recv_multipart()).array) == 2
    assert 0 < small <= 25
    clock.pass_ms(1000)
    for _ in range(100):
        clock.pass_ms(1)
        shown.offer(some(2000))
    large = 0
    while viewer.poll(50):
        viewer.recv_multipart()
        large += 1
    assert large == 3
