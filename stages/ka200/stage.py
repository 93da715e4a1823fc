"""Spiking inference on Lynxi's KA200: one time step for each window, membranes living on the chip.

It stands where `snn` does, and what is behind it is the same: it takes frames and gives the output
of each step, so `aggregate` and every sink follow as usual. Though the chip is where frames go, it
is no sink: its answers come back into the stream.

The membranes stay in the chip's memory from window to window and message to message. A model reset
puts them to rest before the first window of a recording and behind an explicit reset, and never
else. Each stream has a chip of its own, since a chip has one set of membranes.

The runtime has no call that reads the membranes. So a checkpoint keeps the frames since the last
reset, the latest ``replay_steps`` of them, and a run that goes on shows them to the chip once more;
what comes out of that is thrown away. That is exact while there are no more. Where there are, the
chip starts ``replay_steps`` back from rest: what was before has leaked away but for the chance that
a neuron on the edge of its threshold remembers it, and the run says so. The emulator's membranes
are kept as they are.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import models
from models.ka200.compiled import WEIGHTS, Compiled, read_compiled
from models.scores import scores_of
from pipeline.config import FilePath
from pipeline.errors import StageError
from pipeline.messages import Frames, Message, Outputs, Start, data
from pipeline.ports import FramesPort, OutputsPort, Port
from pipeline.stage import Account, PortError, StageConfig, Transform
from stages.inference.fit import check_kind, check_shape, check_words, resized
from stages.ka200.chip import Chip, Ka200Chip
from stages.ka200.emulated import EmulatedChip

__all__ = ["Ka200", "Ka200Config", "Ka200State"]


class Ka200Config(StageConfig):
    """Options of `ka200`."""

    model: FilePath
    """The folder that `pipeline compile` made."""
    backend: Literal["chip", "emulator"] = "chip"
    """``emulator``: the same network on the processor, in the chip's arithmetic; slow, and made to
    try everything without a chip."""
    device: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    """Numbers of the devices. Each stream has one of its own, in the order in which they start."""
    replay_steps: int = Field(600, ge=0)
    """How many of the latest frames a checkpoint keeps, to bring the chip's membranes back."""
    timeout_s: float = Field(10.0, gt=0)
    """How long the chip may take for a few steps before it counts as stuck, in s."""
    mismatch: Literal["refuse", "allow"] = "refuse"
    """Whether bins of another length, step or kind than the model was trained on, and words of
    another vocabulary, are refused."""


class Ka200State(NamedTuple):
    """Where a recording is; the membranes themselves are on the chip."""

    stream: str
    epoch: int
    weights_sha256: str
    """Of the network: a folder's content is not told by its name."""
    chip: int
    """Which of the devices."""
    due: bool
    """Whether a model reset is due before the next step."""
    steps: int
    """Of the recording."""
    since: int
    """Steps since the last reset."""
    resets: int
    calls: int
    """How often the chip was given frames: one or several at a time."""
    busy_us: int
    """How long the chip took, copies included."""
    approximate: int
    """How often membranes were brought back from fewer frames than they had seen."""
    frames: list[NDArray[Any]]
    """The latest since the last reset, (channels, height, width); added to in place."""
    memory: dict[str, NDArray[Any]] | None = None
    """In a snapshot: the emulator's membranes."""


class _Seen(NamedTuple):
    """What the chip did since the gauges were last read."""

    calls: int = 0
    steps: int = 0
    busy_us: int = 0


