"""A worker: the process that runs the stages of one group, each in a thread of its own.

It is a fork of the starter (`pipeline.starter`). Its main thread listens to the supervisor; the
stages' threads own their queues. Its standard input is a pipe from the supervisor: when that
closes, the supervisor is gone, and so is the worker.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import setproctitle
import zmq

from pipeline.control import (
    Abort,
    Compiles,
    Done,
    Exit,
    Failed,
    FromWorker,
    Go,
    Pause,
    Ready,
    Resume,
    Step,
    Stop,
    ToWorker,
)
from pipeline.graph import Edge, Graph, Node
from pipeline.inlet import messages_from
from pipeline.loop import drive_source, drive_transform
from pipeline.playback import Playback
from pipeline.queues import Receiver, Sender
from pipeline.report import StageReport, failure_of
from pipeline.stage import Source

__all__ = ["die_with_supervisor", "tell_failure", "work"]

_LOOK_MS = 1000
_LAST_WORDS_MS = 500


class _Bell:
    """Wakes the main thread, which waits for the supervisor, when a stage's thread has news."""

    def __init__(self) -> None:
        self._hear, self._ring = os.pipe()
        os.set_blocking(self._hear, False)

    def ring(self) -> None:
        os.write(self._ring, b"!")

    def fileno(self) -> int:
        return self._hear

    def hush(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._hear, 4096)


class _StageThread(threading.Thread):
    """Opens one stage and its input queues, waits for Go, drives it, closes it."""

    def __init__(
        self,
        node: Node,
        graph: Graph,
        context: "zmq.Context[zmq.Socket[bytes]]",
        folder: Path,
        bell: _Bell,
    ) -> None:
        super().__init__(name=node.name, daemon=True)
        self.node = node
        self.playback = Playback()
        self.ready, self.over = threading.Event(), threading.Event()
        self._bell = bell
        self.endpoints: dict[str, str] = {}
        self.report: StageReport | None = None
        self.failure: Failed | None = None
        self._go = threading.Event()
        self._open_s = 0.0
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
        finally:
            self.over.set()
            self._bell.ring()

    def _run(self) -> None:
        begun = time.monotonic()
        self.node.stage.open()
        self._open_s = time.monotonic() - begun
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
            self._bell.ring()
            self._go.wait()
            if self.playback.stopped and not self._all_endpoints:
                return
            begun_s = time.process_time()
            for edge in self._outgoing:
                endpoint = self._all_endpoints[edge.name]
                senders.append(Sender(self._context, endpoint, edge.name))
            stage = self.node.stage
            if isinstance(stage, Source):
                report = drive_source(stage, senders, self.playback)
            else:
                messages = messages_from(receivers, self._origins)
                report = drive_transform(stage, messages, receivers, senders)
            self.report = msgspec.structs.replace(
                report, open_s=self._open_s, processor_s=time.process_time() - begun_s
            )
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
    def __init__(self, graph: Graph, group: str, folder: Path, run_id: str) -> None:
        nodes = graph.groups[group]
        names = "+".join(node.name for node in nodes)
        setproctitle.setproctitle(f"pipeline: {run_id}/{names}")
        # The stages' context ends on an abort; what is said to the supervisor goes on.
        self._stage_context = zmq.Context()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, group.encode())
        self._socket.connect(f"ipc://{folder}/control")
        self._bell = _Bell()
        self._threads = [
            _StageThread(node, graph, self._stage_context, folder, self._bell) for node in nodes
        ]
        self._compiles = _Compiles()

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        self._until(lambda: all(thread.ready.is_set() for thread in self._threads))
        endpoints = {k: v for thread in self._threads for k, v in thread.endpoints.items()}
        self._tell(Ready(endpoints))
        self._until(lambda: all(thread.over.is_set() for thread in self._threads))
        self._tell(Done(self._reports()))
        self._until(lambda: False)

    def _until(self, reached: Callable[[], bool]) -> None:
        """Serve the supervisor until ``reached``; a stage's failure is told at once."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell, zmq.POLLIN)
        while True:
            # Asked in this order: a thread that has ended has left its failure behind by then.
            over = reached()
            failures = [thread.failure for thread in self._threads if thread.failure is not None]
            if failures:
                self._tell(failures[0])
                reached = _never
            elif over:
                return
            if self._compiles.is_news():
                self._tell(Compiles())
            # Once a second, since Numba rings no bell.
            poller.poll(_LOOK_MS)
            self._bell.hush()
            while self._socket.poll(0):
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


class _Compiles:
    """Whether Numba has begun to compile what it does not have in its cache."""

    def __init__(self) -> None:
        self._told = "numba" not in sys.modules
        if not self._told:
            from numba.core.event import RecordingListener, register

            self._compilations = RecordingListener()  # type: ignore[no-untyped-call]
            register("numba:compile", self._compilations)  # type: ignore[no-untyped-call]

    def is_news(self) -> bool:
        """Tell it once."""
        if self._told or not self._compilations.buffer:
            return False
        self._told = True
        return True


def die_with_supervisor(folder: Path) -> None:
    """From now on wait for the end of standard input, then leave nothing behind."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def work(graph: Graph, group: str, folder: Path, run_id: str) -> None:
    """Run one group of a run; the process is its own.

    Args:
        graph: the run's, no stage of it open.
        group: what to run.
        folder: the run's.
        run_id: shown in the process title.
    """
    die_with_supervisor(folder)
    try:
        worker = _Worker(graph, group, folder, run_id)
    except Exception as error:
        tell_failure(folder, group, error)
        return
    worker.run()


def tell_failure(folder: Path, name: str, error: Exception) -> None:
    """Report a failure from before a worker stood; wait until it is heard.

    Args:
        folder: the run's.
        name: of the group, or "" where it is all of them.
        error: what went wrong.
    """
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.IDENTITY, (name or "starter").encode())
        socket.linger = 2000
        socket.connect(f"ipc://{folder}/control")
        socket.send(msgspec.msgpack.encode(Failed(name, failure_of(error))))
        socket.poll(2000)
