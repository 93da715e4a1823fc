"""Messages: what travels between stages, and how it looks on the wire.

A message is a header and a raw buffer. The header is a msgspec struct, encoded as a MessagePack
array whose first element names kind and version (``"events/1"``); nothing is ever pickled, and a
decoder that meets a kind it does not know refuses it by name. The buffer is the array's memory in
C order. Control messages travel in the same queues, in order, with an empty buffer.

Arrays of decoded messages are read-only views of the received buffer: a stage that wants to write
makes its own array.
"""

import math
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WireError
from pipeline.events import EVENT, LARGEST_SIDE_PX

__all__ = [
    "MAX_BUFFER_BYTES",
    "MAX_HEADER_BYTES",
    "AnyHeader",
    "Barrier",
    "Clock",
    "Data",
    "EndRecording",
    "EndStream",
    "Events",
    "Frames",
    "Header",
    "Message",
    "Outputs",
    "Predictions",
    "Reset",
    "Retime",
    "Shed",
    "Span",
    "Start",
    "Windows",
    "control",
    "data",
    "decode",
    "encode",
]

MAX_HEADER_BYTES = 1 << 20
MAX_BUFFER_BYTES = 1 << 28
_MAX_AXES = 8
_SHOWN = 160

# Held to by the decoder: MessagePack has larger numbers than any array of ours.
_Int: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Side: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SIDE_PX)]
_Speed: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]


class Clock(msgspec.Struct, frozen=True, array_like=True):
    """Ties event time to the host's monotonic clock while a source is paced.

    Event time ``t_us`` was due at ``at_ns`` (``time.monotonic_ns``), and time passes ``speed``
    times as fast as it did when the events were recorded.
    """

    t_us: _Int
    at_ns: _Int
    speed: _Speed

    def due_ns(self, t_us: int) -> int:
        """Return the monotonic time in ns at which event time ``t_us`` is due."""
        return self.at_ns + round((t_us - self.t_us) * 1000 / self.speed)


class Windows(msgspec.Struct, frozen=True, array_like=True):
    """A run of consecutive windows.

    Those of a grid of time follow each other regularly: window ``first + k`` covers
    ``[start_us + k·step_us, start_us + k·step_us + length_us)``. Those that form no grid have their
    spans told one by one, and their length and step are 0.
    """

    first: _Int
    start_us: _Int
    length_us: _Int
    step_us: _Int
    last_event_us: tuple[_Int | None, ...]
    """For each window the time of its last event, or None where it is empty."""
    partial: bool = False
    """The last window of the run was closed by the end of the recording."""
    spans_us: tuple[tuple[_Int, _Int], ...] | None = None
    """Start and end of each window; None where they form a grid."""
    merged: tuple[_Count, ...] = ()
    """Of how many windows each was made, where overload has merged some; empty where none are."""

    def __len__(self) -> int:
        return len(self.last_event_us)

    def span_us(self, k: int) -> tuple[int, int]:
        """Return start and end of the k-th window of the run, in µs."""
        if self.spans_us is not None:
            return self.spans_us[k]
        start = self.start_us + k * self.step_us
        return start, start + self.length_us

    def number(self, k: int) -> int:
        """Return the index in the recording of the k-th window of the run, the last merged."""
        return self.first + (sum(self.merged[: k + 1]) - 1 if self.merged else k)


class Shed(msgspec.Struct, frozen=True, array_like=True):
    """What overload took from a stream since the message before; see `pipeline.queue.backlog`."""

    events: _Count = 0
    windows: _Count = 0
    merged: _Count = 0
    """Windows that were merged into others."""
    predictions: _Count = 0

    def __add__(self, other: "Shed") -> "Shed":
        """Return both together."""
        return Shed(
            self.events + other.events,
            self.windows + other.windows,
            self.merged + other.merged,
            self.predictions + other.predictions,
        )


