"""The agent: what runs the stages of one host for a run that is supervised on another.

It joins the supervisor, forks workers when told to, and passes on what it and they say to each
other. When the supervisor falls silent the workers are killed, and the agent tries to join again:
the run goes on from its last checkpoint when it has.
"""

import os
import socket
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import msgspec
import setproctitle
import zmq

from pipeline.config import PipelineConfig
from pipeline.control import Plan
from pipeline.errors import ConfigError, PipelineError
from pipeline.fingerprint import fingerprint
from pipeline.graph import Graph
from pipeline.guard import host_guard
from pipeline.hosts import (
    Alas,
    Beat,
    Death,
    FromAgent,
    Joined,
    Kill,
    Launch,
    Over,
    Refused,
    Said,
    Tell,
    ToAgent,
    Welcome,
)
from pipeline.keys import keys_folder
from pipeline.processes import Processes
from pipeline.rundir import RunDirectory
from pipeline.stage_thread import HOME, control_endpoint

__all__ = ["serve_host"]

_POLL_MS = 20
_BEAT_S = 0.25
_JOIN_S = 1.0


def serve_host(
    config: PipelineConfig,
    graph: Graph,
    host: str,
    forever: bool,
    interrupted: Any,
    prints_to: IO[str] | None = None,
) -> None:
    """Run the stages of one host, for one run or for all that come.

    Args:
        config: the file, the same as on the other hosts.
        graph: what was built of it.
        host: whose stages.
        forever: whether to wait for another run after each.
        interrupted: returns whether to end.
        prints_to: where stages print.

    Raises:
        ConfigError: the file names no address to join, or the run is another.
        PipelineError: keys are missing.
    """
    if config.run.address is None:
        raise ConfigError(
            f'{config.path}: run.address: is required where stages have hosts: "ADDRESS:PORT", at'
            " which they reach the one that runs the pipeline"
        )
    while True:
        with RunDirectory() as folder:
            agent = _Agent(config, graph, host, folder, prints_to)
            try:
                ended = agent.serve(interrupted)
            finally:
                agent.close()
        if not forever or not ended:
            return


