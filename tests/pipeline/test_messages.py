"""Messages: every kind survives the wire, and nothing malformed gets past the decoder."""

import pickle
from typing import Any

import msgspec
import numpy as np
import pytest
from doubles import end_stream, events, predictions, start
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline import messages
from pipeline.errors import WireError
from pipeline.events import EVENT, LARGEST_SIDE_PX
from pipeline.messages import (
    Barrier,
    Clock,
    Data,
    EndRecording,
    EndStream,
    Events,
    Frames,
    Header,
    Message,
    Outputs,
    Predictions,
    Reset,
    Span,
    Start,
    Windows,
    control,
    data,
    decode,
    encode,
)

int64 = st.integers(-(2**63), 2**63 - 1)
maybe = st.none() | int64
sides = st.integers(1, LARGEST_SIDE_PX)
common = {"stream": st.text(max_size=8), "epoch": st.integers(0, 9), "seq": st.integers(0, 2**62)}
times = {"t_first_us": int64, "t_last_us": int64}
clocks = st.builds(Clock, t_us=int64, at_ns=int64, speed=st.floats(0.01, 100))
controls = st.one_of(
    st.builds(Start, **common, width=sides, height=sides, t_first_us=maybe, clock=clocks),
    st.builds(Reset, **common),
    st.builds(Barrier, **common, checkpoint=st.integers(0, 2**63 - 1)),
    st.builds(EndRecording, **common),
    st.builds(EndStream, **common),
).map(control)


def windows(count: int) -> st.SearchStrategy[Windows]:
    last = st.lists(maybe, min_size=count, max_size=count).map(tuple)
    spans = st.lists(st.tuples(int64, int64), min_size=count, max_size=count).map(tuple)
    return st.builds(
        Windows,
        *[int64] * 4,
        last_event_us=last,
        partial=st.booleans(),
        spans_us=st.none() | spans,
    )


@st.composite
def data_messages(draw: st.DrawFn) -> Message:
    """A message of any kind with an array, of any dtype that the kind has, empty or not."""
    kinds: list[type[Data]] = [Events, Frames, Outputs, Predictions]
    kind = draw(st.sampled_from(kinds))
    count = draw(st.integers(0, 4))
    fields: dict[str, Any] = {k: draw(v) for k, v in (common | times).items()}
    if kind is Events:
        array = np.frombuffer(draw(st.binary(min_size=16 * count, max_size=16 * count)), EVENT)
        return data(Events, array, watermark_us=draw(int64), **fields)
    shape: tuple[int, ...]
    if kind is Frames:
        dtype, shape = draw(st.sampled_from(["u1", "u2", "u4", "i1", "i2", "f4"])), (count, 2, 3, 4)
    else:
        dtype, shape = draw(st.sampled_from(["f2", "f4", "f8", "i8"])), (count, 5)
    if kind is Predictions:
        spans = st.builds(Span, *[int64] * 4, last_event_us=maybe, partial=st.booleans())
        fields["spans"] = tuple(draw(st.lists(spans, min_size=count, max_size=count)))
        fields |= {"by": draw(st.text(max_size=5)), "classes": ("a", "b", "c", "d", "é")}
    else:
        fields["windows"] = draw(windows(count))
    return data(kind, draw(hnp.arrays(np.dtype("<" + dtype), shape)), **fields)


@given(controls | data_messages())
def test_every_message_survives_the_wire(message: Message) -> None:
    header_bytes, buffer = encode(message)
    again = decode(header_bytes, bytes(buffer))
    assert again.header == message.header
    assert type(again.header) is type(message.header)
    assert again.array.dtype == message.array.dtype
    assert again.array.shape == message.array.shape
    assert again.array.tobytes() == message.array.tobytes()
    assert not again.array.flags.writeable


def test_neither_encoding_nor_decoding_copies_the_array() -> None:
    array = np.arange(24, dtype=np.uint16).reshape(1, 2, 3, 4)
    grid = Windows(0, 0, 10, 10, (None,))
    message = data(Frames, array, stream="s", t_first_us=0, t_last_us=9, windows=grid)
    _, buffer = encode(message)
    assert np.shares_memory(np.frombuffer(buffer, np.uint16), array)
    assert np.shares_memory(decode(*encode(message)).array, array)


def test_an_array_that_is_not_contiguous_is_sent_in_c_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    grid = Windows(0, 0, 10, 10, (None,) * 3)
    message = data(Outputs, array, stream="s", t_first_us=0, t_last_us=9, windows=grid)
    assert decode(*encode(message)).array.tolist() == array.tolist()