class Header(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", kw_only=True):
    """What every message carries. ``seq`` and ``born_ns`` are filled in by the runner.

    ``stream`` names the source, ``epoch`` counts its recordings, ``seq`` the messages of the
    sending stage; ``born_ns`` is the monotonic time at which the youngest message of events that
    this one was made of left the source, or, where events are live, its oldest event came in.
    ``shed``: what overload took before this message or out of it, None for nothing.
    """

    stream: str
    epoch: _Count = 0
    seq: _Count = 0
    born_ns: _Int = 0
    shed: Shed | None = None


class Data(Header, frozen=True, array_like=True, kw_only=True):
    """A header of a message with an array, whose first axis counts the message's units."""

    t_first_us: _Int
    t_last_us: _Int
    shape: tuple[int, ...]
    dtype: str

    @property
    def units(self) -> int:
        """Number of events, windows or predictions in the message."""
        return self.shape[0]


class Events(Data, frozen=True, array_like=True, kw_only=True, tag="events/1"):
    """Events in the order of their source; shape (events,), dtype `EVENT`.

    ``watermark_us``: no later message of this recording holds an event before this time, unless
    a live source has passed time on and a device then hands over what is older.
    """

    watermark_us: _Int


class Frames(Data, frozen=True, array_like=True, kw_only=True, tag="frames/1"):
    """What events make of each window; shape (windows, channels, height, width).

    Where polarities have channels of their own, channel 1 holds ON events. Counts are of the
    smallest integer dtype that holds those of this message; values that fade are float32.
    """

    windows: Windows


class Outputs(Data, frozen=True, array_like=True, kw_only=True, tag="outputs/1"):
    """A network's output for each time step; shape (windows, features)."""

    windows: Windows


class Span(msgspec.Struct, frozen=True, array_like=True):
    """The windows from which one prediction was made: ``steps`` of them, ``window`` the last."""

    window: _Int
    t_start_us: _Int
    t_end_us: _Int
    steps: _Int
    last_event_us: _Int | None = None
    partial: bool = False


class Predictions(Data, frozen=True, array_like=True, kw_only=True, tag="predictions/1"):
    """Class scores; shape (predictions, classes). Row i was made from ``spans[i]``.

    ``by`` names the stage that made them, ``classes`` the columns.
    """

    by: str
    classes: tuple[str, ...]
    spans: tuple[Span, ...]


class Start(Header, frozen=True, array_like=True, kw_only=True, tag="start/1"):
    """A recording starts: every stage begins from its initial state."""

    width: _Side
    height: _Side
    source: str
    t_first_us: _Int | None = None
    clock: Clock | None = None
    shift_us: _Int = 0
    """What was added to the recording's own times, as when it is played again."""
    live: bool = False
    """Whether its events come from a device, as they happen."""
    lost_events: _Count = 0
    """Of a device: events that came before it and were lost in a crash."""
    gap_us: _Count = 0
    """Of a device: for how long before it nobody listened, the run being interrupted."""


class Retime(Header, frozen=True, array_like=True, kw_only=True, tag="retime/1"):
    """A paced source was paused: from here on its events are due by another clock."""

    clock: Clock | None


class Reset(Header, frozen=True, array_like=True, kw_only=True, tag="reset/1"):
    """Membranes and everything else that a stage remembers return to their initial state."""


class Barrier(Header, frozen=True, array_like=True, kw_only=True, tag="barrier/1"):
    """A checkpoint passes: everything before it belongs to checkpoint ``checkpoint``."""

    checkpoint: _Count


class EndRecording(Header, frozen=True, array_like=True, kw_only=True, tag="end_recording/1"):
    """The recording is over: the open window is closed and marked partial."""


class EndStream(Header, frozen=True, array_like=True, kw_only=True, tag="end_stream/1"):
    """Nothing will follow."""


AnyHeader: TypeAlias = (
    Events
    | Frames
    | Outputs
    | Predictions
    | Start
    | Retime
    | Reset
    | Barrier
    | EndRecording
    | EndStream
)


class Message(NamedTuple):
    """A header and its array; the array of a control message is empty."""

    header: Header
    array: NDArray[Any]
    output: str = ""
    """By which side output its stage puts it out, "" for the main one; it is not sent along."""

    @property
    def is_control(self) -> bool:
        """Whether the message carries no data."""
        return not isinstance(self.header, Data)


_NOTHING: NDArray[Any] = np.empty(0, dtype=np.uint8)
_NOTHING.setflags(write=False)

_DTYPES: dict[str, np.dtype[Any]] = {
    "event": EVENT,
    **{
        name: np.dtype("<" + name)
        for name in ("u1", "u2", "u4", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
    },
}
_AXES: dict[type[Data], int] = {Events: 1, Frames: 4, Outputs: 2, Predictions: 2}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def control(header: Header) -> Message:
    """Make a control message."""
    return Message(header, _NOTHING)


def data(kind: type[Data], array: NDArray[Any], **fields: Any) -> Message:
    """Make a data message; shape and dtype of the header are taken from the array.

    Args:
        kind: the header class, `Events` to `Predictions`.
        array: contiguous, of a dtype that the wire knows; it must not be written to afterwards.
        fields: the other fields of the header.

    Raises:
        WireError: the array's dtype has no name on the wire.
    """
    name = _NAMES.get(array.dtype)
    if name is None:
        known = ", ".join(_DTYPES)
        raise WireError(f"an array of dtype {array.dtype} cannot be sent; known are {known}")
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return Message(kind(shape=array.shape, dtype=name, **fields), view)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyHeader)


def encode(message: Message) -> tuple[bytes, memoryview]:
    """Return header bytes and the array's own memory (no copy).

    Raises:
        WireError: the array or the header is larger than any receiver accepts.
    """
    array = message.array
    if array.nbytes > MAX_BUFFER_BYTES:
        raise WireError(
            f"array of {array.nbytes} bytes, allowed are {MAX_BUFFER_BYTES}; send it in parts"
        )
    # A structured dtype has no buffer format that memoryview can cast, its bytes do.
    buffer = array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
    header = _encoder.encode(message.header)
    if len(header) > MAX_HEADER_BYTES:
        raise WireError(
            f"message header of {len(header)} bytes, allowed are {MAX_HEADER_BYTES}; send fewer"
            " windows or predictions in a message"
        )
    return header, buffer


def decode(header_bytes: bytes | memoryview, buffer: bytes | memoryview) -> Message:
    """Rebuild a message; its array views ``buffer`` and is read-only.

    Raises:
        WireError: header too large, of an unknown kind or version, or at odds with the buffer.
    """
    if len(header_bytes) > MAX_HEADER_BYTES:
        raise WireError(
            f"message header of {len(header_bytes)} bytes, allowed are {MAX_HEADER_BYTES}"
        )
    try:
        header = _decoder.decode(header_bytes)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(
            f"message header not understood ({_shown(error)}); do both ends run the same version?"
        ) from error
    if not isinstance(header, Data):
        if len(buffer):
            raise WireError(f"control message with a buffer of {len(buffer)} bytes")
        return Message(header, _NOTHING)
    return Message(header, _array(header, buffer))


def _shown(what: object) -> str:
    """Return what a peer sent as text for an error: one line, short, nothing a terminal obeys."""
    text = str(what)
    text = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _rows(header: Data) -> int | None:
    if isinstance(header, Frames | Outputs):
        return len(header.windows)
    return len(header.spans) if isinstance(header, Predictions) else None


def _array(header: Data, buffer: bytes | memoryview) -> NDArray[Any]:
    dtype = _DTYPES.get(header.dtype)
    if dtype is None:
        raise WireError(
            f"dtype '{_shown(header.dtype)}' is unknown; known are {', '.join(_DTYPES)}"
        )
    if not 1 <= len(header.shape) <= _MAX_AXES or any(extent < 0 for extent in header.shape):
        raise WireError(f"shape {_shown(header.shape)} is not that of an array")
    rows = _rows(header)
    if rows is not None and rows != header.shape[0]:
        raise WireError(f"{rows} windows or spans announced for {header.shape[0]} rows")
    if isinstance(header, Frames | Outputs) and header.windows.spans_us is not None:
        spans = len(header.windows.spans_us)
        if spans != rows:
            raise WireError(f"{spans} spans announced for {rows} windows")
    if isinstance(header, Frames | Outputs) and len(header.windows.merged) not in (0, rows):
        raise WireError(f"{len(header.windows.merged)} mergers announced for {rows} windows")
    size = dtype.itemsize * math.prod(header.shape)
    # Numpy bounds the other extents even where one of them is 0.
    if dtype.itemsize * math.prod(extent or 1 for extent in header.shape) > MAX_BUFFER_BYTES:
        raise WireError(f"shape {header.shape} is larger than a message may be")
    if size != len(buffer):
        raise WireError(
            f"shape {header.shape} of {header.dtype} needs {size} bytes,"
            f" the buffer has {len(buffer)}"
        )
    if isinstance(header, Events) and header.dtype != "event":
        raise WireError(f"events must be records, got {header.dtype}")
    axes = _AXES.get(type(header), 1)
    if len(header.shape) != axes:
        raise WireError(f"{type(header).__name__} must have {axes} axes, got {header.shape}")
    if isinstance(header, Predictions) and header.shape[1] != len(header.classes):
        raise WireError(f"{len(header.classes)} classes announced for {header.shape[1]} columns")
    if size == 0:
        array: NDArray[Any] = np.empty(header.shape, dtype=dtype)
    else:
        array = np.frombuffer(buffer, dtype=dtype).reshape(header.shape)
    array.setflags(write=False)
    return array
