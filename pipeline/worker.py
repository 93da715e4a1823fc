"""A worker: the process that runs the stages of one group, each in a thread of its own.

Started by the runner as ``python -m pipeline.worker RUN_FOLDER GROUP``. Its main thread listens to
the supervisor; the stages' threads own their queues. Its standard input is a pipe from the
supervisor: when that closes, the supervisor is gone, and so is the worker.
"""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import setproctitle
import zmq

from pipeline.config import parse_config
from pipeline.control import (
    Abort,
    Done,
    Exit,
    Failed,
    FromWorker,
    Go,
    Pause,
    Plan,
    Ready,
    Resume,
    Step,
    Stop,
    ToWorker,
)
from pipeline.graph import Edge, Graph, Node, build_graph
from pipeline.inlet import messages_from
from pipeline.loop import drive_source, drive_transform
from pipeline.playback import Playback
from pipeline.queues import Receiver, Sender
from pipeline.report import StageReport, failure_of
from pipeline.stage import Source

__all__ = ["main"]

_POLL_MS = 10
_LAST_WORDS_MS = 500


class _StageThread(threading.Thread):
    """Opens one stage and its input queues, waits for Go, drives it, closes it."""

    def __init__(
        self, node: Node, graph: Graph, context: "zmq.Context[zmq.Socket[bytes]]", folder: Path
    ) -> None:
        super().__init__(name=node.name, daemon=True)
        self.node = node
        self.playback = Playback()
        self.ready = threading.Event()
        self.endpoints: dict[str, str] = {}
        self.report: StageReport | None = None
        self.failure: Failed | None = None
        self._go = threading.Event()
        self._all_endpoints: Mapping[str, str] = {}
        self._context = context
        self._incoming = [edge for edge in graph.edges if edge.receiver == node.name]
        self._outgoing = [edge for edge in graph.edges if edge.sender == node.name]
        self._origins = [graph.origins(edge.sender) for edge in self._incoming]
        self._bind_to = {edge.name: _bind_to(graph, edge, folder) for edge in self._incoming}

    def go(self, endpoints: Mapping[str, str]) -> None:
        """Let the stage run; ``endpoints`` says where its output queues are."""
        self._all_endpoints = endpoints
        self._go.set()

    def give_up(self) -> None:
        """End all waiting; the queues end with the context."""
        self.playback.stop()
        self._go.set()

    def run(self) -> None:
        try:
            self._run()
        except zmq.ContextTerminated:
            pass
        except (Exception, SystemExit) as error:
            # A stage that calls sys.exit would otherwise end its thread without a word.
            self.failure = Failed(self.node.name, failure_of(error))

    def _run(self) -> None:
        self.node.stage.open()
        try:
            self._drive()
        except BaseException:
            # An error on closing must not hide why it came to that.
            with suppress(Exception):
                self.node.stage.close()
            raise
        self.node.stage.close()

    def _drive(self) -> None:
        receivers: list[Receiver] = []
        senders: list[Sender] = []
        try:
            for edge in self._incoming:
                endpoint = self._bind_to[edge.name]
                receivers.append(Receiver(self._context, endpoint, edge.name, edge.capacity))
                self.endpoints[edge.name] = receivers[-1].endpoint
            self.ready.set()
            self._go.wait()
            if self.playback.stopped and not self._all_endpoints:
                return
            for edge in self._outgoing:
                endpoint = self._all_endpoints[edge.name]
                senders.append(Sender(self._context, endpoint, edge.name))
            stage = self.node.stage
            if isinstance(stage, Source):
                self.report = drive_source(stage, senders, self.playback)
            else:
                messages = messages_from(receivers, self._origins)
                self.report = drive_transform(stage, messages, receivers, senders)
        finally:
            for receiver in receivers:
                receiver.close()
            for sender in senders:
                sender.close()