def test_the_array_of_a_message_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        events(2).array["t"] = 5


def test_a_dtype_without_a_name_is_refused() -> None:
    with pytest.raises(WireError, match="dtype complex128 cannot be sent; known are event, u1"):
        data(Outputs, np.zeros((1, 2), complex), stream="s", t_first_us=0, t_last_us=0)


def test_an_array_that_no_receiver_takes_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_BUFFER_BYTES", 47)
    with pytest.raises(WireError, match="array of 48 bytes, allowed are 47; send it in parts"):
        encode(events(3))


def test_a_header_that_no_receiver_takes_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_HEADER_BYTES", 10)
    with pytest.raises(WireError, match="allowed are 10; send fewer windows or predictions"):
        encode(start())


def test_nothing_is_pickled() -> None:
    """The header is plain MessagePack: lists, numbers and texts, the kind and version first."""
    header_bytes, _ = encode(events(2))
    plain = msgspec.msgpack.decode(header_bytes)
    assert plain[:2] == ["events/1", "cam"]
    assert plain[-3:] == [[2], "event", 1]
    with pytest.raises(WireError):
        decode(pickle.dumps(start().header), b"")


def altered(message: Message, **fields: Any) -> bytes:
    """A header with some of its fields changed, as no sender of ours would write it."""
    return messages._encoder.encode(msgspec.structs.replace(message.header, **fields))


def refusal(header_bytes: bytes, buffer: bytes | memoryview) -> str:
    with pytest.raises(WireError) as caught:
        decode(header_bytes, buffer)
    return str(caught.value)


@pytest.mark.parametrize("tag", ["events/2", "eventz/1", ""])
def test_an_unknown_kind_or_version_is_refused_by_name(tag: str) -> None:
    header_bytes, buffer = encode(events(1))
    plain = [tag, *msgspec.msgpack.decode(header_bytes)[1:]]
    text = refusal(msgspec.msgpack.encode(plain), buffer)
    assert f"'{tag}'" in text
    assert text.endswith("do both ends run the same version?")


@pytest.mark.parametrize(
    "header_bytes",
    [b"", b"\x00", b"\xc1", b"garbage", b"\x91" * 10_000, b"\x92\xa7reset/1\xa2\xff\xfe"],
    ids=["empty", "number", "never used", "text", "deep", "not UTF-8"],
)
def test_a_header_of_garbage_is_refused(header_bytes: bytes) -> None:
    assert refusal(header_bytes, b"").startswith("message header not understood (")


def test_what_a_peer_sent_is_told_in_one_short_line() -> None:
    for tag in ("events/1\n\x1b[2Jall is well", "é" * 100_000):
        text = refusal(msgspec.msgpack.encode([tag, "cam"]), b"")
        assert text.isprintable()
        assert len(text) < 400
    for fields in ({"dtype": "\r" * 100_000}, {"shape": (7,) * 10_000}):
        text = refusal(altered(events(1), **fields), b"")
        assert text.isprintable()
        assert len(text) < 400


def test_what_a_later_version_appends_is_skipped_but_not_to_any_depth() -> None:
    plain = msgspec.msgpack.decode(encode(end_stream())[0])
    longer = msgspec.msgpack.encode([*plain, 1, "more"])
    assert decode(longer, b"").header == end_stream().header
    deep = b"\x97" + b"".join(map(msgspec.msgpack.encode, plain)) + b"\x91" * 100_000
    assert "recursion" in refusal(deep, b"")


def test_a_size_that_is_announced_takes_no_memory() -> None:
    spans_of_4_billion = encode(predictions([]))[0][:-1] + b"\xdd\xff\xff\xff\xff"
    assert "truncated" in refusal(spans_of_4_billion, b"")


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (events(1), {"t_first_us": 2**63}),
        (events(1), {"epoch": -1}),
        (start(), {"width": 0}),
        (start(), {"height": LARGEST_SIDE_PX + 1}),
        (start(), {"clock": Clock(0, 0, 0.0)}),
        (start(), {"clock": Clock(0, 0, float("nan"))}),
        (predictions([5]), {"spans": (Span(2**63, 0, 1, 1),)}),
        (start(), {"t_first_us": 2**63}),
    ],
)
def test_a_number_that_cannot_be_is_refused(message: Message, fields: dict[str, Any]) -> None:
    text = refusal(altered(message, **fields), encode(message)[1])
    assert text.startswith("message header not understood (Expected ")


