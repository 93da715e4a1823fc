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
from models.scores import scores_of
from pipeline.config import FilePath
from pipeline.errors import ConfigError, DeviceError, StageError
from pipeline.messages import Frames, Message, Outputs, Start, data
from pipeline.ports import EVENT_FRAMES, FramesPort, OutputsPort
from pipeline.stage import Account, PortError, StageConfig, Transform

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
        self._check_shape(frames, card)
        if self.config.mismatch == "refuse":
            self._check_kind(frames, card)
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
            raise StageError(
                f"{self._name} takes frames of {network.input_shape}, got {frames.shape[1:]}"
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

    def _check_shape(self, frames: FramesPort, card: models.ModelCard) -> None:
        """Refuse frames of another shape; what is not known yet is checked in the run."""
        height, width = card.input_size
        takes = (card.options.get("input_channels", frames.channels), height, width)
        got = (frames.channels, frames.height, frames.width)
        if all(side in (None, wanted) for side, wanted in zip(got, takes, strict=True)):
            return
        remedy = f"bin to size = [{height}, {width}]"
        if card.frame not in EVENT_FRAMES:
            remedy = f"give it {takes[0]} channels and size = [{height}, {width}]"
        elif frames.frame != card.frame:
            remedy += f' with frame = "{card.frame}"'
        raise PortError(
            "weights",
            f"{self._name} takes frames of {takes}, its input gives {got}; {remedy}",
        )

    def _check_kind(self, frames: FramesPort, card: models.ModelCard) -> None:
        """Refuse frames that hold something else, or are of another time, than in training."""
        anyway = 'mismatch = "allow" to run it all the same'
        if frames.frame != card.frame:
            raise PortError(
                "weights",
                f"{self._name} was trained on {card.frame}, its input gives {frames.frame}; set"
                f' frame = "{card.frame}", or {anyway}',
            )
        if card.window_us is None:
            return
        if frames.window_us is None:
            given, remedy = "frames that are not evenly apart", "make them so"
            if frames.frame in EVENT_FRAMES:
                given = "bins by the count of events"
                remedy = f"bin with time_bin and window_us = {card.window_us}"
            raise PortError(
                "weights",
                f"{self._name} was trained on bins of {card.window_us} µs, its input gives {given};"
                f" {remedy}, or {anyway}",
            )
        if frames.window_us != card.window_us:
            raise PortError(
                "weights",
                f"{self._name} was trained on bins of {card.window_us} µs, its input gives"
                f" {frames.window_us} µs; set window_us = {card.window_us}, or {anyway}",
            )
        if frames.step_us != frames.window_us:
            raise PortError(
                "weights",
                f"{self._name} was trained on windows that follow each other, its input gives one"
                f" each {frames.step_us} µs; leave step_us out, or set {anyway}",
            )

    @property
    def _name(self) -> str:
        return Path(self.config.weights).name

    def _card(self) -> models.ModelCard:
        try:
            return models.read_card(self.config.weights)
        except models.ModelError as error:
            raise PortError("weights", str(error)) from None

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
