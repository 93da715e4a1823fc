"""The agent: what runs the stages of one host for a run that is supervised on another.

It joins the supervisor, forks workers when told to, and passes on what it and they say to each
other. When the supervisor falls silent the workers are killed, and the agent tries to join again:
the run goes on from its last checkpoint when it has.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, TypeAlias

import msgspec
import setproctitle
import zmq

from pipeline.checkpoint.fingerprint import fingerprint
from pipeline.config import HOME, PipelineConfig
from pipeline.errors import ConfigError, PipelineError, StageError
from pipeline.graph import Graph
from pipeline.hosts.conversation import UNNUMBERED, Conversation
from pipeline.hosts.messages import (
    BEAT_S,
    LONGEST_BYTES,
    Alas,
    Beat,
    Death,
    Forgotten,
    FromAgent,
    Joined,
    Kill,
    Launch,
    Left,
    Over,
    Refused,
    Said,
    Tell,
    ToAgent,
    Welcome,
)
from pipeline.queue.guard import host_guard
from pipeline.queue.keys import keys_folder
from pipeline.queue.link import beat
from pipeline.run.control import Failed, FromWorker, Plan
from pipeline.run.folder import RunDirectory
from pipeline.run.processes import Processes
from pipeline.run.stage_thread import control_endpoint

__all__ = ["Load", "serve_host"]

_POLL_MS = 20
_JOIN_S = 1.0
_WONDER_S = 5.0
"""Without an answer for so long, whoever looks is told what may be wrong."""
_LAST_WORDS_MS = 500
_END_S = 5.0

Load: TypeAlias = Callable[[], tuple[PipelineConfig, Graph]]
"""Reads the pipeline file."""


def serve_host(
    load: Load,
    host: str,
    forever: bool,
    interrupted: Callable[[], bool],
    prints_to: IO[str] | None = None,
) -> None:
    """Run the stages of one host, for one run or for all that come.

    Args:
        load: reads the file, which is the same as on the other hosts; anew for each run.
        host: whose stages.
        forever: whether to wait for another run after each, and after one that failed or did not
            let this host in.
        interrupted: returns whether to end.
        prints_to: where stages print.

    Raises:
        ConfigError: the file is wrong, or the run is another.
        StageError: the run has failed.
        PipelineError: keys are missing, or not let in.
    """
    told = ""
    while not interrupted():
        try:
            _serve_one(load, host, interrupted, prints_to)
            told = ""
        except PipelineError as error:
            if not forever:
                raise
            if str(error) != told:
                told = str(error)
                print(f"{error}; trying again", file=sys.stderr, flush=True)
            _wait(interrupted)
        if not forever:
            return


def _serve_one(
    load: Load, host: str, interrupted: Callable[[], bool], prints_to: IO[str] | None
) -> None:
    config, graph = load()
    if host not in graph.hosts:
        raise ConfigError(
            f"{config.path}: no stage is on host '{host}'; there are"
            f" {', '.join(graph.hosts) or 'no other hosts'}"
        )
    with RunDirectory() as folder:
        agent = _Agent(config, graph, host, folder, prints_to)
        try:
            agent.serve(interrupted)
        except PipelineError as error:
            agent.close(str(error))
            raise
        finally:
            agent.close("it was ended there")


def _wait(interrupted: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _JOIN_S
    while time.monotonic() < until_s and not interrupted():
        time.sleep(_POLL_MS / 1000)


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
        self._groups: tuple[str, ...] = graph.hosts[host]
        self._prints_to = prints_to
        self._tables = fingerprint(graph)
        self._limit_s = config.supervision.silent_s
        self._endpoint = f"tcp://{config.run.address}"
        self._context = zmq.Context()
        try:
            self._guard = host_guard(self._context, keys_folder())
        except BaseException:
            self._context.term()
            raise
        self._home: zmq.Socket[bytes] | None = None
        self._refusals: zmq.Socket[bytes] | None = None
        self._workers: zmq.Socket[bytes] | None = None
        self._conversation: Conversation | None = None
        """None before the host has joined."""
        self._processes: Processes | None = None
        self._plan: Plan | None = None
        """By which the processes were started."""
        self._generation = -1
        self._buried = set[str]()
        """Groups of whose end the supervisor was told."""
        self._heard_s = self._beat_s = self._join_s = 0.0
        self._begun_s = time.monotonic()
        self._told = set[str]()
        setproctitle.setproctitle(f"pipeline: {graph.name} agent {host}")

    def serve(self, interrupted: Callable[[], bool]) -> None:
        """Serve until the run is over, or this is interrupted."""
        while not interrupted():
            home = self._keep_in_touch()
            poller = zmq.Poller()
            poller.register(home, zmq.POLLIN)
            if self._workers is not None:
                poller.register(self._workers, zmq.POLLIN)
            if self._processes is not None:
                poller.register(self._processes, zmq.POLLIN)
            poller.poll(_POLL_MS)
            while home is self._home and home.poll(0):
                frames = home.recv_multipart()
                if len(frames) == 2 and self._hear(*frames):
                    return
            self._pass_on()

    def close(self, why: str) -> None:
        """End the workers and close everything; tell the supervisor why, if it does not know."""
        self._end_workers()
        if self._processes is not None:
            self._processes.close()
            self._processes = None
        self._say(Left(why))
        if self._home is not None:
            self._home.close(_LAST_WORDS_MS)
        for end in (self._refusals, self._workers):
            if end is not None:
                end.close(0)
        self._home = self._refusals = self._workers = self._conversation = None
        self._context.term()

    def _keep_in_touch(self) -> "zmq.Socket[bytes]":
        """Connect, join, and see whether the supervisor is still there."""
        now_s = time.monotonic()
        joined = self._conversation is not None
        if self._home is None or (joined and now_s > self._heard_s + self._limit_s):
            if joined:
                self._say_once(f"{self._endpoint} has fallen silent; joining again")
            self._connect()
        home = self._home
        assert home is not None
        if self._refusals is not None and self._refusals.poll(0):
            raise self._guard.refusal("hosts", self._endpoint)
        if self._conversation is None:
            if now_s >= self._join_s:
                self._join_s = now_s + _JOIN_S
                self._say_once(f"joining {self._endpoint} as '{self._host}'")
                self._send_now(Joined(self._host, version("event-pipeline"), self._tables))
            if now_s > max(self._heard_s, self._begun_s) + _WONDER_S:
                self._say_once(
                    f"no answer from {self._endpoint}: the run is not started there yet, or"
                    f" run.address is another, or its key is not the one known here as '{HOME}';"
                    " waiting"
                )
        elif now_s >= self._beat_s:
            self._beat_s = now_s + BEAT_S
            self._send_now(Beat(time.monotonic_ns(), self._conversation.have))
        return home

    def _connect(self) -> None:
        """Begin anew, without workers of a run that has gone on without them."""
        self._end_workers()
        for old in (self._home, self._refusals):
            if old is not None:
                old.close(0)
        self._conversation, self._generation = None, -1
        self._join_s, self._begun_s = 0.0, time.monotonic()
        self._home = self._context.socket(zmq.DEALER)
        self._home.linger = 0
        self._home.setsockopt(zmq.IDENTITY, os.urandom(16).replace(b"\0", b"0", 1))
        self._home.setsockopt(zmq.IMMEDIATE, 1)  # nothing waits for a connection
        self._home.setsockopt(zmq.MAXMSGSIZE, 2 * LONGEST_BYTES)
        beat(self._home)
        self._refusals = self._guard.connect(self._home, "hosts", HOME)
        try:
            self._home.connect(self._endpoint)
        except zmq.ZMQError as error:
            raise ConfigError(
                f"run.address: {self._config.run.address}: cannot be joined: {error.strerror};"
                " name the address of the host that runs the pipeline, and a port below 65536"
            ) from None

    def _hear(self, number: bytes, body: bytes) -> bool:
        """Do what the supervisor says; return whether the run is over."""
        self._heard_s = time.monotonic()
        try:
            order = msgspec.msgpack.decode(body, type=ToAgent)
        except msgspec.MsgspecError as error:
            raise ConfigError(
                f"{self._endpoint} does not speak as version {version('event-pipeline')} does"
                f" ({error}); run the same version there"
            ) from None
        if isinstance(order, Welcome | Refused | Forgotten | Beat):
            self._note(order)
        elif self._conversation is not None and self._conversation.is_next(number):
            if isinstance(order, Over):
                self._send_now(Beat(time.monotonic_ns(), self._conversation.have))
                self._conversation = None
                if order.failure:
                    raise StageError(f"the run has failed: {order.failure}")
                self._say_once(f"{self._config.run.name}: the run is over")
                return True
            self._obey(order)
        return False

    def _note(self, word: Welcome | Refused | Forgotten | Beat) -> None:
        """Take in what concerns the conversation itself."""
        if isinstance(word, Welcome):
            if self._conversation is None:
                self._conversation = Conversation(self._send_frames)
                self._told.clear()
                print(f"joined {self._endpoint} as '{self._host}'", file=sys.stderr, flush=True)
        elif isinstance(word, Refused):
            if not word.ask_again:
                raise ConfigError(f"{self._endpoint} refuses host '{self._host}': {word.why}")
            self._say_once(
                f"{self._endpoint} does not need host '{self._host}': {word.why}; waiting, to take"
                " its place should it fall silent"
            )
        elif self._conversation is None:
            pass
        elif isinstance(word, Forgotten):
            self._say_once(f"{self._endpoint} has given this host up; joining again")
            self._connect()
        else:
            self._conversation.heard(word.have)
            if not word.echo_ns:
                have = self._conversation.have
                self._send_now(Beat(time.monotonic_ns(), have, echo_ns=word.sent_ns))

    def _obey(self, order: Launch | Tell | Kill) -> None:
        if isinstance(order, Launch):
            try:
                self._launch(order)
            except (PipelineError, OSError) as error:
                self._say(Alas(order.generation, str(error)))
        elif isinstance(order, Kill):
            self._end_workers()
        elif order.generation == self._generation and self._workers is not None:
            self._workers.send_multipart([order.group.encode(), order.body])

    def _launch(self, order: Launch) -> None:
        """Fork the workers, once those before them are gone."""
        self._end_workers()
        if self._workers is not None:
            self._workers.close(0)
        self._generation, self._buried = order.generation, set()
        self._groups = order.groups
        self._workers = self._context.socket(zmq.ROUTER)
        self._workers.linger = 0
        self._workers.bind(control_endpoint(self._folder, order.generation))
        checkpoint = None
        if order.checkpoint is not None:
            checkpoint = self._folder / "checkpoint"
            checkpoint.write_bytes(order.checkpoint)
        # The file lies elsewhere here, and its relative paths with it.
        plan = msgspec.structs.replace(
            msgspec.msgpack.decode(order.plan, type=Plan),
            path=str(self._config.path),
            host=self._host,
            address=_own_address(self._config.run.address or ""),
            offset_ns=order.offset_ns,
        )
        if self._processes is None or self._processes.over or not _is_same(self._plan, plan):
            if self._processes is not None:
                self._processes.close()
            (self._folder / "plan").write_bytes(msgspec.msgpack.encode(plan))
            self._processes, self._plan = Processes(self._folder, self._prints_to), plan
        self._processes.start(order.generation, checkpoint)

    def _pass_on(self) -> None:
        """Tell the supervisor what workers say, and of those that have ended."""
        if self._processes is None or self._workers is None:
            return
        self._processes.read()
        while self._workers.poll(0):
            identity, body = self._workers.recv_multipart()
            group = identity.decode()
            if group in self._groups and len(body) <= LONGEST_BYTES:
                self._say(Said(self._generation, group, body))
            else:
                self._say(Alas(self._generation, _unsaid(group, body)))
        for group in self._processes.codes.keys() - self._buried:
            self._buried.add(group)
            self._say(Death(self._generation, group, self._processes.codes[group]))
        if self._processes.over:
            self._say(Alas(self._generation, "the process that starts its stages was killed"))
            self._processes.close()
            self._processes = None

    def _end_workers(self) -> None:
        """Kill what is left of this generation."""
        if self._processes is None:
            return
        until_s = time.monotonic() + _END_S
        self._processes.read()
        while not self._processes.gone and time.monotonic() < until_s:
            self._processes.kill()
            time.sleep(_POLL_MS / 1000)
            self._processes.read()

    def _say(self, message: FromAgent) -> None:
        """Say what must arrive; what is said of a run that was left is of no use."""
        if self._conversation is not None:
            self._conversation.say(msgspec.msgpack.encode(message))

    def _send_now(self, message: FromAgent) -> None:
        self._send_frames((UNNUMBERED, msgspec.msgpack.encode(message)))

    def _send_frames(self, frames: Sequence[bytes]) -> None:
        if self._home is not None:
            with suppress(zmq.Again):
                self._home.send_multipart(frames, zmq.NOBLOCK)

    def _say_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            print(line, file=sys.stderr, flush=True)


def _is_same(old: Plan | None, new: Plan) -> bool:
    """Tell whether processes that were started by one plan will do for another."""
    if old is None:
        return False
    # They go on by a checkpoint where there is one, whatever the plan says.
    return msgspec.structs.replace(old, resumes=False, offset_ns=0) == msgspec.structs.replace(
        new, resumes=False, offset_ns=0
    )


def _unsaid(group: str, body: bytes) -> str:
    """Return what to say instead of something that no worker may say, or is too long."""
    if len(body) > LONGEST_BYTES:
        return (
            f"stages of '{group}' keep {len(body)} bytes in a checkpoint, which cannot be sent;"
            f" allowed are {LONGEST_BYTES}. Let them run on the host of the run"
        )
    # The starter has failed before there was a worker.
    with suppress(msgspec.MsgspecError):
        failed: FromWorker = msgspec.msgpack.decode(body, type=FromWorker)
        if isinstance(failed, Failed):
            return failed.failure.text
    return f"'{group}' speaks, which is none of its stages"


def _own_address(home: str) -> str:
    """Return the address of this host on the way to another, ``ADDRESS:PORT``."""
    name, _, port = home.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((name, int(port)))  # sends nothing
        address: str = probe.getsockname()[0]
        return address