class Ka200(Transform[Ka200Config, Ka200State]):
    """Step a compiled network on a chip through the windows of a stream."""

    Config = Ka200Config
    takes = (FramesPort,)
    many_inputs = True
    free = ("device", "timeout_s")

    def __init__(self, name: str, config: Ka200Config, inputs: Sequence[Port] = ()) -> None:
        """Keep the options; the chips are opened by `open`."""
        super().__init__(name, config, inputs)
        self._chips: list[Chip] = []
        self._streams: dict[str, int] = {}
        self._seen = _Seen()
        self._longest_us = 0

    def port(self) -> OutputsPort:
        """Hold the frames against what the model was trained for."""
        ports = [port for port in self.inputs if isinstance(port, FramesPort)]
        if len({*self.config.device}) < len(self.config.device):
            raise PortError("device", f"names a device twice, got {list(self.config.device)}")
        if len(ports) > len(self.config.device):
            raise PortError(
                "device",
                f"must name a device for each of the {len(ports)} inputs, since a chip has one set"
                f" of membranes, got {list(self.config.device)}",
            )
        compiled = self._compiled()
        card, frames = compiled.card, ports[0]
        for each in ports:
            self._fit(each, card)
        for each in ports[1:]:
            if (each.window_us, each.step_us) != (frames.window_us, frames.step_us):
                raise PortError(
                    "from", f"its inputs must have windows alike, got {frames}, and {each}"
                )
        readout = compiled.mean_steps is None and card.network not in models.SCORES_ALREADY
        return OutputsPort(
            features=None if readout else len(card.classes),
            classes=card.classes,
            window_us=frames.window_us,
            step_us=frames.step_us,
            trained_steps=card.steps,
            steps=frames.steps,
            head=self._weights if readout else None,
            scores=scores_of(card),
        )

    def open(self) -> None:
        """Open every device and load the network on it."""
        config, compiled = self.config, self._compiled()
        self._opened = compiled
        for device in config.device:
            if config.backend == "emulator":
                self._chips.append(EmulatedChip(config.model, compiled))
                continue
            try:
                self._chips.append(Ka200Chip(device, config.model, compiled, config.timeout_s))
            except BaseException:
                with suppress(Exception):
                    self.close()
                raise

    def close(self) -> None:
        """Release every device, the last first."""
        failed = None
        while self._chips:
            try:
                self._chips.pop().close()
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def start(self, header: Start) -> Ka200State:
        """Return the state with a model reset due."""
        chip = self._chip_of(header.stream)
        return Ka200State(
            stream=header.stream,
            epoch=header.epoch,
            weights_sha256=self._opened.weights_sha256,
            chip=chip,
            due=True,
            steps=0,
            since=0,
            resets=0,
            calls=0,
            busy_us=0,
            approximate=0,
            frames=[],
        )

    def reset(self, state: Ka200State) -> Ka200State:
        """Let a model reset be due; the counts go on."""
        return state._replace(due=True, since=0, frames=[])

    def snapshot(self, state: Ka200State) -> Ka200State:
        """Return the state with what brings the membranes back."""
        memory = None if state.due else self._chips[state.chip].memory()
        return state._replace(memory=memory)

    def restore(self, saved: Ka200State) -> Ka200State:
        """Bring the chip's membranes back."""
        if saved.weights_sha256 != self._opened.weights_sha256:
            raise StageError(
                f"the checkpoint was made with another network than is in {self.config.model};"
                " put that one back, or run it from the start"
            )
        self._streams[saved.stream] = saved.chip
        if saved.chip >= len(self._chips):
            raise StageError(
                f"the checkpoint was made with {saved.chip + 1} devices or more, `device` names"
                f" {len(self._chips)}; name as many"
            )
        if saved.due:
            return saved
        chip, frames, approximate = self._chips[saved.chip], saved.frames, saved.approximate
        if saved.memory is not None:
            chip.restore(saved.memory)
            return saved._replace(memory=None)
        if frames:
            chip.run(np.stack(frames), reset=True)
        return saved._replace(
            due=not frames, approximate=approximate + int(len(frames) < saved.since)
        )

    def process(self, state: Ka200State, message: Message) -> Generator[Message, None, Ka200State]:
        """Step through the windows of a message; yield the output of each step."""
        header, frames = message.header, message.array
        assert isinstance(header, Frames)
        if not len(frames):
            return state
        self._check(frames, state)
        begun_ns = time.monotonic_ns()
        outputs = self._chips[state.chip].run(frames, state.due)
        took_us = (time.monotonic_ns() - begun_ns) // 1000
        self._seen = _Seen(
            self._seen.calls + 1, self._seen.steps + len(frames), self._seen.busy_us + took_us
        )
        self._longest_us = max(self._longest_us, took_us)
        yield data(
            Outputs,
            outputs,
            stream=state.stream,
            epoch=state.epoch,
            t_first_us=header.t_first_us,
            t_last_us=header.t_last_us,
            windows=header.windows,
        )
        self._keep(state.frames, frames)
        return state._replace(
            due=False,
            steps=state.steps + len(frames),
            since=state.since + len(frames),
            resets=state.resets + state.due,
            calls=state.calls + 1,
            busy_us=state.busy_us + took_us,
        )

    def account(self, state: Ka200State) -> Account:
        """Return windows stepped through, model resets, and the time that the chip took."""
        account = Account.one_to_one(state.steps, "windows", "outputs")
        counts = {
            "model resets": state.resets,
            "chip calls": state.calls,
            "chip us": state.busy_us,
            "approximate": state.approximate,
        }
        return msgspec.structs.replace(account, counts=counts)

    def gauges(self, state: Ka200State) -> dict[str, float]:
        """Return the time from frames to their outputs, copies included, and the steps of 1 s.

        Both since the last call.
        """
        seen, self._seen = self._seen, _Seen()
        if not seen.busy_us:
            return {}
        return {
            "chip latency ms": seen.busy_us / seen.calls / 1e3,
            "chip steps/s": seen.steps / seen.busy_us * 1e6,
        }

    def remarks(self, account: Account) -> list[str]:
        """Return what the chip did, and whether membranes were brought back but roughly."""
        if not account.taken:
            return []
        counts, steps = account.counts, account.taken
        resets, busy_us = counts["model resets"], max(1, counts["chip us"])
        where = "the emulator" if self.config.backend == "emulator" else "the KA200"
        said = [
            f"{steps} steps on {where} in {busy_us / 1e6:.2f} s, {steps / busy_us * 1e6:.1f}"
            f" steps/s; outputs {busy_us / counts['chip calls'] / 1e3:.2f} ms behind their frames,"
            f" at most {self._longest_us / 1e3:.2f} ms; {resets} model"
            f" reset{'' if resets == 1 else 's'}"
        ]
        if again := counts["approximate"]:
            said.append(
                f"membranes were brought back {'once' if again == 1 else f'{again} times'} from"
                f" the latest {self.config.replay_steps} frames only: outputs may differ from those"
                " of an undisturbed run; a larger replay_steps, or resets, make it exact"
            )
        return said

    def _chip_of(self, stream: str) -> int:
        """Return which of the devices is that of a stream; a new one gets the first that is free.

        Raises:
            StageError: none is.
        """
        free = {*range(len(self._chips))} - {*self._streams.values()}
        if stream not in self._streams and not free:
            others = ", ".join(f"'{name}'" for name in self._streams)
            raise StageError(
                f"stream '{stream}' has no chip: {others} took {len(self._chips)}, and a chip has"
                " one set of membranes; name a further device in `device`"
            )
        return self._streams.setdefault(stream, min(free, default=0))

    def _check(self, frames: NDArray[Any], state: Ka200State) -> None:
        """Refuse frames of another shape or other numbers, and steps behind those of a mean."""
        takes, who = self._opened, self.config.model.name
        if frames.shape[1:] != takes.input_shape:
            given = self.inputs[0]
            assert isinstance(given, FramesPort)
            raise StageError(
                f"{who} takes frames of {takes.input_shape}, got"
                f" {frames.shape[1:]}; {resized(given.made_of, takes.input_shape[1:])}"
            )
        if takes.input_type == "uint8" and frames.dtype != np.uint8:
            low, high = frames.min(), frames.max()
            if frames.dtype.kind == "f" or low < 0 or high > 255:
                raise StageError(
                    f"{who} was compiled for bytes, and a frame has numbers from {low} to {high} of"
                    f" type {frames.dtype}; compile it again with --input float32"
                )
        if takes.mean_steps is not None and state.since + len(frames) > takes.mean_steps:
            raise StageError(
                f"{who} keeps the mean of {takes.mean_steps} steps on the chip, and a recording has"
                " more; compile it without --mean, and let `aggregate` take the mean"
            )

    def _keep(self, kept: list[NDArray[Any]], frames: NDArray[Any]) -> None:
        """Keep the latest frames for a checkpoint, where membranes cannot be read."""
        if self.config.backend == "emulator":
            return
        limit = self.config.replay_steps
        # Copies: a frame of a message would hold on to the whole message.
        kept.extend(frame.copy() for frame in frames[-limit:] if limit)
        del kept[: max(0, len(kept) - limit)]

    @property
    def _weights(self) -> Path:
        return self.config.model / WEIGHTS

    def _fit(self, frames: FramesPort, card: models.ModelCard) -> None:
        """Hold frames against those of the training.

        Raises:
            PortError: they are others.
        """
        who, allow = f"{self.config.model.name} ({card.network})", self.config.mismatch == "allow"
        try:
            check_shape(frames, card, who)
            check_words(frames, card, who, allow=allow)
            if not allow:
                check_kind(frames, card, who)
        except PortError as error:  # which names the option that `snn` has for its network
            key = "model" if error.key == "weights" else error.key
            raise PortError(key, str(error)) from None

    def _compiled(self) -> Compiled:
        try:
            return read_compiled(self.config.model, self.config.backend == "chip")
        except models.ModelError as error:
            raise PortError("model", str(error)) from None
