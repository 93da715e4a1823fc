"""The loop that drives one stage: the only code that owns its state, its queues and its clock."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import zmq

from pipeline.checkpoint.folder import StageSnapshot
from pipeline.checkpoint.snapshot import classes_of, pack, unpack
from pipeline.clock import now_ns
from pipeline.errors import WireError
from pipeline.messages import (
    Barrier,
    Data,
    EndRecording,
    EndStream,
    Header,
    Message,
    Reset,
    Start,
    control,
)
from pipeline.observe.gauges import Gauges
from pipeline.observe.tap import Tap
from pipeline.queue.inlet import Inlet
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender
from pipeline.report import Failure, StageReport, failure_of
from pipeline.run.outlet import Outlet
from pipeline.run.playback import Pacer, Playback
from pipeline.run.pulse import Pulse
from pipeline.run.sink_clock import SinkClock
from pipeline.stage import Account, AnyStage, Sink, Source, Transform

__all__ = ["Keep", "drive_source", "drive_transform", "first_snapshot", "go_back"]

Keep = Callable[[int | None, StageSnapshot], None]
"""Takes what belongs to a checkpoint, by its number; None: to any, since the stream was over."""


def first_snapshot(stage: AnyStage) -> StageSnapshot:
    """Return what checkpoint 0 keeps of a stage that is open, before anything flows."""
    states = {stage.name: stage.initial_state()} if isinstance(stage, Source) else {}
    return StageSnapshot(stage.name, _packed(stage, states), _committed(stage))


def go_back(stage: AnyStage, saved: StageSnapshot) -> dict[str, Any]:
    """Put a stage that is open back to a checkpoint; return its state for each stream.

    Raises:
        PipelineError: it cannot go back there.
    """
    classes = classes_of(type(stage))
    if isinstance(stage, Sink) and saved.position is not None:
        stage.rewind(unpack(saved.position, classes))
    states = {} if saved.state is None else unpack(saved.state, classes)
    return {stream: stage.restore(state) for stream, state in states.items()}


def drive_transform(
    stage: Transform[Any, Any],
    inlet: Inlet,
    receivers: Sequence[Receiver],
    senders: Sequence[Sender],
    saved: StageSnapshot | None = None,
    keep: Keep | None = None,
    pulse: Pulse | None = None,
    tap: Tap | None = None,
    states: dict[str, Any] | None = None,
) -> StageReport:
    """Run a transform or a sink until the end of the stream has passed through it.

    Args:
        stage: open.
        inlet: of the receivers.
        receivers: its queues.
        senders: where its messages go.
        saved: the checkpoint to go on from; then the stage must be open.
        keep: takes what checkpoints keep of it; without it none are made.
        pulse: told what the stage is doing.
        tap: shows some of what it puts out.
        states: those of the checkpoint, as `go_back` gave them.
    """
    pulse = pulse or Pulse()
    pulse.watch(receivers, senders)
    outlet = Outlet(senders, 0 if saved is None else saved.seq, pulse, tap)
    outlet.shed = None if saved is None else saved.shed
    clock = SinkClock()
    gauges = Gauges(stage, pulse, tap)
    if not senders:
        pulse.latency = clock.latency
    if states is None:
        states = {} if saved is None else go_back(stage, saved)
    total: Account | None = None if saved is None else saved.total
    starts: dict[str, Start] = {}
    for start in [] if saved is None else saved.starts:
        starts[start.stream] = start
        clock.follow(msgspec.structs.replace(start, clock=None))
    started = time.monotonic_ns()

    def snapshot() -> StageSnapshot:
        return StageSnapshot(
            stage.name,
            _packed(stage, states),
            _committed(stage),
            total,
            outlet.count,
            shed=outlet.shed,
            sent=outlet.counts(),
            starts=[*starts.values()],
        )

    def done() -> Account | None:
        account = total
        for state in states.values():
            account = _sum(account, stage.account(state))
        return account

    def refused() -> dict[str, int]:
        account = done()
        lost = Counter({} if account is None else account.refused)
        for state in states.values():
            lost.subtract(stage.waiting(state))
        return dict(lost)

    def report() -> StageReport:
        account = done()
        pulse.refused = {} if account is None else account.refused
        return StageReport(
            name=stage.name,
            account=account,
            received=[receiver.count() for receiver in receivers],
            sent=outlet.counts(),
            busy_s=pulse.worked_ns / 1e9,
            wall_s=(time.monotonic_ns() - started) / 1e9,
            latency=clock.latency.summary(),
            transit=clock.transit.summary(),
            remarks=[] if account is None else stage.remarks(account),
        )

    def take(message: Message) -> Message:
        nonlocal total
        header = message.header
        clock.follow(header)
        if isinstance(header, Data):
            pulse.take(clock.due_ns(header))
        if header.shed is not None:
            outlet.shed = header.shed if outlet.shed is None else outlet.shed + header.shed
        if isinstance(header, Start):
            starts[header.stream] = header
            if header.stream in states:
                total = _sum(total, stage.account(states.pop(header.stream)))
        return message if senders else _telling(message, outlet)

    def step(message: Message) -> None:
        header = message.header
        turn = stage.step(states.get(header.stream), message)
        while True:
            pulse.begin(time.monotonic_ns())
            try:
                out = next(turn)
            except StopIteration as end:
                if end.value is not None:
                    states[header.stream] = end.value
                return
            finally:
                pulse.end(time.monotonic_ns())
            outlet.emit(out, header.born_ns)

    def step_together(messages: Sequence[Message]) -> None:
        pulse.begin(time.monotonic_ns())
        try:
            found = stage.process_together(
                [(_begun(states, message.header), message) for message in messages]
            )
        finally:
            pulse.end(time.monotonic_ns())
        for message, (out, state) in zip(messages, found, strict=True):
            states[message.header.stream] = state
            for each in out:
                outlet.emit(each, message.header.born_ns)

    # Given up in the middle, a stage still tells what it has counted.
    with suppress(zmq.ContextTerminated):
        for turn in inlet.turns():
            taken = [take(message) for message in turn]
            if len(taken) > 1:
                step_together(taken)
            else:
                step(taken[0])
            pulse.deal()
            header = taken[0].header
            gauges.ask(states.get(header.stream), refused)
            if isinstance(header, EndRecording):
                starts.pop(header.stream, None)
            if isinstance(header, Barrier) and keep is not None:
                with pulse.busy():
                    draft = snapshot()
                _cut(inlet, header.checkpoint, draft, keep)
            if not senders:
                clock.observe(header)
                if isinstance(header, Data):
                    pulse.event_us = header.t_last_us
        outlet.finish()
        if keep is not None:
            with pulse.busy():
                last = msgspec.structs.replace(snapshot(), report=report())
            keep(None, last)
    return report()


def drive_source(
    stage: Source[Any, Any],
    senders: Sequence[Sender],
    playback: Playback,
    saved: StageSnapshot | None = None,
    keep: Keep | None = None,
    pulse: Pulse | None = None,
    tap: Tap | None = None,
    states: dict[str, Any] | None = None,
) -> StageReport:
    """Run a source to its end, or until it is stopped; its recording is closed either way.

    Args:
        stage: open.
        senders: where its messages go.
        playback: what it is told meanwhile.
        saved: the checkpoint to go on from.
        keep: takes what checkpoints keep of it.
        pulse: told what the stage is doing.
        tap: shows some of what it puts out.
        states: those of the checkpoint, as `go_back` gave them.
    """
    pulse = pulse or Pulse()
    pulse.watch((), senders)
    outlet = Outlet(senders, 0 if saved is None else saved.seq, pulse, tap)
    pacer = Pacer(stage.speed, playback)
    if states is None and saved is not None:
        states = go_back(stage, saved)
    state = stage.initial_state() if states is None else states[stage.name]
    open_recording: Message | None = None
    if saved is not None and saved.starts:
        open_recording = control(saved.starts[0])
        pacer.go_on()
    failure: Failure | None = None
    started = time.monotonic_ns()
    turns = stage.play(state)
    gauges = Gauges(stage, pulse, tap)
    kept: dict[int, Any] = {}

    def snapshot() -> StageSnapshot:
        starts = [] if open_recording is None else [open_recording.header]
        return StageSnapshot(
            stage.name,
            _packed(stage, {stage.name: state}),
            seq=outlet.count,
            sent=outlet.counts(),
            starts=[start for start in starts if isinstance(start, Start)],
        )

    def done() -> Account:
        return stage.account(state)

    def report() -> StageReport:
        account = done()
        pulse.refused = account.refused
        return StageReport(
            name=stage.name,
            account=account,
            received=[],
            sent=outlet.counts(),
            busy_s=pulse.worked_ns / 1e9,
            wall_s=(time.monotonic_ns() - started) / 1e9,
            failure=failure,
            pace=pacer.report(),
        )

    with suppress(zmq.ContextTerminated):
        while not playback.stopped:
            if keep is not None and (number := playback.asked()) is not None:
                outlet.emit(control(Barrier(stream=stage.name, checkpoint=number)), 0)
                keep(number, snapshot())
                kept[number] = state
                if playback.oldest in kept:
                    kept = {n: old for n, old in kept.items() if n >= playback.oldest}
                    stage.release(kept[playback.oldest])
            if playback.forgets() and open_recording is not None:
                epoch = open_recording.header.epoch
                outlet.emit(control(Reset(stream=stage.name, epoch=epoch)), now_ns())
            pulse.begin(time.monotonic_ns())
            try:
                played = next(turns, None)
            except Exception as error:
                # What was sent is good: let it be worked on to its end before the run fails.
                failure = failure_of(error)
                break
            finally:
                pulse.end(time.monotonic_ns())
            if played is None:
                break
            if played.remark:
                print(f"{stage.name}: {played.remark}", file=sys.stderr, flush=True)
            outlet.flush(pacer.ahead_s(played.due_us, played.wait_s), lambda: playback.stopped)
            go_on, retimed = pacer.wait(played.due_us, played.wait_s)
            if not go_on:
                break
            if retimed and open_recording is not None:
                outlet.emit(pacer.retime(open_recording), now_ns())
            for message in played.messages:
                if isinstance(message.header, Start):
                    message = pacer.anchor(message)
                    open_recording = message
                elif isinstance(message.header, EndRecording):
                    open_recording = None
                now = now_ns()
                outlet.emit(message, now if played.born_ns is None else played.born_ns)
            state = played.state
            gauges.ask(state, lambda: done().refused, pacer.speed)
            if keep is None:
                stage.release(state)
        now = now_ns()
        if open_recording is not None:
            header = open_recording.header
            end = EndRecording(stream=header.stream, epoch=header.epoch)
            outlet.emit(control(end), now)
        outlet.emit(control(EndStream(stream=stage.name)), now)
        outlet.finish()
        if keep is not None:
            keep(None, msgspec.structs.replace(snapshot(), report=report()))
    return report()


def _cut(inlet: Inlet, number: int, draft: StageSnapshot, keep: Keep) -> None:
    """Keep a stage's snapshot once everything that belongs to it has come in."""
    inlet.cut(
        number,
        lambda received, pending: keep(
            number, msgspec.structs.replace(draft, received=received, pending=pending)
        ),
    )


def _packed(stage: AnyStage, states: dict[str, Any]) -> bytes | None:
    """Return what a checkpoint keeps of a stage's states, by stream; None if there is none yet."""
    return pack({name: stage.snapshot(state) for name, state in states.items()}) if states else None


def _telling(message: Message, outlet: Outlet) -> Message:
    """Return a message to a sink with all that its results have to tell of overload."""
    header, shed = message.header, outlet.shed
    if shed is None or not isinstance(header, Data | EndRecording | EndStream):
        return message
    outlet.shed = None
    return Message(msgspec.structs.replace(header, shed=shed), message.array)


def _committed(stage: AnyStage) -> bytes | None:
    return pack(stage.commit()) if isinstance(stage, Sink) else None


def _begun(states: dict[str, Any], header: Header) -> Any:
    """Return the state of a stream whose recording has started."""
    if header.stream not in states:
        raise WireError(f"{type(header).__name__} arrived before the start of a recording")
    return states[header.stream]


def _sum(total: Account | None, account: Account) -> Account:
    return account if total is None else total + account
