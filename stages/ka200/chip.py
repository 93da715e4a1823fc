"""One KA200 and the network on it: buffers, streams, and steps in flight.

Everything is acquired in one order and released in the reverse one, whatever happens: context,
event, streams, model, buffers. There are three pairs of buffers, each for a few steps, and the
steps of a call are dealt out to all three: while one is copied in, another is computed and a third
copied back. The sending stream copies in and hands steps over, the receiving one fetches outputs
and copies them back, and neither computes. Nothing is in flight between two calls of `run`, so a
window's output never waits for the next window, and a checkpoint finds nothing half-done.

Membranes stay in the chip's memory from call to call. They are put to rest by a model reset, which
is queued only where it is asked for; before it the sending stream waits for the last receive.

Source of the order of calls: the runner of LynxiTech/BIDL, ``lynadapter`` (Apache-2.0).
"""

import math
import queue
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.ka200.compiled import BURST, NETWORK, PAIRS, Compiled
from pipeline.errors import ConfigError, DeviceError, StageError
from stages.ka200.calls import Calls

__all__ = ["Chip", "Ka200Chip"]

_TYPES = {"DT_UINT8": np.uint8, "DT_FLOAT": np.float32, "DT_FLOAT16": np.float16}


class Chip(Protocol):
    """What runs a compiled network for one stream."""

    def run(self, frames: NDArray[Any], reset: bool) -> NDArray[np.float32]:
        """Advance over frames (steps, channels, height, width) -> (steps, features).

        Args:
            frames: At least one.
            reset: Whether all membranes are put to rest before the first.
        """

    def memory(self) -> dict[str, NDArray[Any]] | None:
        """Return copies of what is kept from step to step; None where it cannot be read."""

    def restore(self, memory: dict[str, NDArray[Any]]) -> None:
        """Keep what `memory` gave."""

    def close(self) -> None:
        """Release everything; called once.

        Raises:
            DeviceError: something could not be released.
        """


class _Pair(NamedTuple):
    """Buffers of up to `BURST` steps: the host's and the chip's."""

    frames: NDArray[Any]
    frames_at: Any
    outputs: NDArray[Any]
    outputs_at: Any
    chip_in: Any
    chip_out: Any


class _Burst(NamedTuple):
    """Steps in flight."""

    pair: _Pair
    first: int
    steps: int


class _Fault(NamedTuple):
    """What the driver reported by itself."""

    code: object