def _bind_to(graph: Graph, edge: Edge, folder: Path) -> str:
    number = graph.edges.index(edge)
    scheme = graph.edge_scheme(edge)
    if scheme == "tcp":
        return "tcp://127.0.0.1:*"
    return f"inproc://{number}" if scheme == "inproc" else f"ipc://{folder}/{number}"


class _Worker:
    def __init__(self, folder: Path, group: str) -> None:
        plan = msgspec.msgpack.decode((folder / "plan").read_bytes(), type=Plan)
        setproctitle.setproctitle(f"pipeline: {plan.run_id}/{group}")
        config = parse_config(plan.tables, Path(plan.path), plan.overrides)
        graph = build_graph(config)
        nodes = graph.groups[group]
        names = "+".join(node.name for node in nodes)
        setproctitle.setproctitle(f"pipeline: {plan.run_id}/{names}")
        # The stages' context ends on an abort; what is said to the supervisor goes on.
        self._stage_context = zmq.Context()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, group.encode())
        self._socket.connect(f"ipc://{folder}/control")
        self._threads = [_StageThread(node, graph, self._stage_context, folder) for node in nodes]

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        self._until(lambda: all(thread.ready.is_set() for thread in self._threads))
        endpoints = {k: v for thread in self._threads for k, v in thread.endpoints.items()}
        self._tell(Ready(endpoints))
        self._until(lambda: not any(thread.is_alive() for thread in self._threads))
        self._tell(Done(self._reports()))
        self._until(lambda: False)

    def _until(self, reached: Callable[[], bool]) -> None:
        """Serve the supervisor until ``reached``; a stage's failure is told at once."""
        while True:
            # Asked in this order: a thread that has ended has left its failure behind by then.
            over = reached()
            failures = [thread.failure for thread in self._threads if thread.failure is not None]
            if failures:
                self._tell(failures[0])
                reached = _never
            elif over:
                return
            if self._socket.poll(_POLL_MS):
                self._obey(msgspec.msgpack.decode(self._socket.recv(), type=ToWorker))

    def _obey(self, order: ToWorker) -> None:
        if isinstance(order, Go):
            for thread in self._threads:
                thread.go(order.endpoints)
        elif isinstance(order, Pause | Step | Resume | Stop):
            for thread in self._threads:
                _tell(thread.playback, order)
        elif isinstance(order, Abort | Exit):
            for thread in self._threads:
                thread.give_up()
            self._stage_context.term()
            for thread in self._threads:
                thread.join()
            if isinstance(order, Abort):
                self._tell(Done(self._reports()))
            self._socket.close(_LAST_WORDS_MS)
            self._context.term()
            raise SystemExit(0)

    def _reports(self) -> list[StageReport]:
        return [thread.report for thread in self._threads if thread.report is not None]

    def _tell(self, message: FromWorker) -> None:
        for thread in self._threads:
            thread.failure = None
        self._socket.send(msgspec.msgpack.encode(message))


def _tell(playback: Playback, order: Pause | Step | Resume | Stop) -> None:
    if isinstance(order, Pause):
        playback.pause()
    elif isinstance(order, Step):
        playback.step(order.turns)
    elif isinstance(order, Resume):
        playback.resume()
    else:
        playback.stop()


def _never() -> bool:
    return False


def _die_with_supervisor(folder: Path) -> None:
    """Wait for the end of standard input, then leave nothing behind."""
    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Run one group of a run."""
    folder, group = Path(arguments[0]), arguments[1]
    threading.Thread(target=_die_with_supervisor, args=(folder,), daemon=True).start()
    try:
        worker = _Worker(folder, group)
    except Exception as error:
        _tell_failure(folder, group, error)
        return
    worker.run()


def _tell_failure(folder: Path, group: str, error: Exception) -> None:
    """Report a failure from before the worker stood; wait until it is heard."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.IDENTITY, group.encode())
        socket.linger = 2000
        socket.connect(f"ipc://{folder}/control")
        socket.send(msgspec.msgpack.encode(Failed(group, failure_of(error))))
        socket.poll(2000)


if __name__ == "__main__":
    main(sys.argv[1:])
