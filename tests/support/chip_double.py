"""A double of ``pylynchipsdk``: what Lynxi's runtime does, as far as is known, and its rules.

Streams are threads that do what is queued in order, and the chip computes in another, so that
everything ends later than the call that asked for it. Every call is recorded and may be made to
fail; a log says when each copy and step began and ended. What the runtime would take ill, or must
not be done, is written into `broken`.
"""

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from chip_engine import PATIENCE_S, Log, Model, Step, Stream
from numpy.typing import NDArray

__all__ = ["Call", "ChipDouble", "Leaky", "Unplugged"]

_ALIGNMENT = 64


class Call(NamedTuple):
    name: str
    arguments: tuple[Any, ...]
    thread: int


class Kinds:
    DT_UINT8, DT_FLOAT16, DT_FLOAT, DT_INT32 = 1, 2, 3, 4


class Directions:
    ClientToServer, ServerToClient = 10, 11


_DTYPES = {1: np.uint8, 2: np.float16, 3: np.float32}


class Tensor(NamedTuple):
    batchSize: int
    dims: tuple[int, ...]
    dtype: int


class Description(NamedTuple):
    inputTensorAttrArray: tuple[Tensor, ...]
    outputTensorAttrArray: tuple[Tensor, ...]
    inputDataLen: int
    outputDataLen: int


class Fault(NamedTuple):
    errCode: int