class _Agent:
    def __init__(
        self,
        config: PipelineConfig,
        graph: Graph,
        host: str,
        folder: Path,
        prints_to: IO[str] | None,
    ) -> None:
        self._config, self._host, self._folder = config, host, folder
        self._prints_to = prints_to
        self._tables = fingerprint(graph)
        self._limit_s = config.supervision.silent_s
        self._endpoint = f"tcp://{config.run.address}"
        self._context = zmq.Context()
        self._guard = host_guard(self._context, keys_folder())
        self._home: zmq.Socket[bytes] | None = None
        self._refusals: zmq.Socket[bytes] | None = None
        self._workers: zmq.Socket[bytes] | None = None
        self._processes: Processes | None = None
        self._generation = -1
        self._joined = False
        self._heard_s = self._beat_s = self._join_s = 0.0
        self._told = set[str]()
        setproctitle.setproctitle(f"pipeline: {graph.name} agent {host}")

    def serve(self, interrupted: Any) -> bool:
        """Serve until the run is over; return False if it was interrupted before."""
        while not interrupted():
            self._keep_in_touch()
            poller = zmq.Poller()
            assert self._home is not None
            poller.register(self._home, zmq.POLLIN)
            if self._workers is not None:
                poller.register(self._workers, zmq.POLLIN)
            if self._processes is not None:
                poller.register(self._processes, zmq.POLLIN)
            poller.poll(_POLL_MS)
            while self._home.poll(0):
                self._heard_s = time.monotonic()
                order = msgspec.msgpack.decode(self._home.recv(), type=ToAgent)
                if isinstance(order, Over):
                    self._say_once(f"{self._config.run.name}: the run is over")
                    return True
                self._obey(order)
            self._pass_on()
        return False

    def close(self) -> None:
        """End the workers and close everything."""
        self._end_workers()
        if self._processes is not None:
            self._processes.close()
        for end in (self._home, self._refusals, self._workers):
            if end is not None:
                end.close(0)
        self._context.term()

    def _keep_in_touch(self) -> None:
        """Connect, join, and see whether the supervisor is still there."""
        now_s = time.monotonic()
        if self._home is None or (self._joined and now_s > self._heard_s + self._limit_s):
            if self._joined:
                self._say_once(f"{self._endpoint} has fallen silent; joining again")
                self._end_workers()
            self._connect()
        if self._refusals is not None and self._refusals.poll(0):
            raise self._guard.refusal("hosts", self._endpoint)
        if not self._joined and now_s >= self._join_s:
            self._join_s = now_s + _JOIN_S
            self._say_once(f"joining {self._endpoint} as '{self._host}'")
            self._tell(Joined(self._host, version("event-pipeline"), self._tables))
        if self._joined and now_s >= self._beat_s:
            self._beat_s = now_s + _BEAT_S
            self._tell(Beat(time.monotonic_ns()))

    def _connect(self) -> None:
        for old in (self._home, self._refusals):
            if old is not None:
                old.close(0)
        self._joined = False
        self._home = self._context.socket(zmq.DEALER)
        self._home.linger = 0
        self._home.setsockopt(zmq.IDENTITY, os.urandom(16).replace(b"\0", b"0", 1))
        self._home.setsockopt(zmq.IMMEDIATE, 1)  # nothing waits for a connection
        self._refusals = self._guard.connect(self._home, "hosts", HOME)
        self._home.connect(self._endpoint)

    def _obey(self, order: ToAgent) -> None:
        if isinstance(order, Welcome):
            self._joined = True
            self._told.clear()
            print(f"joined {self._endpoint} as '{self._host}'", file=sys.stderr, flush=True)
        elif isinstance(order, Refused):
            raise ConfigError(f"{self._endpoint} refuses host '{self._host}': {order.why}")
        elif isinstance(order, Beat):
            self._tell(Beat(time.monotonic_ns(), order.sent_ns))
        elif isinstance(order, Launch):
            try:
                self._launch(order)
            except (PipelineError, OSError) as error:
                self._tell(Alas(order.generation, str(error)))
        elif isinstance(order, Tell):
            if order.generation == self._generation and self._workers is not None:
                self._workers.send_multipart([order.group.encode(), order.body])
        elif isinstance(order, Kill):
            self._end_workers()

    def _launch(self, order: Launch) -> None:
        """Fork the workers, once those before them are gone."""
        self._end_workers()
        if self._workers is not None:
            self._workers.close(0)
        self._generation = order.generation
        self._workers = self._context.socket(zmq.ROUTER)
        self._workers.linger = 0
        self._workers.bind(control_endpoint(self._folder, order.generation))
        checkpoint = None
        if order.checkpoint is not None:
            checkpoint = self._folder / "checkpoint"
            checkpoint.write_bytes(order.checkpoint)
        if self._processes is None or self._processes.over:
            plan = msgspec.msgpack.decode(order.plan, type=Plan)
            # The file lies elsewhere here, and its relative paths with it.
            plan = msgspec.structs.replace(
                plan,
                path=str(self._config.path),
                host=self._host,
                address=_own_address(self._config.run.address or ""),
                offset_ns=order.offset_ns,
            )
            (self._folder / "plan").write_bytes(msgspec.msgpack.encode(plan))
            if self._processes is not None:
                self._processes.close()
            self._processes = Processes(self._folder, self._prints_to)
        self._processes.start(order.generation, checkpoint)

    def _pass_on(self) -> None:
        """Tell the supervisor what workers say, and of those that have ended."""
        if self._processes is None or self._workers is None:
            return
        before = set(self._processes.codes)
        self._processes.read()
        while self._workers.poll(0):
            identity, body = self._workers.recv_multipart()
            self._tell(Said(self._generation, identity.decode(), body))
        for group in self._processes.codes.keys() - before:
            self._tell(Death(self._generation, group, self._processes.codes[group]))
        if self._processes.over:
            self._tell(Alas(self._generation, "the process that starts its stages was killed"))
            self._processes.close()
            self._processes = None

    def _end_workers(self) -> None:
        """Kill what is left of this generation."""
        if self._processes is None:
            return
        until_s = time.monotonic() + 5
        while not self._processes.gone and time.monotonic() < until_s:
            self._processes.kill()
            time.sleep(_POLL_MS / 1000)
            self._processes.read()

    def _tell(self, message: FromAgent) -> None:
        assert self._home is not None
        with suppress(zmq.Again):
            self._home.send(msgspec.msgpack.encode(message), zmq.NOBLOCK)

    def _say_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            print(line, file=sys.stderr, flush=True)


def _own_address(home: str) -> str:
    """Return the address of this host on the way to another, ``ADDRESS:PORT``."""
    name, _, port = home.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((name, int(port)))  # sends nothing
        address: str = probe.getsockname()[0]
        return address
