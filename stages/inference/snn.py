"""Spiking inference in the stream: one time step for each window, membranes living on.

The membranes start at rest with a recording and go on from window to window and message to message
until the next recording or an explicit reset. However the windows are cut into messages, each is
one step of batch 1, so the outputs are the same to the bit, and the same as the network's own
``forward`` over the whole recording.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

import models
from models.choices import offer
from models.scores import scores_of
from pipeline.config import FilePath
from pipeline.errors import ConfigError, DeviceError, StageError
from pipeline.messages import Frames, Message, Outputs, Start, data
from pipeline.ports import FramesPort, OutputsPort
from pipeline.stage import Account, PortError, StageConfig, Transform
from stages.inference.fit import check_kind, check_shape, resized

__all__ = ["Snn", "SnnConfig", "SnnState"]


class SnnConfig(StageConfig):
    """Options of `snn`."""

    weights: FilePath
    """A safetensors file with a model card."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    """Where to compute; ``auto`` takes a GPU when there is one."""
    threads: int = Field(1, ge=1)
    """Processor cores for one step, when it runs on the processor."""
    mismatch: Literal["refuse", "allow"] = "refuse"
    """Whether bins of another length, step or kind than the model was trained on are refused."""


class SnnState(NamedTuple):
    """The network's state and the number of windows stepped through."""

    stream: str
    epoch: int
    membranes: Any
    steps: int


class Snn(Transform[SnnConfig, SnnState]):
    """Step a spiking network through the windows of a stream, its membranes living on."""

    Config = SnnConfig
    takes = (FramesPort,)

    def port(self) -> OutputsPort:
        """Hold the frames against what the model was trained for."""
        (frames,) = self.inputs
        assert isinstance(frames, FramesPort)
        card = self._card()
        who = f"{self._name} ({card.network})"
        check_shape(frames, card, who)
        if self.config.mismatch == "refuse":
            check_kind(frames, card, who)
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

    def open(self) -> None:
        """Load the weights and run one step, so that the first window waits for nothing."""
        import torch

        torch.set_num_threads(self.config.threads)
        self._torch = torch
        try:
            self._network = models.load(self.config.weights, device=self._device())
        except models.ModelError as error:
            raise ConfigError(str(error)) from None
        frame = torch.zeros((1, *self._network.input_shape))
        with torch.inference_mode():
            self._network.step(frame, self._network.initial_state(1))

    def start(self, header: Start) -> SnnState:
        """Return the state with every membrane at rest."""
        return SnnState(header.stream, header.epoch, self._network.initial_state(1), 0)

    def reset(self, state: SnnState) -> SnnState:
        """Put every membrane to rest; the count of steps goes on."""
        return state._replace(membranes=self._network.initial_state(1))

    def process(self, state: SnnState, message: Message) -> Generator[Message, None, SnnState]:
        """Step through the windows of a message; yield the output of each step."""
        header, frames = message.header, message.array
        assert isinstance(header, Frames)
        torch, network, membranes = self._torch, self._network, state.membranes
        if frames.shape[1:] != network.input_shape:
            (given,) = self.inputs
            assert isinstance(given, FramesPort)
            raise StageError(
                f"{self._name} ({network.name}) takes frames of {network.input_shape}, got"
                f" {frames.shape[1:]}; {resized(given.made_of, network.input_shape[1:])}"
            )
        if not len(frames):
            return state
        outputs = []
        with torch.inference_mode():
            inputs = torch.from_numpy(frames.astype(np.float32)).to(network.device)
            for k in range(len(frames)):
                output, membranes = network.step(inputs[k : k + 1], membranes)
                outputs.append(output)
            array = torch.cat(outputs).cpu().numpy()
        yield data(
            Outputs,
            array,
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=header.t_first_us,
            t_last_us=header.t_last_us,
            windows=header.windows,
        )
        return state._replace(membranes=membranes, steps=state.steps + len(frames))

    def account(self, state: SnnState) -> Account:
        """Return windows stepped through."""
        return Account.one_to_one(state.steps, "windows", "outputs")

    @property
    def _name(self) -> str:
        return Path(self.config.weights).name

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

    def _device(self) -> str:
        """Return the device to compute on.

        Raises:
            DeviceError: the one asked for is not there.
        """
        torch, wanted = self._torch, self.config.device
        there = ["cpu", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
        there += ["mps"] if torch.backends.mps.is_available() else []
        if wanted == "auto":
            return there[1] if len(there) > 1 else "cpu"
        if wanted not in there and not (wanted == "cuda" and "cuda:0" in there):
            raise DeviceError(
                f'device = "{wanted}" is not there; this machine has {", ".join(there)};'
                " choose one, or leave device out"
            )
        return wanted
