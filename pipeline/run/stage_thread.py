"""The thread of a stage in its worker: it owns the stage, its queues, its part of checkpoints."""

import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
import zmq

from pipeline.checkpoint.folder import StageSnapshot
from pipeline.config import HOME
from pipeline.graph import Edge, Graph, Node
from pipeline.observe.status import StageStatus
from pipeline.observe.tap import Tap, tap_endpoint
from pipeline.observe.trace import TracedPulse
from pipeline.ports import FramesPort
from pipeline.queue.backlog import Backlog, Loss, Policy
from pipeline.queue.guard import Guard
from pipeline.queue.inlet import Inlet
from pipeline.queue.overload import policy_at
from pipeline.queue.protocol import NOTHING, Passed
from pipeline.queue.receiver import Receiver
from pipeline.queue.sender import Sender
from pipeline.report import QueueCount, StageReport, failure_of
from pipeline.run.control import Failed, Kept, Plan
from pipeline.run.loop import Keep, drive_source, drive_transform, first_snapshot, go_back
from pipeline.run.playback import Playback
from pipeline.run.pulse import Pulse
from pipeline.stage import Source

__all__ = ["Assignment", "Bell", "StageThread", "control_endpoint"]


class Assignment(NamedTuple):
    """What a worker is to do, and where."""

    graph: Graph
    group: str
    folder: Path
    """The run's."""
    generation: int
    """Counts the starts of this run's workers: each has sockets of its own."""
    plan: Plan
    checkpoint: Path | None
    """Where to go on from."""
    starter: int
    """The process that it is a fork of."""

    @property
    def control(self) -> str:
        """Where the supervisor listens."""
        return control_endpoint(self.folder, self.generation)


def control_endpoint(folder: Path, generation: int) -> str:
    """Return where the supervisor of one generation of workers listens."""
    return f"ipc://{folder}/control-{generation}"


class Bell:
    """Wakes the main thread, which waits for the supervisor, when a stage's thread has news."""

    def __init__(self) -> None:
        self._hear, self._ring = os.pipe()
        os.set_blocking(self._hear, False)

    def ring(self) -> None:
        """Wake it."""
        os.write(self._ring, b"!")

    def fileno(self) -> int:
        """Return what to poll."""
        return self._hear

    def hush(self) -> None:
        """Stop ringing."""
        with suppress(BlockingIOError):
            os.read(self._hear, 4096)


