"""What a stage is: a frozen configuration, an explicit state, and a step.

A `Source` plays messages; a `Transform` takes a state and a message, yields messages and returns
the next state; a `Sink` is a transform that yields none. Stages own no sockets, clocks,
threads or logs: the runner does (`pipeline.run.loop`). Heavy imports (torch, numba) and resources
(weights, files) belong in `open`, so that a graph can be checked without them.

The law every stage keeps: how a stream is cut into messages never changes the result.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict

from pipeline.errors import WireError
from pipeline.messages import EndRecording, Message, Reset, Start
from pipeline.ports import Port

__all__ = [
    "Account",
    "AnyStage",
    "ExactSink",
    "Played",
    "PortError",
    "Sink",
    "Source",
    "Stage",
    "StageConfig",
    "Together",
    "Transform",
    "delivery_of",
]


class StageConfig(BaseModel):
    """Base of a stage's options: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


C = TypeVar("C", bound=StageConfig)
S = TypeVar("S")
P = TypeVar("P")


class Account(msgspec.Struct, frozen=True):
    """What a stage did with what it took in; the law is ``taken == used + sum(refused)``."""

    taken: int
    used: int
    made: int
    unit_in: str
    unit_out: str
    refused: dict[str, int] = {}
    due: int | None = None
    """How many units should have come out, computed apart from the counting; None: no rule."""
    notes: dict[str, int] = {}
    """Counts worth telling that are no loss of units, such as saturated pixels."""
    counts: dict[str, int] = {}
    """What `Stage.remarks` is made of."""

    @classmethod
    def one_to_one(cls, count: int, unit_in: str, unit_out: str) -> "Account":
        """Return the account of a stage that makes one unit of each it takes."""
        return cls(count, count, count, unit_in, unit_out, due=count)

    def __add__(self, other: "Account") -> "Account":
        """Add the account of a further recording."""
        return Account(
            taken=self.taken + other.taken,
            used=self.used + other.used,
            made=self.made + other.made,
            unit_in=self.unit_in,
            unit_out=self.unit_out,
            refused=_add(self.refused, other.refused),
            due=None if self.due is None or other.due is None else self.due + other.due,
            notes=_add(self.notes, other.notes),
            counts=_add(self.counts, other.counts),
        )


