"""Events over UDP, as SpiNNaker's interface board (SPIF) takes them and AEStream sends them.

Source: the README of spiffer in SpiNNakerManchester/spif, AEStream's ``dvs_to_udp.cpp``, and the
bytes that AEStream 0.6.4 was seen to send. A datagram holds 32-bit words, little-endian:

    bit 31        0: a word with the time follows, 1: none does
    bits 30 to 16 x
    bit 15        polarity, 1 is ON
    bits 14 to 0  y

The time is the low 32 bits of µs, unrolled here. SPIF itself uses none, and AEStream sends none by
default: time is then when the datagram arrived, in µs of the monotonic clock. A datagram that
ends within a word, or before the time of an event, is malformed: counted, and left out whole.

AEStream's last datagram of a stream with times is twice as long as it should be, with old words at
its end; they go back in time and are treated so.
"""

import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from pydantic import Field

from pipeline.config import SensorSize
from pipeline.errors import DeviceError
from pipeline.events import EventArray, empty_events
from pipeline.ports import EventsPort
from stages.formats.notes import DAMAGED_PLACES
from stages.sources.capture import Device
from stages.sources.live import LiveConfig, LiveSource

__all__ = ["Udp", "UdpConfig"]

_READ_S = 0.005
_DATAGRAM_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 20
_DATAGRAMS = 1024
"""Read at once, at most, as far as the buffer goes."""
_SYSTEM_BUFFER_BYTES = 8 << 20
# Linux' SO_RXQ_OVFL, which Python does not name: how many were lost for want of room so far.
_LOST_COUNT = 40 if sys.platform == "linux" else None


class UdpConfig(LiveConfig):
    """Options of `udp`."""

    address: str = Field("127.0.0.1", min_length=1)
    """Address to listen at; ``0.0.0.0`` takes events from every machine."""
    port: int = Field(3333, ge=1, le=65_535)
    """Port to listen at; SPIF's own is the default."""
    size: SensorSize
    """(height, width) of the sensor, which the format does not tell."""


class Udp(LiveSource[UdpConfig]):
    """Receive events over UDP from AEStream, or from whatever sends to SPIF."""

    Config = UdpConfig

    def port(self) -> EventsPort:
        """Return events of the size given."""
        height, width = self.config.size
        return EventsPort(width, height, live=True)

    def connect(self) -> Device:
        """Listen."""
        return _Listener(self.config)


class _Listener(Device):
    """A bound socket."""

    def __init__(self, config: UdpConfig) -> None:
        super().__init__()
        self.height, self.width = config.size
        self._raises = config.on_damage == "raise"
        where = f"{config.address}:{config.port}"
        self.source = f"udp {where}"
        self._buffer = bytearray(_BUFFER_BYTES)
        # Loaded here, where nothing has come yet.
        from stages.sources import udp_kernel

        self._kernel = udp_kernel
        self._last_us = udp_kernel.NO_TIME_YET
        self._decode([], [])
        family = socket.AF_INET6 if ":" in config.address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SYSTEM_BUFFER_BYTES)
            if _LOST_COUNT is not None:
                self._socket.setsockopt(socket.SOL_SOCKET, _LOST_COUNT, 1)
            self._socket.bind((config.address, config.port))
        except OSError as error:
            self._socket.close()
            raise DeviceError(
                f"{where}: cannot be listened at: {error.strerror}; choose another port, or an"
                " address of this machine"
            ) from None

    def read(self) -> EventArray | None:
        """Wait for a datagram and take what else has come."""
        self._socket.settimeout(_READ_S)
        lengths: list[int] = []
        arrived_us: list[int] = []
        used = 0
        view = memoryview(self._buffer)
        try:
            while len(lengths) < _DATAGRAMS and used <= _BUFFER_BYTES - _DATAGRAM_BYTES:
                received, extra, _, _ = self._socket.recvmsg_into([view[used:]], 64)
                self._note_lost(extra)
                arrived_us.append(time.monotonic_ns() // 1000)
                lengths.append(received)
                used += received + -received % 4
                self._socket.settimeout(0)
        except (TimeoutError, BlockingIOError):
            if not lengths:
                return None
        return self._decode(lengths, arrived_us)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _decode(self, lengths: list[int], arrived_us: list[int]) -> EventArray:
        words = np.frombuffer(self._buffer, "<u4", sum((length + 3) // 4 for length in lengths))
        events = empty_events(len(words))
        count, self._last_us, malformed = self._kernel.decode(
            words,
            np.array(lengths, np.int64),
            np.array(arrived_us, np.int64),
            self._last_us,
            events.view(np.int64).reshape(-1, 2),
        )
        if malformed and self._raises:
            raise DeviceError(
                f"{self.source}: {malformed} of the last {len(lengths)} datagrams are none of"
                ' SPIF\'s; set on_damage = "drop" to leave such out'
            )
        self.notes[DAMAGED_PLACES] += malformed
        return events[:count]

    def _note_lost(self, extra: Sequence[tuple[int, int, bytes]]) -> None:
        for level, kind, content in extra:
            if (level, kind) == (socket.SOL_SOCKET, _LOST_COUNT):
                (self.notes["datagrams lost by the system"],) = struct.unpack("=I", content)
