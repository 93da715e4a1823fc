"""Spiking inference in the stream: one time step for each window, membranes living on.

The membranes start at rest with a recording and go on from window to window and message to message
until the next recording or an explicit reset. However the windows are cut into messages, each is
one step of batch 1, so the outputs are the same to the bit, and the same as the network's own
``forward`` over the whole recording.

Several streams may feed one network; each has membranes of its own. With ``batch`` windows of
different streams are stepped together. The event-driven engine gives the same to the bit; torch
sums in an order that depends on how many there are.

A window that overload has dropped is none without events: nothing is known of its time, so the
network is not stepped, and its membranes stay as they were. They leak too little by that much.
Windows that were merged are one step. Both are told in the results.
"""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import models
from models.choices import offer
from models.engine.chain import supports, why_not
from models.scores import scores_of
from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.messages import Frames, Message, Outputs, Start, data
from pipeline.ports import FramesPort, OutputsPort
from pipeline.stage import Account, PortError, StageConfig, Together, Transform
from stages.inference.fit import check_expected, check_kind, check_shape, check_words, resized
from stages.inference.onnx_stepper import OnnxStepper, onnx_of
from stages.inference.stepper import EventStepper, Stepper, TorchStepper, gpu_driver

__all__ = ["Snn", "SnnConfig", "SnnState"]


class SnnConfig(StageConfig):
    """Options of `snn`."""

    weights: FilePath
    """A safetensors file with a model card."""
    expects: dict[str, Any] = Field({})
    """What the weights must be: ``network`` is its name, other keys are its options, such as
    ``classes``; nothing is asked for when left out. `pipeline models new --for` makes untrained
    weights of it."""
    engine: Literal["auto", "event", "torch", "onnx"] = "auto"
    """``event``: kernels that work only where there are events or spikes, on the processor;
    ``torch``: the network as it was trained; ``onnx``: the file that `pipeline models export --to
    onnx` makes beside the weights, on the processor. ``auto`` takes ``event`` where the network has
    it and nothing asks for torch: a device, or a GPU."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    """Where torch computes; ``auto`` takes a GPU when there is one."""
    threads: int = Field(1, ge=1)
    """Processor cores for one step. More are faster only where they have nothing else to do."""
    batch: int = Field(1, ge=1, le=4096)
    """Windows of so many streams, one of each at most, are stepped together where there are several
    (``from``). With torch the last digits of the outputs then depend on who was there; with the
    event-driven engine they do not, and ``threads`` of them are stepped at a time."""
    batch_wait_ms: float = Field(0.0, ge=0, le=10_000)
    """How long live streams that have a window wait for the others, but not until one of them has
    another; recordings wait for nobody."""
    statistics: bool = False
    """Whether synaptic operations and firing rates are counted, and told at the end of the run with
    an estimate of their energy. The event-driven engine counts them."""
    mismatch: Literal["refuse", "allow"] = "refuse"
    """Whether bins of another length, step or kind than the model was trained on, and words of
    another vocabulary, are refused."""


def _outputs(message: Message, array: NDArray[np.float32]) -> Message:
    header = message.header
    assert isinstance(header, Frames)
    return data(
        Outputs,
        array,
        stream=header.stream,
        epoch=header.epoch,
        t_first_us=header.t_first_us,
        t_last_us=header.t_last_us,
        windows=header.windows,
    )


class SnnState(NamedTuple):
    """The network's state and the number of windows stepped through."""

    stream: str
    epoch: int
    membranes: Any
    steps: int
    counts: NDArray[np.int64] | None
    """With ``statistics``: what the network did in this recording; added to in place."""


