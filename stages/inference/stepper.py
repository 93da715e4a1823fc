"""What steps a network: torch, or the event-driven engine without it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import models
from pipeline.errors import ConfigError, DeviceError

__all__ = ["EventStepper", "Stepper", "TorchStepper", "gpu_driver"]

_SEEN = 10
"""Steps of which is counted who fires, between two times that the gauges are asked for: counting
takes half as long as stepping."""
_DRIVERS = ("/proc/driver/nvidia/version", "/dev/kfd", "/dev/dxg")
"""Where the drivers of NVIDIA, of AMD, and of either below Windows show themselves."""


class Stepper(Protocol):
    """Steps streams through a network."""

    input_shape: tuple[int, int, int]

    def rest(self) -> Any:
        """Return every membrane at rest."""

    def step(
        self,
        frames: NDArray[Any],
        membranes: Any,
        counts: NDArray[np.int64] | None = None,
        watched: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Advance over frames (steps, channels, height, width) -> (steps, features), membranes.

        The membranes that are given may be written to. What the network does is added to `counts`,
        and counted for `gauges` while it is watched; torch counts nothing.
        """

    def step_together(
        self,
        frames: NDArray[Any],
        membranes: Sequence[Any],
        counts: Sequence[NDArray[np.int64] | None],
    ) -> tuple[NDArray[np.float32], list[Any]]:
        """Advance several streams by a frame each: (streams, channels, height, width), membranes.

        Returns the outputs (streams, features), and the membranes of each.
        """

    def gauges(self, membranes: Any) -> dict[str, float]:
        """Return each layer's mean membrane and, where counted, how much it fires.

        ``firing: LAYER`` is the share of its neurons that fired in a step since the last call.
        """

    def arrays(self, membranes: Any) -> list[NDArray[Any]]:
        """Return copies of the membranes, (1, channels, ...): the same from either stepper."""

    def restore(self, arrays: Sequence[NDArray[Any]]) -> Any:
        """Return the membranes that `arrays` gave."""