class Leaky:
    """Stands for a network: what it put out halves, and the frame's first numbers are added."""

    def __init__(self, features: int) -> None:
        self.value = np.zeros(features, np.float32)

    def reset(self) -> None:
        self.value[:] = 0

    def step(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        self.value = self.value / 2 + frame.ravel()[: len(self.value)].astype(np.float32)
        return self.value.copy()


class ChipDouble:
    """Put it into ``sys.modules`` as ``pylynchipsdk``.

    Args:
        shape: (channels, height, width) of a frame.
        features: Outputs of a step.
        network: Makes what computes: it has ``step(frame)`` and ``reset()``.
        devices: How many there are.

    Attributes:
        calls: Every call, in order.
        log: When each copy and each step began and ended.
        broken: Rules that were broken; must stay empty.
        live: Handles that were not released: handle -> what it is, and its context.
        fails: (name, which call of it) -> the code that it returns, counted from 0.
        fault_at: At this step the driver reports an error by itself.
        stuck_at: At this step the chip stops for good.
        told: Where set, a file that says how many handles are live, anew behind each call.
    """

    lyn_data_type_t = Kinds
    lyn_memcpy_dir_t = Directions

    def __init__(
        self,
        shape: tuple[int, int, int] = (2, 40, 40),
        features: int = 11,
        network: Callable[[], Any] | None = None,
        devices: int = 2,
        dtype: int = Kinds.DT_UINT8,
        out_dtype: int = Kinds.DT_FLOAT16,
        channels_last: bool = False,
        batch: int = 1,
        outputs: int = 1,
        fails: dict[tuple[str, int], int] | None = None,
    ) -> None:
        self.outputs = outputs
        self.shape, self.features, self.devices = shape, features, devices
        self.dtype, self.out_dtype, self.batch = dtype, out_dtype, batch
        self.channels_last = channels_last
        self.calls: list[Call] = []
        self.log = Log()
        self.broken: list[str] = []
        self.live: dict[int, tuple[str, int]] = {}
        self.fails = dict(fails or {})
        self.fault_at: int | None = None
        self.stuck_at: int | None = None
        self.told: Path | None = None
        self.steps = 0
        self.network = network or (lambda: Leaky(features))
        self._counts: dict[str, int] = {}
        self._copies = {"copy in": 0, "copy back": 0}
        self._things: dict[int, Any] = {}
        self._handlers: dict[int, Any] = {}
        self._current: dict[int, int] = {}
        self._next = 0x10000
        self._stuck = threading.Event()

    def names(self) -> list[str]:
        """Names of all calls, in order."""
        return [call.name for call in self.calls]

    def __getattr__(self, name: str) -> Any:
        """Return a call that is recorded, and fails where it is told to."""
        try:
            doing = object.__getattribute__(self, f"_{name}")
        except AttributeError:
            raise AttributeError(f"module 'pylynchipsdk' has no attribute '{name}'") from None
        with_value = name in _WITH_VALUE

        def call(*arguments: Any) -> Any:
            self.calls.append(Call(name, arguments, threading.get_ident()))
            nth = self._counts.get(name, 0)
            self._counts[name] = nth + 1
            if name in _PLAIN:
                return doing(*arguments)
            code = self.fails.get((name, nth), 0)
            given = doing(*arguments) if code == 0 else None
            if self.told is not None:
                self.told.write_text(str(len(self.live)))
            return (given, code) if with_value else code

        return call

    def _rule(self, held: bool, text: str) -> None:
        if not held:
            self.broken.append(text)
            raise AssertionError(text)

    def _here(self) -> int:
        context = self._current.get(threading.get_ident())
        self._rule(context is not None, "a call without a context set in its thread")
        assert context is not None
        self._rule(context in self.live, "a call in a context that was destroyed")
        return context

    def _make(self, kind: str, thing: Any, context: int | None = None) -> int:
        self._next += _ALIGNMENT
        handle = self._next
        self.live[handle] = (kind, self._here() if context is None else context)
        self._things[handle] = thing
        return handle

    def _thing(self, handle: int, kind: str) -> Any:
        here = self._here()
        self._rule(self.live.get(handle) == (kind, here), f"{handle} is no live {kind} here")
        return self._things[handle]

    def _gone(self, handle: int, kind: str) -> Any:
        thing = self._thing(handle, kind)
        del self.live[handle]
        return thing

    def _idle(self, what: str) -> None:
        """Hold that nothing is queued, and every input that was sent has been read."""
        here = self._here()
        mine = [
            (self._things[k], kind) for k, (kind, context) in self.live.items() if context == here
        ]
        busy = any(thing.waiting for thing, kind in mine if kind == "stream")
        unread = not all(thing.all_read() for thing, kind in mine if kind == "model" and not busy)
        self._rule(not (busy or unread) or self._stuck_now, f"{what} while something was in flight")

    @property
    def _stuck_now(self) -> bool:
        return self.stuck_at is not None and self.steps > self.stuck_at

    # What the runtime offers, each without its error code.

    def _lyn_get_device_count(self) -> int:
        return self.devices

    def _lyn_create_context(self, device: int) -> int:
        self._rule(0 <= device < self.devices, f"there is no device {device}")
        return self._make("context", device, context=0)

    def _lyn_set_current_context(self, context: int) -> None:
        self._rule(self.live.get(context) == ("context", 0), f"{context} is no live context")
        self._current[threading.get_ident()] = context

    def _lyn_destroy_context(self, context: int) -> None:
        left = [kind for kind, owner in self.live.values() if owner == context]
        self._rule(not left, f"a context was destroyed with {left} in it")
        self._rule(self.live.get(context) == ("context", 0), f"{context} is no live context")
        del self.live[context]

    def _lyn_register_error_handler(self, handler: Any) -> None:
        self._handlers[self._here()] = handler

    def _lyn_create_stream(self) -> int:
        return self._make("stream", Stream(self.broken))

    def _lyn_destroy_stream(self, stream: int) -> None:
        self._idle("a stream was destroyed")
        self._gone(stream, "stream").end()

    def _lyn_create_event(self) -> int:
        return self._make("event", [])

    def _lyn_destroy_event(self, event: int) -> None:
        self._gone(event, "event")

    def _lyn_load_model(self, path: str) -> int:
        self._rule(path.endswith("Net_0"), f"{path} is no Net_0")
        return self._make("model", Model(self.network(), self.broken))

    def _lyn_unload_model(self, model: int) -> None:
        self._idle("a model was unloaded")
        self._gone(model, "model").end()

    def _lyn_model_get_desc(self, model: int) -> Description:
        self._thing(model, "model")
        channels, height, width = self.shape
        dims = (height, width, channels) if self.channels_last else self.shape
        return Description(
            (Tensor(self.batch, (1, *dims), self.dtype),),
            (Tensor(self.batch, (1, self.features), self.out_dtype),) * self.outputs,
            self._in_bytes,
            self._out_bytes,
        )

    @property
    def _in_bytes(self) -> int:
        width = np.dtype(_DTYPES.get(self.dtype, np.int32)).itemsize
        return int(np.prod(self.shape)) * width

    @property
    def _out_bytes(self) -> int:
        return self.features * np.dtype(_DTYPES[self.out_dtype]).itemsize

    def _lyn_malloc(self, size: int) -> int:
        self._rule(size > 0, "a buffer of no bytes")
        self._next += -self._next % _ALIGNMENT
        pointer = self._make("buffer", bytearray(size))
        self._next += size
        return pointer

    def _lyn_free(self, pointer: int) -> None:
        self._idle("a buffer was freed")
        self._gone(pointer, "buffer")

    def _lyn_addr_seek(self, pointer: int, size: int) -> int:
        return pointer + size

    def _lyn_numpy_to_ptr(self, array: NDArray[Any]) -> int:
        self._rule(array.flags.c_contiguous, "an array that is not contiguous")
        return int(array.ctypes.data)

    def _region(self, pointer: int, size: int) -> memoryview:
        """Bytes of a device buffer; they must be within one that is live here."""
        here = self._here()
        for start, (kind, context) in self.live.items():
            if (kind, context) == ("buffer", here):
                end = start + len(self._things[start])
                if start <= pointer and pointer + size <= end:
                    return memoryview(self._things[start])[pointer - start :][:size]
        self._rule(False, f"{size} bytes at {pointer} are in no buffer of this context")
        raise AssertionError

    def _lyn_memcpy_async(
        self, stream: int, target: int, source: int, size: int, direction: int
    ) -> None:
        there, here = self._thing(stream, "stream"), self._here()
        to_chip = direction == Directions.ClientToServer
        self._rule(to_chip or direction == Directions.ServerToClient, "a copy without direction")
        chip = self._region(target if to_chip else source, size)
        what = "copy in" if to_chip else "copy back"
        number, self._copies[what] = self._copies[what], self._copies[what] + 1

        def copy() -> None:
            self.log.add(what, number, ends=False)
            if to_chip:
                unread = any(model.reads(chip) for model in self._models(here))
                self._rule(not unread, "a buffer was written to before its steps had read it")
                chip[:] = ctypes.string_at(source, size)
            else:
                ctypes.memmove(target, bytes(chip), size)
            self.log.add(what, number, ends=True)

        there.put(copy)

    def _models(self, context: int) -> list[Model]:
        return [self._things[k] for k, of in self.live.items() if of == ("model", context)]

    def _lyn_model_reset_async(self, stream: int, model: int) -> None:
        loaded = self._thing(model, "model")

        def reset() -> None:
            self._rule(loaded.idle, "a model was reset while it computed")
            loaded.network.reset()

        self._thing(stream, "stream").put(reset)

    def _lyn_model_send_input_async(
        self, stream: int, model: int, given: int, made: int, batch: int
    ) -> None:
        self._rule(batch == self.batch, f"a batch of {batch}")
        there, loaded = self._thing(stream, "stream"), self._thing(model, "model")
        region = self._region(given, self._in_bytes)
        self._region(made, self._out_bytes)
        widths = (np.dtype(_DTYPES[kind]).itemsize for kind in (self.dtype, self.out_dtype))
        aligned = all(at % width == 0 for at, width in zip((given, made), widths, strict=True))
        self._rule(aligned, "buffers that are not aligned to their numbers")
        context = self._here()
        loaded.sent += 1

        def compute(frame_bytes: bytes) -> bytes:
            number, self.steps = self.steps, self.steps + 1
            self.log.add("compute", number, ends=False)
            if number == self.stuck_at:
                self._stuck.wait()
            if number == self.fault_at:
                self._handlers[context](stream, Fault(7007), None)
            shape = self.shape
            if self.channels_last:
                shape = (shape[1], shape[2], shape[0])
            frame = np.frombuffer(frame_bytes, _DTYPES[self.dtype]).reshape(shape)
            if self.channels_last:
                frame = frame.transpose(2, 0, 1)
            output = loaded.network.step(frame).astype(_DTYPES[self.out_dtype])
            self.log.add("compute", number, ends=True)
            return bytes(output.tobytes())

        there.put(lambda: loaded.give(Step(region, made, compute)))

    def _lyn_model_recv_output_async(self, stream: int, model: int) -> None:
        there, loaded = self._thing(stream, "stream"), self._thing(model, "model")
        loaded.received += 1
        self._rule(loaded.received <= loaded.sent, "an output was received before it was asked for")
        context = self._here()

        def receive() -> None:
            made, output = loaded.made.get(timeout=PATIENCE_S)
            self._current[threading.get_ident()] = context
            self._region(made, len(output))[:] = output

        there.put(receive)

    def _lyn_record_event(self, stream: int, event: int) -> None:
        there, reached = self._thing(stream, "stream"), threading.Event()
        self._thing(event, "event").append(reached)
        there.put(reached.set)

    def _lyn_stream_wait_event(self, stream: int, event: int) -> None:
        records = self._thing(event, "event")
        self._rule(bool(records), "a wait for an event that nothing records")
        reached = records[-1]
        self._thing(stream, "stream").put(lambda: reached.wait(PATIENCE_S))

    def _lyn_stream_add_callback(self, stream: int, callback: Any, parameters: Any) -> None:
        def call() -> None:
            if callback(parameters) != 0:
                self.broken.append("a callback did not return 0")

        self._thing(stream, "stream").put(call)

    def _lyn_synchronize_stream(self, stream: int) -> None:
        done = threading.Event()
        self._thing(stream, "stream").put(bool, then=done.set)
        self._rule(done.wait(PATIENCE_S), "a stream was waited for that never ends")


class Unplugged(ChipDouble):
    """Fails at a step, once: a file remembers it, since processes are begun anew.

    Args:
        mark: The file.
        at: Which step.
    """

    def __init__(self, mark: Path, at: int, **options: Any) -> None:
        super().__init__(**options)
        self._mark, self._at = mark, at

    def _lyn_model_send_input_async(self, *arguments: Any) -> None:
        if self._counts["lyn_model_send_input_async"] > self._at and not self._mark.exists():
            self._mark.touch()
            raise OSError("the board does not answer")
        super()._lyn_model_send_input_async(*arguments)


_PLAIN = frozenset({"lyn_addr_seek", "lyn_numpy_to_ptr"})
"""Calls that give no error code."""
_WITH_VALUE = frozenset(
    {
        "lyn_get_device_count",
        "lyn_create_context",
        "lyn_create_stream",
        "lyn_create_event",
        "lyn_load_model",
        "lyn_model_get_desc",
        "lyn_malloc",
    }
)
