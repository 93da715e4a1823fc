"""The loop that drives one stage: the only code that owns its state, its queues and its clock."""

import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import zmq

from pipeline.latency import LatencyHistogram
from pipeline.messages import (
    Clock,
    EndRecording,
    EndStream,
    Message,
    Predictions,
    Retime,
    Start,
    control,
)
from pipeline.playback import Pacer, Playback
from pipeline.queues import Receiver, Sender, send_to_all
from pipeline.report import Failure, QueueCount, StageReport, failure_of
from pipeline.stage import Account, Source, Transform

__all__ = ["drive_source", "drive_transform"]


class _Outlet:
    """Stamps messages and sends each into every outgoing queue."""

    def __init__(self, senders: Sequence[Sender]) -> None:
        self._senders = senders
        self._count = 0

    def emit(self, message: Message, born_ns: int) -> None:
        if self._senders:
            header = msgspec.structs.replace(message.header, seq=self._count, born_ns=born_ns)
            send_to_all(self._senders, Message(header, message.array))
        self._count += 1

    def finish(self) -> None:
        for sender in self._senders:
            sender.drain()

    def counts(self) -> list[QueueCount]:
        return [QueueCount(s.name, s.messages, s.units, s.blocked_ns / 1e9) for s in self._senders]


def drive_transform(
    stage: Transform[Any, Any],
    messages: Iterable[Message],
    receivers: Sequence[Receiver],
    senders: Sequence[Sender],
) -> StageReport:
    """Run a transform or a sink until the end of the stream has passed through it."""
    outlet, clock = _Outlet(senders), _SinkClock()
    state: Any = None
    total: Account | None = None
    busy_ns, started = 0, time.monotonic_ns()
    # Given up in the middle, a stage still tells what it has counted.
    with suppress(zmq.ContextTerminated):
        for message in messages:
            header = message.header
            if isinstance(header, Start) and state is not None:
                total = _sum(total, stage.account(state))
            turn = stage.step(state, message)
            while True:
                begun = time.monotonic_ns()
                try:
                    out = next(turn)
                except StopIteration as end:
                    state = end.value
                    break
                finally:
                    busy_ns += time.monotonic_ns() - begun
                outlet.emit(out, header.born_ns)
            if not senders:
                clock.observe(header)
        outlet.finish()
    if state is not None:
        total = _sum(total, stage.account(state))
    return StageReport(
        name=stage.name,
        account=total,
        received=[QueueCount(r.name, r.messages, r.units) for r in receivers],
        sent=outlet.counts(),
        busy_s=busy_ns / 1e9,
        wall_s=(time.monotonic_ns() - started) / 1e9,
        latency=clock.latency.summary(),
        transit=clock.transit.summary(),
        remarks=[] if total is None else stage.remarks(total),
    )


def drive_source(
    stage: Source[Any, Any], senders: Sequence[Sender], playback: Playback
) -> StageReport:
    """Run a source to its end, or until it is stopped; its recording is closed either way."""
    outlet, pacer = _Outlet(senders), Pacer(stage.speed, playback)
    state = stage.initial_state()
    open_recording: Message | None = None
    failure: Failure | None = None
    busy_ns, started = 0, time.monotonic_ns()
    turns = stage.play(state)
    with suppress(zmq.ContextTerminated):
        while not playback.stopped:
            begun = time.monotonic_ns()
            try:
                played = next(turns, None)
            except Exception as error:
                # What was sent is good: let it be worked on to its end before the run fails.
                failure = failure_of(error)
                break
            busy_ns += time.monotonic_ns() - begun
            if played is None:
                break
            if played.remark:
                print(f"{stage.name}: {played.remark}", file=sys.stderr, flush=True)
            go_on, retimed = pacer.wait(played.due_us, played.wait_s)
            if not go_on:
                break
            if retimed and open_recording is not None:
                outlet.emit(pacer.retime(open_recording), time.monotonic_ns())
            for message in played.messages:
                if isinstance(message.header, Start):
                    message = pacer.anchor(message)
                    open_recording = message
                elif isinstance(message.header, EndRecording):
                    open_recording = None
                now = time.monotonic_ns()
                outlet.emit(message, now if played.born_ns is None else played.born_ns)
            state = played.state
        now = time.monotonic_ns()
        if open_recording is not None:
            header = open_recording.header
            end = EndRecording(stream=header.stream, epoch=header.epoch)
            outlet.emit(control(end), now)
        outlet.emit(control(EndStream(stream=stage.name)), now)
        outlet.finish()
    return StageReport(
        name=stage.name,
        account=stage.account(state),
        received=[],
        sent=outlet.counts(),
        busy_s=busy_ns / 1e9,
        wall_s=(time.monotonic_ns() - started) / 1e9,
        failure=failure,
        pace=pacer.report(),
    )


def _sum(total: Account | None, account: Account) -> Account:
    return account if total is None else total + account


class _SinkClock:
    """Measures how long after its last event a prediction was delivered.

    Attributes:
        latency: from when the event was due, or came in.
        transit: of paced sources, from when the message that closed the window left them; what is
            left out is how well the source kept its clock.
    """

    def __init__(self) -> None:
        self.latency, self.transit = LatencyHistogram(), LatencyHistogram("release")
        self._clocks: dict[str, Clock | None] = {}
        self._live: dict[str, bool] = {}

    def observe(self, header: Any) -> None:
        now = time.monotonic_ns()
        if isinstance(header, Start | Retime):
            self._clocks[header.stream] = header.clock
        if isinstance(header, Start):
            self._live[header.stream] = header.live
        if not isinstance(header, Predictions):
            return
        clock = self._clocks.get(header.stream)
        for span in header.spans:
            if clock is None:
                if self._live.get(header.stream):
                    self.latency.add(now - header.born_ns)
            elif span.last_event_us is not None:
                self.latency.since = "event"
                self.latency.add(now - clock.due_ns(span.last_event_us))
                self.transit.add(now - header.born_ns)