def _add(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return {key: a.get(key, 0) + b.get(key, 0) for key in (a | b)}


class Stage(ABC, Generic[C]):
    """A stage of the graph, made once from its options and the ports of its inputs."""

    Config: ClassVar[type[StageConfig]]
    takes: ClassVar[tuple[type[Port], ...]] = ()
    """Port types that the stage accepts; empty for a source."""
    writes: ClassVar[tuple[str, ...]] = ()
    """Options that name a file which the stage writes; no other stage may name that file."""
    free: ClassVar[tuple[str, ...]] = ()
    """Options that change when or how something happens and never what comes out, nor what a state
    means. A run that goes on from a checkpoint may have others."""
    many_inputs: ClassVar[bool] = False
    """Whether several stages may feed it."""
    side_outputs: ClassVar[tuple[str, ...]] = ()
    """Names of what it puts out beside its main output, taken with ``from = "NAME.OUTPUT"``. Each
    carries the units that the account refuses by that name, and no others."""
    taken_outputs: frozenset[str] = frozenset()
    """The side outputs that somebody takes; `pipeline.graph` sets it. By the others nothing may be
    put out."""
    watched: bool = False
    """Whether somebody looks at its gauges; what they alone need is counted only then. The runner
    sets it; results never depend on it."""
    resumes: bool = False
    """Whether the run goes on from a checkpoint; then the files that it writes are there already.
    The runner sets it before `port` is asked."""

    sheds: bool = False
    """Whether overload may take something from what comes in, see `pipeline.messages.Shed`; set
    likewise."""
    is_live: bool = False
    """Whether what comes in is of a device, of which a crash may lose something: a Start may have
    ``lost_events`` and ``gap_us``; set likewise."""

    def __init__(self, name: str, config: C, inputs: Sequence[Port] = ()) -> None:
        """Keep the options and the ports; load nothing."""
        self.name = name
        self.config = config
        self.inputs = tuple(inputs)

    @property
    def table(self) -> str:
        """The name of its table: without what tells it from other copies (`pipeline.copies`)."""
        return self.name.partition("@")[0]

    @abstractmethod
    def port(self) -> Port | None:
        """Return what the stage puts out, None for a sink.

        Runs in `pipeline check`: it must be fast and must not import torch or numba.

        Raises:
            PortError: an input or an option does not fit.
        """

    def side_port(self, output: str) -> Port:
        """Return what one of its side outputs puts out; asked for behind `port`."""
        raise NotImplementedError

    def imports(self) -> tuple[str, ...]:
        """Return modules that take long to import and that the stage's kernels need: Numba.

        They are imported once, before the run's processes are forked, which saves each of them the
        time and the memory. A module that starts threads or opens devices must not be among them;
        torch should not, since all others would wait for it.
        """
        return ()

    def open(self) -> None:
        """Acquire resources: weights, kernels, files, devices."""

    def snapshot(self, state: Any) -> Any:
        """Return what a checkpoint keeps of a state; by default the state itself.

        It is encoded at once (`pipeline.checkpoint.snapshot`: named tuples, arrays, numbers,
        texts), so it may share arrays with the state, which is stepped on. What is not data, such
        as tensors or memory of a device, is turned into arrays here.
        """
        return state

    def restore(self, saved: Any) -> Any:
        """Return the state that a `snapshot` was taken of; its arrays are the stage's to write.

        Called behind `open`. Stepped on, it gives to the bit what the state itself would have.
        """
        return saved

    def gauges(self, state: Any) -> dict[str, float]:
        """Return what may be shown of the stage while it works, by name, such as a firing rate.

        Asked twice a second at most, in the stage's own thread, and only while it is `watched`. A
        name like ``firing: conv1`` is the gauge ``firing`` of a part, here a layer.
        """
        return {}

    def waiting(self, state: Any) -> dict[str, int]:
        """Return how many of the units that `account` refuses, by reason, may still be used.

        While the run works it is not told of them, as they are no loss yet.
        """
        return {}

    def remarks(self, account: Account) -> list[str]:
        """Return what a person may want to know at the end, a line each.

        Args:
            account: Of the whole run.
        """
        return []

    def close(self) -> None:
        """Release what `open` acquired; called once, also after a failure."""


class PortError(ValueError):
    """An option of a stage does not fit its input; `pipeline.graph` adds the place.

    Where the problem says ``--for PIPELINE.toml``, it puts the file and what was ``--set``.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


class Played(NamedTuple, Generic[S]):
    """One turn of a source: messages, the state after them, and when they may leave."""

    messages: Sequence[Message]
    state: S
    due_us: int | None = None
    """Event time at which the messages are due when the source is paced."""
    wait_s: float = 0.0
    """How long the source would like to be left alone."""
    remark: str = ""
    """What a person watching should know now, such as that a camera was unplugged."""
    born_ns: int | None = None
    """When the messages' oldest event came in, by the monotonic clock; None: when they leave."""


class Source(Stage[C], Generic[C, S]):
    """A stage that starts a stream."""

    @property
    def speed(self) -> float:
        """How many times faster than recorded to play; 0 is as fast as possible."""
        return 0.0

    def recordings(self) -> Sequence[Path]:
        """Return the files that it will play, each as its Start names it, where they are known.

        Asked for behind `port`, in `pipeline check`.
        """
        return ()

    def length_us(self, recording: Path) -> int | None:
        """Return how long it plays one of its recordings, from the first event to the last, in µs.

        None where that cannot be known without reading much. Asked for in `pipeline check`.
        """
        return None

    def beside(self) -> Callable[[threading.Event], None] | None:
        """Make what is to outlive the workers; return what is to run beside them, if anything is.

        Called once, behind `port`, in the process that all workers are forks of, which opens the
        stage in each of them. What is returned runs in a process of its own, from before the first
        of them until its argument is set, when the run is over. If it dies it is started again.

        Raises:
            PipelineError: that cannot be.
        """
        return None

    def release(self, state: S) -> None:
        """Let go of what was put by for earlier states: none of them will be played again."""

    @abstractmethod
    def initial_state(self) -> S:
        """Return the state before the first message."""

    @abstractmethod
    def play(self, state: S) -> Iterator[Played[S]]:
        """Yield turns from ``state`` on; each recording is wrapped in Start and EndRecording.

        It never blocks: with nothing to say it yields no messages and the time to wait.
        """

    @abstractmethod
    def account(self, state: S) -> Account:
        """Return what was read so far and what became of it."""


class Together(NamedTuple):
    """How data of several streams may be given to a stage as one turn."""

    most: int
    """How many streams."""
    wait_s: float = 0.0
    """For how long a turn of live streams waits for those that have nothing yet."""
    spacing_us: int = 0
    """By how much the ends of a stream's windows lie apart at least: what ends within that time
    goes together."""


class Transform(Stage[C], Generic[C, S]):
    """A stage with inputs. Its state lives from a recording's Start to the next of its stream.

    What it yields leaves by its main output, and data marked with `Message.output` by that side
    output. Control messages are passed on by all of them.
    """

    together: Together | None = None
    """Whether it takes data of several streams at once, see `process_together`; set in `port`."""

    @abstractmethod
    def start(self, header: Start) -> S:
        """Return the initial state for a recording."""

    @abstractmethod
    def process(self, state: S, message: Message) -> Generator[Message, None, S]:
        """Take a data message; yield what follows from it and return the next state."""

    def process_together(self, turn: Sequence[tuple[S, Message]]) -> list[tuple[list[Message], S]]:
        """Take data of several streams, each with its state; return of each what `process` would.

        No stream is in a turn twice. Called only where `together` says so.
        """
        raise NotImplementedError

    def finish(self, state: S) -> Generator[Message, None, S]:
        """Yield what is left at the end of a recording and return the last state."""
        yield from ()
        return state

    def reset(self, state: S) -> S:
        """Return the state with what the stage remembers of the past forgotten."""
        return state

    @abstractmethod
    def account(self, state: S) -> Account:
        """Return what became of the recording so far."""

    def step(self, state: S | None, message: Message) -> Generator[Message, None, S | None]:
        """Take any message, control messages included, which are passed on in their place."""
        header = message.header
        if isinstance(header, Start):
            state = self.start(header)
            yield message
        elif state is None:
            if not message.is_control:
                raise WireError(f"{type(header).__name__} arrived before the start of a recording")
            yield message
        elif isinstance(header, EndRecording):
            state = yield from self.finish(state)
            yield message
        elif isinstance(header, Reset):
            state = self.reset(state)
            yield message
        elif message.is_control:
            yield message
        else:
            state = yield from self.process(state, message)
        return state


class Sink(Transform[C, S], Generic[C, S]):
    """A transform that puts nothing out: it writes, shows or delivers."""

    def port(self) -> None:
        """Return None, or raise `PortError` when what it delivers to cannot be used."""

    def check_recordings(self, recordings: Sequence[Path]) -> None:
        """Look at what lies beside the recordings that it will be told of, in `pipeline check`.

        Raises:
            PortError: that cannot be used.
        """

    exactly_once: ClassVar[bool] = False
    """Whether what it delivered can be cut back to a checkpoint, by `commit` and `rewind`. A sink
    that cannot, such as a terminal, delivers some of it twice after a crash; see `ExactSink`."""
    delivers: ClassVar[str] = "what it has delivered cannot be taken back"
    """Why that is so, for `pipeline stages`."""

    def results(self) -> Sequence[Path]:
        """Return the files that it leaves, which are to stay as they are once the run is over.

        By default those that its options name (`writes`).
        """
        named = (getattr(self.config, key) for key in self.writes)
        return [path for path in named if path is not None]

    def commit(self) -> Any:
        """Make durable what was delivered so far, and return where it ends.

        Called behind `open` before anything is delivered, and whenever a checkpoint passes. It
        returns data as `snapshot` does, None where there is nothing to cut back.

        Raises:
            StageError: it cannot be made durable, as on a full disk.
        """
        return None

    def rewind(self, position: Any) -> None:
        """Go on behind what a `commit` returned; whatever was delivered later is taken back.

        Called behind `open`, in a new process, instead of opening anything afresh.

        Raises:
            StageError: what was committed is not there any more, or was changed since.
        """

    @abstractmethod
    def write(self, state: S, message: Message) -> S:
        """Deliver a data message and return the next state."""

    def end(self, state: S) -> S:
        """Deliver what is left at the end of a recording."""
        return state

    def process(self, state: S, message: Message) -> Generator[Message, None, S]:
        """Deliver a data message; see `write`."""
        yield from ()
        return self.write(state, message)

    def finish(self, state: S) -> Generator[Message, None, S]:
        """Deliver what is left; see `end`."""
        yield from ()
        return self.end(state)


class ExactSink(Sink[C, S], Generic[C, S, P]):
    """A sink that delivers exactly once: what it delivered can be cut back to a checkpoint.

    ``P`` is what `commit` returns: None, numbers, texts, arrays, tuples of these, or a named tuple.
    """

    exactly_once = True
    delivers = "its files are cut back to the checkpoint"

    @abstractmethod
    def commit(self) -> P:
        """Make durable what was delivered so far, and return where it ends."""

    @abstractmethod
    def rewind(self, position: P) -> None:
        """Go on behind what a `commit` returned; whatever was delivered later is taken back."""


def delivery_of(stage: type[Stage[Any]]) -> str | None:
    """Return what a sink's deliveries are worth when a run goes on from a checkpoint, and why.

    None of a stage that is no sink.
    """
    if not issubclass(stage, Sink):
        return None
    how_often = "exactly once" if stage.exactly_once else "at least once"
    return f"{how_often}: {stage.delivers}"


AnyStage = Source[Any, Any] | Transform[Any, Any]
