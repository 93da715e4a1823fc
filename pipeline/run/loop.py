"""The loop that drives one stage: the only code that owns its state, its queues and its clock."""

import sys
import time
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
    Clock,
    Data,
    EndRecording,
    EndStream,
    Header,
    Message,
    Predictions,
    Reset,
    Retime,
    Shed,
    Start,
    control,
)
from pipeline.observe.gauges import Gauges
from pipeline.observe.latency import LatencyHistogram
from pipeline.observe.tap import Tap
from pipeline.queue.inlet import Inlet
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender, send_to_all
from pipeline.report import Failure, QueueCount, StageReport, failure_of
from pipeline.run.playback import Pacer, Playback
from pipeline.run.pulse import Pulse
from pipeline.stage import Account, AnyStage, Sink, Source, Transform

__all__ = ["Keep", "drive_source", "drive_transform", "first_snapshot", "go_back"]

Keep = Callable[[int | None, StageSnapshot], None]
"""Takes what belongs to a checkpoint, by its number; None: to any, since the stream was over."""


_FLUSH_MS = 20


class _Outlet:
    """Stamps messages and sends each into every queue of its output, control into all queues."""

    def __init__(
        self, senders: Sequence[Sender], count: int, pulse: Pulse, tap: Tap | None
    ) -> None:
        self._senders = senders
        self._by_output: dict[str, list[Sender]] = {}
        for sender in senders:
            self._by_output.setdefault(sender.output, []).append(sender)
        self.count = count
        self.shed: Shed | None = None
        """What overload took before this stage, and the next message of data is to tell."""
        self._pulse, self._tap = pulse, tap

    def emit(self, message: Message, born_ns: int) -> None:
        senders = self._senders if message.is_control else self._by_output.get(message.output, ())
        if senders:
            header = msgspec.structs.replace(
                message.header, seq=self.count, born_ns=born_ns, shed=self._told_by(message)
            )
            send_to_all(senders, Message(header, message.array))
        self.count += 1
        if isinstance(message.header, Data) and not message.output:
            self._pulse.event_us = message.header.t_last_us
        if self._tap is not None and not message.output:
            self._tap.offer(message)

    def flush(self, seconds: float, is_over: Callable[[], bool]) -> None:
        """Send what waits before queues that may shed, for so long or until it is sent."""
        until_s = None
        while behind := [sender for sender in self._senders if sender.backlog]:
            if until_s is None:
                until_s = time.monotonic() + seconds
            poller = zmq.Poller()
            for sender in behind:
                sender.flush()
                poller.register(sender.socket, zmq.POLLIN)
            left_s = until_s - time.monotonic()
            if left_s <= 0 or is_over() or not any(sender.backlog for sender in behind):
                return
            poller.poll(min(round(left_s * 1000), _FLUSH_MS))

    def finish(self) -> None:
        for sender in self._senders:
            sender.drain()

    def counts(self) -> list[QueueCount]:
        return [sender.count() for sender in self._senders]

    def _told_by(self, message: Message) -> Shed | None:
        """Return what a message is to tell of; each loss is told once."""
        if message.output or not isinstance(message.header, Data | EndRecording | EndStream):
            return None
        told, self.shed = self.shed, None
        return told


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
    outlet = _Outlet(senders, 0 if saved is None else saved.seq, pulse, tap)
    outlet.shed = None if saved is None else saved.shed
    clock = _SinkClock()
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

    def report() -> StageReport:
        account = done()
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
            gauges.ask(states.get(header.stream), done)
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
    outlet = _Outlet(senders, 0 if saved is None else saved.seq, pulse, tap)
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
        return StageReport(
            name=stage.name,
            account=done(),
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
            gauges.ask(state, done, pacer.speed)
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


def _telling(message: Message, outlet: _Outlet) -> Message:
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

    def follow(self, header: Header) -> None:
        """Take note of the clock of a stream."""
        if isinstance(header, Start | Retime):
            self._clocks[header.stream] = header.clock
        if isinstance(header, Start):
            self._live[header.stream] = header.live

    def due_ns(self, header: Data) -> int:
        """Return when data were due, or came in."""
        clock = self._clocks.get(header.stream)
        return header.born_ns if clock is None else clock.due_ns(header.t_last_us)

    def observe(self, header: Header) -> None:
        now = now_ns()
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
