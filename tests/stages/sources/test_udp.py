"""UDP: SPIF's words over real sockets, with times and without, and what is none of them."""

import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live import Playing, kinds
from numpy.typing import NDArray
from pydantic import ValidationError
from senders import free_port

from pipeline.errors import DeviceError
from pipeline.events import EventArray, events_from_columns
from pipeline.messages import Start
from pipeline.ports import EventsPort
from recordings import some_events
from stages.sources import udp_kernel
from stages.sources.udp import Udp, UdpConfig


def source(**options: Any) -> Udp:
    return Udp("camera", UdpConfig(**{"size": (128, 128)} | options))


def encode(events: EventArray, times: bool) -> bytes:
    """A datagram, by Python alone."""
    words = []
    for t, x, y, p in events.tolist():
        words.append((0 if times else 1 << 31) | x << 16 | p << 15 | y)
        words += [t & 0xFFFF_FFFF] if times else []
    return struct.pack(f"<{len(words)}I", *words)


def decode(datagrams: list[bytes], arrived_us: list[int], last_us: int) -> tuple[Any, int, int]:
    """The slow twin of the kernel."""
    events, malformed = [], 0
    for datagram, arrived in zip(datagrams, arrived_us, strict=True):
        found, latest = [], last_us
        words = list(struct.unpack(f"<{len(datagram) // 4}I", datagram[: len(datagram) // 4 * 4]))
        whole = len(datagram) % 4 == 0
        while words:
            word, t = words.pop(0), arrived
            if not word >> 31:
                if not words:
                    whole = False
                    break
                low = words.pop(0)
                base = low if latest == udp_kernel.NO_TIME_YET else latest
                latest = base + (low - base + (1 << 31)) % (1 << 32) - (1 << 31)
                t = latest
            found.append((t, word >> 16 & 0x7FFF, word & 0x7FFF, word >> 15 & 1))
        if whole:
            events += found
            last_us = latest
        else:
            malformed += 1
    return events, last_us, malformed


def run_kernel(
    datagrams: list[bytes], arrived_us: list[int], last_us: int
) -> tuple[NDArray[np.int64], int, int]:
    padded = b"".join(each + bytes(-len(each) % 4) for each in datagrams)
    words = np.frombuffer(padded, "<u4")
    out = np.zeros((len(words), 2), np.int64)
    lengths = np.array([len(each) for each in datagrams], np.int64)
    arrived = np.array(arrived_us, np.int64)
    count, last_us, malformed = udp_kernel.decode(words, lengths, arrived, last_us, out)
    return out[:count], last_us, malformed


@given(
    datagrams=st.lists(st.binary(max_size=40), max_size=6),
    last_us=st.one_of(st.just(udp_kernel.NO_TIME_YET), st.integers(0, 1 << 40)),
)
def test_the_kernel_equals_its_slow_twin(datagrams: list[bytes], last_us: int) -> None:
    arrived = [1000 * k for k in range(len(datagrams))]
    out, last, malformed = run_kernel(datagrams, arrived, last_us)
    events = [(t, w & 0xFFFF, w >> 16 & 0xFFFF, w >> 32) for t, w in out.tolist()]
    assert (events, last, malformed) == decode(datagrams, arrived, last_us)


def test_a_known_datagram() -> None:
    """As AEStream 0.6.4 sends it: a word 0x80C0806A, and the same event with its time."""
    out, _, _ = run_kernel(
        [bytes.fromhex("6a80c080"), bytes.fromhex("6a80c0005d2a4564")], [77, 0], 0
    )
    assert out.tolist() == [
        [77, 192 | 106 << 16 | 1 << 32],
        [0x64452A5D, 192 | 106 << 16 | 1 << 32],
    ]


def test_time_is_unrolled() -> None:
    times = [2**32 - 10, 2**32 + 5, 2**32 + 3, 2**32 + 2**31]
    sent = events_from_columns(times, [1] * 4, [1] * 4, [1] * 4)
    out, last, _ = run_kernel([encode(sent, times=True)], [0], udp_kernel.NO_TIME_YET)
    assert out[:, 0].tolist() == times
    assert last == times[-1]


@contextmanager
def listening(**options: Any) -> Iterator[tuple[Playing, "socket.socket"]]:
    """A source that is being played, and a socket to send to it with."""
    with Playing(source(**options)) as playing, socket.socket(type=socket.SOCK_DGRAM) as out:
        playing.until(lambda playing: bool(playing.messages))
        out.connect(("127.0.0.1", options["port"]))
        yield playing, out


def test_events_with_times_arrive_as_they_were() -> None:
    sent = some_events(2000)
    sent["t"] -= sent["t"][0] - 5
    with listening(port=free_port(socket.SOCK_DGRAM)) as (playing, out):
        for begin in range(0, 2000, 64):
            out.send(encode(sent[begin : begin + 64], times=True))
        playing.until_events(2000)
        start = playing.headers[0]
        assert isinstance(start, Start)
        assert (start.width, start.height) == (128, 128)
        assert playing.events.tobytes() == sent.tobytes()
        assert (playing.account.taken, playing.account.refused) == (2000, {})


def test_events_without_times_are_dated_on_arrival() -> None:
    sent = some_events(256)
    with listening(port=free_port(socket.SOCK_DGRAM)) as (playing, out):
        out.send(encode(sent[:128], times=False))
        playing.until_events(128)
        out.send(encode(sent[128:], times=False))
        playing.until_events(256)
    for name in "xyp":
        np.testing.assert_array_equal(playing.events[name], sent[name])
    times = playing.events["t"]
    assert len(np.unique(times)) == 2
    assert 0 < times[-1] - times[0] < 20_000_000


def test_what_is_no_datagram_of_spif_is_counted() -> None:
    good = events_from_columns([10, 11], [1, 2], [3, 4], [0, 1])
    with listening(port=free_port(socket.SOCK_DGRAM)) as (playing, out):
        out.send(b"odd length")
        out.send(encode(good, times=True)[:-4])
        out.send(b"")
        out.send(encode(good, times=True))
        playing.until_events(2)
        assert playing.events.tobytes() == good.tobytes()
        assert playing.notes == {"damaged places": 2}


def test_a_malformed_datagram_may_end_the_run() -> None:
    with listening(port=free_port(socket.SOCK_DGRAM), on_damage="raise") as (playing, out):
        out.send(b"odd length")
        with pytest.raises(DeviceError, match="1 of the last 1 datagrams are none of SPIF's"):
            playing.until_over()


def test_a_sender_that_starts_again_begins_another_recording() -> None:
    with listening(port=free_port(socket.SOCK_DGRAM)) as (playing, out):
        out.send(encode(events_from_columns([9_000_000], [1], [1], [1]), times=True))
        playing.until_events(1)
        out.send(encode(events_from_columns([3], [1], [1], [1]), times=True))
        playing.until_events(2)
        assert kinds(playing.messages).replace(" w", "") == "S0 1 E0 S1 1"


def test_datagrams_that_the_system_had_no_room_for_are_told() -> None:
    """Sent while nobody reads, more than any system's buffer holds."""
    port = free_port(socket.SOCK_DGRAM)
    large = encode(some_events(15_000), times=False)
    received = 0
    with (
        closing(source(port=port).connect()) as device,
        socket.socket(type=socket.SOCK_DGRAM) as out,
    ):
        out.connect(("127.0.0.1", port))
        for count in (600, 1):
            for _ in range(count):
                out.send(large)
            while (part := device.read()) is not None:
                received += len(part) // 15_000
        lost = 601 - received
        assert lost > 0
        assert device.notes["datagrams lost by the system"] == lost


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(DeviceError) as caught:
            source(port=port).connect()
    assert str(caught.value) == (
        f"127.0.0.1:{port}: cannot be listened at: Address already in use; choose another port,"
        " or an address of this machine"
    )


def test_the_size_is_known_before_a_run() -> None:
    assert source(size=(240, 320)).port() == EventsPort(320, 240, live=True)
    for side in (0, 32_769):
        with pytest.raises(ValidationError, match=r"size\.0"):
            source(size=(side, 320))