class StageThread(threading.Thread):
    """Opens one stage and its input queues, waits for Go, drives it, closes it."""

    def __init__(
        self,
        node: Node,
        task: Assignment,
        context: "zmq.Context[zmq.Socket[bytes]]",
        guard: Guard,
        bell: Bell,
        saved: StageSnapshot | None,
        arrived: Sequence[QueueCount] = (),
    ) -> None:
        super().__init__(name=node.name, daemon=True)
        graph = task.graph
        self.node = node
        self.playback = Playback()
        self.pulse = TracedPulse() if task.plan.trace else Pulse()
        self.kept = queue.SimpleQueue[Kept]()
        self.ready, self.over = threading.Event(), threading.Event()
        self._bell = bell
        self.endpoints: dict[str, str] = {}
        self.report: StageReport | None = None
        self.failure: Failed | None = None
        self._go = threading.Event()
        self._open_s = 0.0
        self._all_endpoints: Mapping[str, str] = {}
        self._context, self._folder = context, task.folder
        self._guard = guard
        self._saved, self._arrived = saved, arrived
        self._graph, self.level = graph, 0
        """The step of overload's ladder, set by another thread."""
        self._last: StageSnapshot | None = None
        self._keep: Keep | None = self._take if task.plan.checkpoints else None
        self._answering: list[Receiver] = []
        self._incoming = [edge for edge in graph.edges if edge.receiver == node.name]
        self._outgoing = [edge for edge in graph.edges if edge.sender == node.name]
        # Whose keys the receivers have, where hosts know each other by keys of their own.
        self._peers = {
            edge.receiver: graph.host_of(edge.receiver) or HOME
            for edge in self._outgoing
            if graph.host_of(edge.receiver) != node.host
        }
        self._origins = [graph.origins(edge.sender) for edge in self._incoming]
        self._live = graph.live
        self._bind_to = {edge.name: _bind_to(task, edge) for edge in self._incoming}

    def go(self, endpoints: Mapping[str, str]) -> None:
        """Let the stage run; ``endpoints`` says where its output queues are."""
        self._all_endpoints = endpoints
        self._go.set()

    def status(self) -> StageStatus:
        """Return what the stage is doing; may be asked from any thread."""
        return self.pulse.status(self.node.name, self.over.is_set())

    def give_up(self) -> None:
        """End all waiting; the queues end with the context."""
        self.playback.stop()
        self._go.set()

    def run(self) -> None:
        """Drive the stage to its end; leave its report, or its failure."""
        try:
            self._run()
        except zmq.ContextTerminated:
            pass
        except (Exception, SystemExit) as error:
            # A stage that calls sys.exit would otherwise end its thread without a word.
            self.failure = Failed(self.node.name, failure_of(error))
        finally:
            self.over.set()
            self._bell.ring()
        self._answer_again()

    def _answer_again(self) -> None:
        """Hear senders on other hosts that do not know yet that all they sent has come."""
        poller = zmq.Poller()
        for receiver in self._answering:
            poller.register(receiver.socket, zmq.POLLIN)
        with suppress(zmq.ContextTerminated):
            while self._answering:
                ready = dict(poller.poll())
                for receiver in self._answering:
                    if receiver.socket in ready:
                        receiver.answer_again()
        for receiver in self._answering:
            receiver.close()

    def _take(self, number: int | None, snapshot: StageSnapshot) -> None:
        if number is None:
            self._last = snapshot
        else:
            if isinstance(self.pulse, TracedPulse):
                self.pulse.mark(number)
            self._tell(number, snapshot)

    def _tell(self, number: int | None, snapshot: StageSnapshot) -> None:
        self.kept.put(Kept(number, snapshot))
        self._bell.ring()

    def _run(self) -> None:
        if self._saved is not None and self._saved.report is not None:
            # Its stream was over when the checkpoint was made: there is nothing left to do.
            self.report = self._saved.report
            self._tell(None, self._saved)
            self.ready.set()
            return
        begun = time.monotonic()
        with self.pulse.busy():
            self.node.stage.open()
        self._open_s = time.monotonic() - begun
        try:
            self._drive()
        except BaseException:
            # An error on closing must not hide why it came to that.
            with suppress(Exception):
                self.node.stage.close()
            raise
        with self.pulse.busy():
            self.node.stage.close()
        if self._last is not None:
            # Not before it is closed: from now on nobody would open it to write its files' ends.
            self._tell(None, msgspec.structs.replace(self._last, report=self.report))

    def _drive(self) -> None:
        stage, saved = self.node.stage, self._saved
        receivers: list[Receiver] = []
        senders: list[Sender] = []
        tap = None
        if self._outgoing:
            tap = Tap(self._context, tap_endpoint(self._folder, self.node.name))
        try:
            for edge in self._incoming:
                passed = _passed(edge, self._arrived)
                receivers.append(
                    Receiver(
                        self._context,
                        self._bind_to[edge.name],
                        edge.name,
                        edge.credit,
                        passed,
                        self._guard,
                        self.node.host != self._graph.host_of(edge.sender),
                    )
                )
                self.endpoints[edge.name] = receivers[-1].endpoint
            states = None
            with self.pulse.busy():
                if saved is not None:
                    states = go_back(stage, saved)
                elif self._keep is not None:
                    self._keep(0, first_snapshot(stage))
            self.ready.set()
            self._bell.ring()
            self._go.wait()
            if self.playback.stopped and not self._all_endpoints:
                return
            begun_s = time.process_time()
            for edge in self._outgoing:
                passed = _passed(edge, self._arrived)
                endpoint = self._all_endpoints[edge.name]
                senders.append(
                    Sender(
                        self._context,
                        endpoint,
                        edge.name,
                        passed,
                        self._guard,
                        self._peers.get(edge.receiver),
                        output=edge.output,
                        backlog=self._backlog(edge),
                    )
                )
            if isinstance(stage, Source):
                report = drive_source(
                    stage, senders, self.playback, saved, self._keep, self.pulse, tap, states
                )
            else:
                pending = None if saved is None else saved.pending
                starts = () if saved is None else saved.starts
                inlet = Inlet(
                    receivers, self._origins, pending, self._live, senders, stage.together, starts
                )
                report = drive_transform(
                    stage, inlet, receivers, senders, saved, self._keep, self.pulse, tap, states
                )
            self.report = msgspec.structs.replace(
                report, open_s=self._open_s, processor_s=time.process_time() - begun_s
            )
            self._answering = [receiver for receiver in receivers if receiver.linked]
        finally:
            for receiver in receivers:
                if receiver not in self._answering:
                    receiver.close()
            for sender in senders:
                sender.close()
            if tap is not None:
                tap.close()

    def _backlog(self, edge: Edge) -> Backlog | None:
        """Return what waits before a queue that may shed."""
        if not edge.sheds:
            return None
        port = self._graph.port(edge.source)
        counts = isinstance(port, FramesPort) and port.frame == "counts"
        room = max(1, edge.capacity - edge.credit)
        own = Policy(edge.policy)
        if not edge.ladder:
            return Backlog(lambda: own, room, counts)
        return Backlog(
            lambda: policy_at(self.level, own, port), room, counts, steered=edge.policy == "block"
        )


def _passed(edge: Edge, counts: Sequence[QueueCount]) -> Passed:
    """Return what went through a queue before the checkpoint that a run goes on from.

    Both ends count on from what had come: the sender's part was kept while some of what it had put
    in waited, and might still be lost.
    """
    for count in counts:
        if count.name == edge.name:
            lost = Loss(count.lost_messages, **count.lost)
            return Passed(count.messages - lost.messages, count.arrived, lost)
    return NOTHING


def _bind_to(task: Assignment, edge: Edge) -> str:
    number = f"{task.generation}-{task.graph.edges.index(edge)}"
    scheme = task.graph.edge_scheme(edge)
    if scheme == "tcp":
        return f"tcp://{task.plan.address or '127.0.0.1'}:*"
    return f"inproc://{number}" if scheme == "inproc" else f"ipc://{task.folder}/{number}"