def test_a_header_out_of_all_proportion_is_refused() -> None:
    text = refusal(bytes(messages.MAX_HEADER_BYTES + 1), b"")
    assert text == "message header of 1048577 bytes, allowed are 1048576"


@pytest.mark.parametrize("size", [0, 31, 33, 48])
def test_a_buffer_of_another_size_than_announced_is_refused(size: int) -> None:
    header_bytes, _ = encode(events(2))
    expected = f"shape (2,) of event needs 32 bytes, the buffer has {size}"
    assert refusal(header_bytes, bytes(size)) == expected


def test_a_control_message_has_no_buffer() -> None:
    assert refusal(encode(start())[0], b"abc") == "control message with a buffer of 3 bytes"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"dtype": "O"},
            "dtype 'O' is unknown; known are event, u1, u2, u4, i1, i2, i4, i8, f2, f4, f8",
        ),
        ({"dtype": "u1"}, "events must be records, got u1"),
        ({"shape": ()}, "shape () is not that of an array"),
        ({"shape": (-2,)}, "shape (-2,) is not that of an array"),
        ({"shape": (-1, -2)}, "shape (-1, -2) is not that of an array"),
        ({"shape": (1,) * 65}, "is not that of an array"),
        ({"shape": (2, 1)}, "Events must have 1 axes, got (2, 1)"),
        ({"shape": (2**32, 2**32)}, "is larger than a message may be"),
        ({"shape": (2**63, 2)}, "is larger than a message may be"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(fields: dict[str, Any], text: str) -> None:
    shape = {"shape": (32,)} if fields == {"dtype": "u1"} else {}
    assert text in refusal(altered(events(2), **fields, **shape), bytes(32))


@pytest.mark.parametrize("shape", [(0, 2**62, 2**62), (0, 2**63), (0,) * 65])
def test_a_shape_without_elements_is_held_to_the_same_bounds(shape: tuple[int, ...]) -> None:
    refusal(altered(predictions([]), shape=shape), b"")


def test_rows_and_spans_must_be_equally_many() -> None:
    message = predictions([5, 6])
    assert isinstance(message.header, Predictions)
    text = refusal(altered(message, spans=message.header.spans[:1]), message.array.tobytes())
    assert text == "1 windows or spans announced for 2 rows"


@given(data_messages() | controls, st.data())
def test_the_decoder_raises_nothing_but_wire_errors(
    message: Message, choose: st.DataObject
) -> None:
    header, buffer = (bytearray(part) for part in encode(message))
    for part in (header, buffer):
        for _ in range(choose.draw(st.integers(0, 3))):
            if part:
                place = choose.draw(st.integers(0, len(part) - 1))
                part[place] = choose.draw(st.integers(0, 255))
        if choose.draw(st.booleans()):
            del part[choose.draw(st.integers(0, len(part))) :]
    try:
        again = decode(bytes(header), bytes(buffer))
    except WireError:
        return
    assert isinstance(again.header, Data) or not again.array.size


@given(st.binary(max_size=60), st.binary(max_size=40))
def test_any_bytes_are_decoded_or_refused(header: bytes, buffer: bytes) -> None:
    try:
        message = decode(header, buffer)
    except WireError:
        return
    assert isinstance(message.header, Header)


def test_a_clock_tells_when_an_event_is_due() -> None:
    clock = Clock(t_us=1_000, at_ns=5_000_000, speed=2.0)
    assert clock.due_ns(1_000) == 5_000_000
    assert clock.due_ns(3_000) == 6_000_000


def test_windows_know_their_spans() -> None:
    grid = Windows(first=7, start_us=100, length_us=20, step_us=10, last_event_us=(None, 115))
    assert len(grid) == 2
    assert [grid.span_us(k) for k in range(2)] == [(100, 120), (110, 130)]
    by_count = Windows(7, 100, 0, 0, (104, 160), spans_us=((100, 105), (104, 161)))
    assert [by_count.span_us(k) for k in range(2)] == [(100, 105), (104, 161)]


def test_each_window_has_a_span_where_spans_are_told() -> None:
    grid = Windows(0, 0, 0, 0, (None,) * 2, spans_us=((0, 5),))
    array = np.zeros((2, 1, 1, 1), np.uint8)
    message = data(Frames, array, stream="s", t_first_us=0, t_last_us=9, windows=grid)
    assert refusal(*encode(message)) == "1 spans announced for 2 windows"


def test_the_windows_of_a_grid_are_short_on_the_wire() -> None:
    grid = msgspec.msgpack.encode(Windows(7, 100, 20, 10, (None, 115), partial=True))
    assert len(grid) == 11