class Snn(Transform[SnnConfig, SnnState]):
    """Step a spiking network through the windows of a stream, its membranes living on."""

    Config = SnnConfig
    takes = (FramesPort,)
    many_inputs = True
    _counter: EventStepper | None = None

    def port(self) -> OutputsPort:
        """Hold the frames against what the model was trained for."""
        self._check_expected_name()
        card = self._card()
        who = f"{self._name} ({card.network})"
        check_expected(self.config.expects, card, who)
        ports = [port for port in self.inputs if isinstance(port, FramesPort)]
        for each in ports:
            check_shape(each, card, who)
            check_words(each, card, who, allow=self.config.mismatch == "allow")
            if self.config.mismatch == "refuse":
                check_kind(each, card, who)
        if self.config.engine == "event" or self.config.statistics:
            self._check_engine(card)
        if self.config.engine == "onnx":
            self._check_onnx()
        frames = ports[0]
        for each in ports[1:]:
            if (each.window_us, each.step_us) != (frames.window_us, frames.step_us):
                raise PortError(
                    "from", f"its inputs must have windows alike, got {frames}, and {each}"
                )
        if self.config.batch > 1:
            self.together = Together(
                self.config.batch, self.config.batch_wait_ms / 1000, frames.step_us or 0
            )
        readout = card.network not in models.SCORES_ALREADY
        return OutputsPort(
            features=None if readout else len(card.classes),
            classes=card.classes,
            window_us=frames.window_us,
            step_us=frames.step_us,
            trained_steps=card.steps,
            steps=frames.steps,
            head=self.config.weights if readout else None,
            scores=scores_of(card),
        )

    def imports(self) -> tuple[str, ...]:
        """Return the event-driven engine, where it steps the network."""
        return ("models.engine.engine",) if self._event_driven() else ()

    def open(self) -> None:
        """Load the weights, and whatever makes the first window wait for nothing."""
        config = self.config
        self._stepper: Stepper
        if self._event_driven():
            stepper = EventStepper(config.weights, config.threads, config.batch > 1)
            self._stepper, self._counter = stepper, stepper if config.statistics else None
        elif config.engine == "onnx":
            self._stepper = OnnxStepper(config.weights, config.threads)
        else:
            self._stepper = TorchStepper(config.weights, config.device, config.threads)

    def start(self, header: Start) -> SnnState:
        """Return the state with every membrane at rest."""
        counts = None if self._counter is None else self._counter.no_counts()
        return SnnState(header.stream, header.epoch, self._stepper.rest(), 0, counts)

    def reset(self, state: SnnState) -> SnnState:
        """Put every membrane to rest; the count of steps goes on."""
        return state._replace(membranes=self._stepper.rest())

    def snapshot(self, state: SnnState) -> SnnState:
        """Return the state with the membranes as arrays, the same from either engine."""
        return state._replace(membranes=tuple(self._stepper.arrays(state.membranes)))

    def restore(self, saved: SnnState) -> SnnState:
        """Return the state with the membranes of the engine that steps them here."""
        return saved._replace(membranes=self._stepper.restore(saved.membranes))

    def process(self, state: SnnState, message: Message) -> Generator[Message, None, SnnState]:
        """Step through the windows of a message; yield the output of each step."""
        frames = self._checked(message)
        if not len(frames):
            return state
        array, membranes = self._stepper.step(frames, state.membranes, state.counts, self.watched)
        yield _outputs(message, array)
        return state._replace(membranes=membranes, steps=state.steps + len(frames))

    def process_together(
        self, turn: Sequence[tuple[SnnState, Message]]
    ) -> list[tuple[list[Message], SnnState]]:
        """Step through a window of each of several streams as one batch."""
        frames = np.concatenate([self._checked(message) for _, message in turn])
        arrays, memories = self._stepper.step_together(
            frames,
            [state.membranes for state, _ in turn],
            [state.counts for state, _ in turn],
        )
        return [
            ([_outputs(message, array[None])], state._replace(membranes=own, steps=state.steps + 1))
            for (state, message), array, own in zip(turn, arrays, memories, strict=True)
        ]

    def _checked(self, message: Message) -> NDArray[Any]:
        """Return the frames of a message that have the shape of the network's input."""
        frames, wanted = message.array, self._stepper.input_shape
        if frames.shape[1:] != wanted:
            given = self.inputs[0]
            assert isinstance(given, FramesPort)
            raise StageError(
                f"{self._name} ({self._card().network}) takes frames of {wanted}, got"
                f" {frames.shape[1:]}; {resized(given.made_of, wanted[1:])}"
            )
        return frames

    def account(self, state: SnnState) -> Account:
        """Return windows stepped through, and what the network did in them."""
        account = Account.one_to_one(state.steps, "windows", "outputs")
        if self._counter is None or state.counts is None:
            return account
        return msgspec.structs.replace(account, counts=self._counter.counts_by_name(state.counts))

    def gauges(self, state: SnnState) -> dict[str, float]:
        """Return each layer's mean membrane, and the share of its neurons that fire in a step.

        The event-driven engine counts who fires, while it is watched.
        """
        return self._stepper.gauges(state.membranes)

    def remarks(self, account: Account) -> list[str]:
        """Return whether the weights mean anything, and what the network did where counted."""
        if not account.taken:
            return []
        said = []
        if self._card().accuracy.startswith("none: untrained"):
            said.append(f"{self._name} is untrained: its answers mean nothing")
        if self._counter is None:
            return said
        return said + self._counter.remarks(account.counts, account.taken)

    def _event_driven(self) -> bool:
        """Tell whether the event-driven engine steps the network."""
        config = self.config
        if config.engine == "auto" and not config.statistics:
            plain = config.device == "auto" and not gpu_driver()
            return plain and supports(self._card())
        return config.engine not in ("torch", "onnx")

    def _check_engine(self, card: models.ModelCard) -> None:
        """Refuse what the engine cannot do."""
        config, reason = self.config, why_not(card)
        if config.statistics and config.engine in ("torch", "onnx"):
            raise PortError(
                "statistics",
                f'the event-driven engine counts them, and engine = "{config.engine}"; leave one of'
                " them out",
            )
        if reason is not None and config.statistics:
            raise PortError("statistics", f"{reason}; leave statistics out")
        if reason is not None:
            raise PortError("engine", f'{reason}; leave engine out, or set engine = "torch"')
        if config.device not in ("auto", "cpu"):
            asked = "statistics" if config.statistics else "engine"
            raise PortError(
                "device",
                f'the event-driven engine runs on the processor, not on "{config.device}";'
                f" leave device or {asked} out",
            )

    def _check_onnx(self) -> None:
        """Refuse what ONNX Runtime cannot do, and a file that is not there."""
        config = self.config
        if config.device not in ("auto", "cpu"):
            raise PortError(
                "device",
                f'engine = "onnx" runs on the processor, not on "{config.device}"; leave device or'
                " engine out",
            )
        if not onnx_of(config.weights).exists():
            raise PortError(
                "engine",
                f"{onnx_of(config.weights)} is not there; make it: pipeline models export"
                f" {config.weights} --to onnx",
            )

    @property
    def _name(self) -> str:
        return Path(self.config.weights).name

    def _check_expected_name(self) -> None:
        name = self.config.expects.get("network")
        if name is not None and name not in models.NETWORKS:
            raise PortError(
                "expects.network", f"unknown network {name!r}; {offer(str(name), models.NETWORKS)}"
            )

    def _card(self) -> models.ModelCard:
        path = self.config.weights
        try:
            card = models.read_card(path)
        except models.ModelError as error:
            raise PortError("weights", str(error)) from None
        if card.network not in models.NETWORKS:
            raise PortError(
                "weights",
                f"{path}: its card names an unknown network {card.network!r};"
                f" {offer(card.network, models.NETWORKS)}; it may be of a newer version",
            )
        classes = card.options.get("classes", len(card.classes))
        if classes != len(card.classes):
            raise PortError(
                "weights",
                f"{path}: its card names {len(card.classes)} classes, its {card.network} has"
                f" {classes}; train or import it again with a name for each class",
            )
        return card