class EventStepper:
    """The event-driven engine (`models.engine`), without torch.

    Args:
        weights: A safetensors file with a model card.
        threads: Processor cores for one step, or streams stepped at a time.
        batched: Whether streams are stepped together, each by one core.

    Raises:
        ConfigError: The weights cannot be used.
    """

    def __init__(self, weights: Path, threads: int = 1, batched: bool = False) -> None:
        from models.engine.engine import Engine

        self._threads = threads if batched else 1
        try:
            self._engine = Engine.load(weights, 1 if batched else threads)
        except models.ModelError as error:
            raise ConfigError(str(error)) from None
        self._engine.tune()
        self._seen, self._seen_steps = self._engine.no_counts(), 0
        self.input_shape = self._engine.input_shape
        # One step of what messages hold, so that the first window waits for nothing.
        frames = np.zeros((1, *self.input_shape), np.uint8)
        frames.flags.writeable = False
        self.step(frames, self.rest())

    def rest(self) -> Any:
        """Return every membrane at rest."""
        return self._engine.initial_state()

    def step(
        self,
        frames: NDArray[Any],
        membranes: Any,
        counts: NDArray[np.int64] | None = None,
        watched: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Advance over frames; the membranes are stepped in place."""
        seen = min(len(frames), max(0, _SEEN - self._seen_steps)) if watched else 0
        if not seen:
            outputs, membranes = self._engine.forward(frames[None], membranes, counts=counts)
            return outputs[0], membranes
        # What is seen is counted apart: results, counts among them, know nothing of who looks.
        found = self._engine.no_counts()
        outputs, membranes = self._engine.forward(frames[None, :seen], membranes, counts=found)
        self._seen += found
        self._seen_steps += seen
        if counts is not None:
            counts += found
        if seen == len(frames):
            return outputs[0], membranes
        others, membranes = self._engine.forward(frames[None, seen:], membranes, counts=counts)
        return np.concatenate([outputs[0], others[0]]), membranes

    def step_together(
        self,
        frames: NDArray[Any],
        membranes: Sequence[Any],
        counts: Sequence[NDArray[np.int64] | None],
    ) -> tuple[NDArray[np.float32], list[Any]]:
        """Advance several streams by a frame each; the membranes are stepped in place."""
        outputs = self._engine.step_each(frames, membranes, self._threads, counts)
        return outputs, [*membranes]

    def gauges(self, membranes: Any) -> dict[str, float]:
        """Return mean membranes, and firing rates since the last call."""
        from models.engine.statistics import COUNTS

        engine, steps, shown = self._engine, self._seen_steps, dict[str, float]()
        for number, (name, layer) in enumerate(zip(engine.names, engine.layers, strict=True)):
            if steps:
                fired = int(self._seen[number, COUNTS.index("fired")])
                shown[f"firing: {name}"] = fired / steps / layer.neurons
            of_layer = engine.program.membranes_of(number, membranes.membranes)
            shown[f"membrane: {name}"] = float(of_layer.mean())
        self._seen[:], self._seen_steps = 0, 0
        return shown

    def no_counts(self) -> NDArray[np.int64]:
        """Return room for what `step` counts."""
        return self._engine.no_counts()

    def counts_by_name(self, counts: NDArray[np.int64]) -> dict[str, int]:
        """Return counts, each by its layer and what it is of."""
        from models.engine.statistics import COUNTS

        names = [f"{layer}: {what}" for layer in self._engine.names for what in COUNTS]
        return dict(zip(names, counts.ravel().tolist(), strict=True))

    def remarks(self, counts: dict[str, int], steps: int) -> list[str]:
        """Return what `counts_by_name` gave, of so many steps, as text."""
        from models.engine.statistics import work_of

        array = np.array([*counts.values()], np.int64).reshape(self.no_counts().shape)
        return [*work_of(self._engine, array, steps).lines()]

    def arrays(self, membranes: Any) -> list[NDArray[Any]]:
        """Return copies of the membranes."""
        return [*self._engine.to_arrays(membranes)]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> Any:
        """Return the membranes that `arrays` gave."""
        return self._engine.from_arrays(arrays)


class TorchStepper:
    """The torch network itself, one step at a time.

    Args:
        weights: A safetensors file with a model card.
        device: As torch calls it; ``auto`` takes a GPU when there is one.
        threads: Processor cores for one step, when it runs on the processor.

    Raises:
        ConfigError: The weights cannot be used.
        DeviceError: The device is not there.
    """

    def __init__(self, weights: Path, device: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._torch = torch
        try:
            self._network = models.load(weights, device=_choose(torch, device))
        except models.ModelError as error:
            raise ConfigError(str(error)) from None
        self.input_shape = self._network.input_shape
        # One step, so that the first window waits for nothing.
        self.step(np.zeros((1, *self.input_shape), np.uint8), self.rest())

    def rest(self) -> Any:
        """Return every membrane at rest."""
        return self._network.initial_state(1)

    def step(
        self,
        frames: NDArray[Any],
        membranes: Any,
        counts: NDArray[np.int64] | None = None,
        watched: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Advance over frames; the membranes given are not written to."""
        torch, outputs = self._torch, []
        with torch.inference_mode():
            inputs = torch.from_numpy(frames.astype(np.float32)).to(self._network.device)
            for k in range(len(frames)):
                output, membranes = self._network.step(inputs[k : k + 1], membranes)
                outputs.append(output)
            array: NDArray[np.float32] = torch.cat(outputs).cpu().numpy()
        return array, membranes

    def step_together(
        self,
        frames: NDArray[Any],
        membranes: Sequence[Any],
        counts: Sequence[NDArray[np.int64] | None],
    ) -> tuple[NDArray[np.float32], list[Any]]:
        """Advance several streams by a frame each; the membranes given are not written to."""
        torch, kind = self._torch, type(membranes[0])
        with torch.inference_mode():
            inputs = torch.from_numpy(frames.astype(np.float32)).to(self._network.device)
            joined = kind(*(torch.cat(parts) for parts in zip(*membranes, strict=True)))
            output, joined = self._network.step(inputs, joined)
            array: NDArray[np.float32] = output.cpu().numpy()
            split = [each.split(1) for each in joined]
        return array, [kind(*parts) for parts in zip(*split, strict=True)]

    def gauges(self, membranes: Any) -> dict[str, float]:
        """Return mean membranes."""
        means = (float(each.float().mean()) for each in membranes)
        named = zip(membranes._fields, means, strict=True)
        return {f"membrane: {name}": mean for name, mean in named}

    def arrays(self, membranes: Any) -> list[NDArray[Any]]:
        """Return copies of the membranes."""
        return [each.cpu().numpy().copy() for each in membranes]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> Any:
        """Return the membranes that `arrays` gave."""
        rest, device = self.rest(), self._network.device
        return type(rest)(*(self._torch.from_numpy(each.copy()).to(device) for each in arrays))


def gpu_driver() -> bool:
    """Tell whether the driver of a GPU is there: what is known without loading torch."""
    return any(Path(path).exists() for path in _DRIVERS)


def _choose(torch: Any, wanted: str) -> str:
    """Return the device to compute on.

    Raises:
        DeviceError: The one asked for is not there.
    """
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