class Ka200Chip:
    """A device with a network on it; see `Chip`.

    Args:
        device: Its number.
        folder: That `pipeline compile` made.
        compiled: What is in it.
        timeout_s: How long to wait for the chip before it counts as stuck.

    Raises:
        ConfigError: the runtime or the device is not there, or the network is of another shape.
        DeviceError: a call failed. What was acquired is released by then.
    """

    def __init__(self, device: int, folder: Path, compiled: Compiled, timeout_s: float) -> None:
        self._calls = Calls(device)
        self._timeout_s = timeout_s
        self._acquired = ExitStack()
        self._not_released: list[DeviceError] = []
        self._finished = queue.SimpleQueue[_Pair | _Fault]()
        self._stuck, self._recorded = False, False
        try:
            self._open(folder / NETWORK)
            try:
                self._describe(folder / NETWORK, compiled)
            except (AttributeError, TypeError) as error:
                raise self._calls.unknown(error) from error
            self._pairs = deque(self._pair() for _ in range(PAIRS))
            self._acquired.callback(self._drain)
        except BaseException:
            self._acquired.close()  # why it came to that is told, not what else went wrong
            raise

    def run(self, frames: NDArray[Any], reset: bool) -> NDArray[np.float32]:
        """Advance over frames; all outputs are there when it returns."""
        self._calls("lyn_set_current_context", self._context)
        outputs = np.empty((len(frames), self._features), np.float32)
        free, flying = self._pairs.copy(), deque[_Burst]()
        steps = min(BURST, -(-len(frames) // PAIRS))
        for first in range(0, len(frames), steps):
            if not free:
                free.append(self._collect(flying, outputs))
            burst = _Burst(free.popleft(), first, min(steps, len(frames) - first))
            self._send(burst, frames, reset and first == 0)
            flying.append(burst)
        while flying:
            self._collect(flying, outputs)
        return outputs

    def memory(self) -> None:
        """Return None: the runtime has no call that reads the chip's memory."""
        return None

    def restore(self, memory: dict[str, NDArray[Any]]) -> None:
        """Refuse: what was read from an emulator cannot be written to a chip."""
        raise StageError(
            "the checkpoint was made by the emulator, whose membranes cannot be put into a chip;"
            ' set backend = "emulator", or run it from the start'
        )

    def close(self) -> None:
        """Release everything in the reverse order."""
        self._acquired.close()
        if self._not_released:
            raise self._not_released[0]

    def _open(self, network: Path) -> None:
        calls, device = self._calls, self._calls.device
        count = calls("lyn_get_device_count")
        if device >= count:
            there = f"devices 0 to {count - 1}" if count else "no KA200"
            raise ConfigError(
                f"device {device} is not there, this machine has {there}; choose another, or set"
                ' backend = "emulator"'
            )
        self._context = calls("lyn_create_context", device)
        self._release("lyn_destroy_context", self._context)
        calls("lyn_set_current_context", self._context)
        calls("lyn_register_error_handler", self._on_fault)
        self._event = calls("lyn_create_event")
        self._release("lyn_destroy_event", self._event)
        self._sending = calls("lyn_create_stream")
        self._release("lyn_destroy_stream", self._sending)
        self._receiving = calls("lyn_create_stream")
        self._release("lyn_destroy_stream", self._receiving)
        self._model = calls("lyn_load_model", str(network))
        self._release("lyn_unload_model", self._model)

    def _describe(self, network: Path, compiled: Compiled) -> None:
        """Hold what the chip says of the network against what it was compiled of."""
        description = self._calls("lyn_model_get_desc", self._model)
        inputs, outputs = description.inputTensorAttrArray, description.outputTensorAttrArray
        if (len(inputs), len(outputs)) != (1, 1):
            raise _wrong(network, f"has {len(inputs)} inputs and {len(outputs)} outputs, not one")
        (given,), (made,) = inputs, outputs
        if given.batchSize != 1:
            raise _wrong(network, f"runs batches of {given.batchSize}, and a stream is one of 1")
        self._channels_last = _channels_last(network, tuple(given.dims)[-3:], compiled)
        if math.prod(made.dims) != compiled.features:
            raise _wrong(
                network, f"puts out {math.prod(made.dims)} numbers, not {compiled.features}"
            )
        types = [self._calls.data_type(each.dtype) for each in (given, made)]
        if unknown := [name for name in types if name not in _TYPES]:
            raise _wrong(
                network, f"has numbers of type {unknown[0]}, known are {', '.join(_TYPES)}"
            )
        self._input_type, self._output_type = (np.dtype(_TYPES[name]) for name in types)
        if self._input_type == np.uint8 and compiled.input_type != "uint8":
            raise _wrong(network, f"takes bytes, and was compiled for {compiled.input_type}")
        self._input_shape, self._features = compiled.input_shape, compiled.features
        self._input_bytes = math.prod(compiled.input_shape) * self._input_type.itemsize
        self._output_bytes = compiled.features * self._output_type.itemsize
        sizes = (description.inputDataLen, description.outputDataLen)
        if sizes != (self._input_bytes, self._output_bytes):
            raise _wrong(
                network,
                f"has {sizes[0]} bytes in and {sizes[1]} out, not {self._input_bytes} and"
                f" {self._output_bytes}",
            )

    def _pair(self) -> _Pair:
        """Acquire a pair of buffers."""
        calls, shape = self._calls, self._input_shape
        if self._channels_last:
            shape = (*shape[1:], shape[0])
        frames = np.zeros((BURST, *shape), self._input_type)
        outputs = np.zeros((BURST, self._features), self._output_type)
        chip = []
        for size in (self._input_bytes, self._output_bytes):
            chip.append(calls("lyn_malloc", BURST * size))
            self._release("lyn_free", chip[-1])
        at = [calls.plain("lyn_numpy_to_ptr", array) for array in (frames, outputs)]
        return _Pair(frames, at[0], outputs, at[1], *chip)

    def _release(self, name: str, handle: Any) -> None:
        """Let `close` release something; one that fails does not keep the others from it."""

        def release() -> None:
            try:
                self._calls(name, handle)
            except DeviceError as error:
                self._not_released.append(error)

        self._acquired.callback(release)

    def _drain(self) -> None:
        """Wait until nothing is in flight any more, so that no buffer is freed under a copy."""
        try:
            # What is released behind this is of this device, whichever was the last in use.
            self._calls("lyn_set_current_context", self._context)
            if self._stuck:  # waiting would never end
                return
            self._calls("lyn_synchronize_stream", self._sending)
            self._calls("lyn_synchronize_stream", self._receiving)
        except DeviceError as error:
            self._not_released.append(error)
        with suppress(queue.Empty):
            while True:
                if isinstance(left := self._finished.get_nowait(), _Fault):
                    self._not_released.append(self._calls.fault(left.code))

    def _send(self, burst: _Burst, frames: NDArray[Any], reset: bool) -> None:
        calls, pair = self._calls, burst.pair
        part = frames[burst.first : burst.first + burst.steps]
        pair.frames[: burst.steps] = part.transpose(0, 2, 3, 1) if self._channels_last else part
        calls(
            "lyn_memcpy_async",
            self._sending,
            pair.chip_in,
            pair.frames_at,
            burst.steps * self._input_bytes,
            calls.direction("ClientToServer"),
        )
        if reset:
            if self._recorded:
                calls("lyn_stream_wait_event", self._sending, self._event)
            calls("lyn_model_reset_async", self._sending, self._model)
        chip_in, chip_out = pair.chip_in, pair.chip_out
        for step in range(burst.steps):
            if step:
                chip_in = calls.plain("lyn_addr_seek", chip_in, self._input_bytes)
                chip_out = calls.plain("lyn_addr_seek", chip_out, self._output_bytes)
            calls("lyn_model_send_input_async", self._sending, self._model, chip_in, chip_out, 1)
            calls("lyn_model_recv_output_async", self._receiving, self._model)
        calls("lyn_record_event", self._receiving, self._event)
        self._recorded = True
        calls(
            "lyn_memcpy_async",
            self._receiving,
            pair.outputs_at,
            pair.chip_out,
            burst.steps * self._output_bytes,
            calls.direction("ServerToClient"),
        )
        calls("lyn_stream_add_callback", self._receiving, self._on_done, pair)

    def _collect(self, flying: deque[_Burst], outputs: NDArray[np.float32]) -> _Pair:
        """Wait for the oldest burst, take its outputs, and return its buffers."""
        burst = flying.popleft()
        try:
            finished = self._finished.get(timeout=self._timeout_s)
        except queue.Empty:
            self._stuck = True
            raise self._calls.silence(self._timeout_s) from None
        if isinstance(finished, _Fault):
            raise self._calls.fault(finished.code)
        outputs[burst.first : burst.first + burst.steps] = burst.pair.outputs[: burst.steps]
        return burst.pair

    def _on_done(self, pair: _Pair) -> int:
        """Hear, in a thread of the runtime, that all that a pair waits for has happened."""
        self._finished.put(pair)
        return 0

    def _on_fault(self, stream: Any, error: Any, parameters: Any) -> None:
        """Hear of an error that no call returned."""
        self._finished.put(_Fault(getattr(error, "errCode", error)))


def _channels_last(network: Path, dims: tuple[int, ...], compiled: Compiled) -> bool:
    """Return whether frames go to the chip with channels last, as the chip says.

    Raises:
        ConfigError: its frames have another shape.
    """
    channels, height, width = compiled.input_shape
    first, last = compiled.input_shape, (height, width, channels)
    if dims not in (first, last):
        raise _wrong(network, f"takes frames of {dims}, not {first}")
    return compiled.layout == "nhwc" if first == last else dims == last


def _wrong(network: Path, problem: str) -> ConfigError:
    return ConfigError(f"{network}: {problem}; compile the network again")
