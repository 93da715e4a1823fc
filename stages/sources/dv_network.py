"""Events from DV, or anything that uses dv-processing's `NetworkWriter`, over TCP, TLS or UNIX.

Source: the bytes that dv-processing 2.0's `NetworkWriter` sends, which are those of an AEDAT 4.0
file without its magic: the header as a size-prefixed FlatBuffer ``IOHE``, then packets of stream
and size (int32 each) and a compressed FlatBuffer, ``EVTS`` for events. The client sends nothing.

We read it ourselves and not with dv-processing's `NetworkReader`, which was measured (2.0.4) to
hold Python's lock while it connects, for ever if the other end is silent, and to lose packets
without a word when more than 1000 of them wait.
"""

import io
import socket
import ssl
import struct
from contextlib import suppress

import numpy as np
from pydantic import Field

from pipeline.config import FilePath
from pipeline.errors import DeviceError
from pipeline.events import EVENT, EventArray, concatenate_events, empty_events
from pipeline.ports import EventsPort
from pipeline.stage import PortError
from stages.formats.aedat.aedat4_header import MAGIC, Stream, read_header
from stages.formats.aedat.compression import decompressor
from stages.formats.aedat.flatbuffer import root_table
from stages.formats.notes import DAMAGED_PLACES
from stages.sources.capture import Device, Lost, NotThere
from stages.sources.live import ConnectionConfig, LiveSource

__all__ = ["DvNetwork", "DvNetworkConfig"]

_CONNECT_S = 5.0
_READ_S = 0.005
_READ_BYTES = 1 << 20
_PACKET_HEADER = struct.Struct("<ii")
_LARGEST_PACKET_BYTES = 1 << 28
_LARGEST_HEADER_BYTES = 1 << 20
_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
"""What OpenSSL, by its version, makes of an answer that is no TLS."""
# A peer that has vanished without a word is noticed after about 11 s.
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}


class DvNetworkConfig(ConnectionConfig):
    """Options of `dv_network`: either ``port`` or ``path``."""

    address: str = Field("127.0.0.1", min_length=1)
    """Name or address of the machine that sends."""
    port: int | None = Field(None, ge=1, le=65_535)
    """Its TCP port."""
    path: FilePath | None = None
    """Its UNIX socket."""
    tls: bool = False
    """Whether the connection is encrypted."""
    certificate: FilePath | None = None
    """Our own certificate chain, in PEM, where the sender asks for one."""
    key: FilePath | None = None
    """The private key of ``certificate``, in PEM."""
    authority: FilePath | None = None
    """Certificates, in PEM, of whom the sender's must be signed by; it is not checked without."""


class DvNetwork(LiveSource[DvNetworkConfig]):
    """Receive events from DV software: TCP, TLS or UNIX socket."""

    Config = DvNetworkConfig

    def port(self) -> EventsPort:
        """Check that the options say where to connect to."""
        config = self.config
        if config.port is None and config.path is None:
            raise PortError("port", "is required; or give path, for a UNIX socket")
        if config.port is not None and config.path is not None:
            raise PortError("path", "must not be given together with port; leave one out")
        if (config.key is None) != (config.certificate is None):
            raise PortError("key", "certificate and key must be given together")
        if not config.tls and (config.certificate or config.authority):
            raise PortError("tls", "must be true for a certificate or an authority to be used")
        for name in ("certificate", "key", "authority"):
            file = getattr(config, name)
            if file is not None and not file.is_file():
                raise PortError(name, f"{file}: no such file; check the path")
        return super().port()

    def connect(self) -> Device:
        """Connect and read the header."""
        config = self.config
        where = str(config.path) if config.path else f"{config.address}:{config.port}"
        try:
            connection = self._connected()
        except ssl.SSLCertVerificationError as error:
            raise DeviceError(
                f"{where}: its certificate is refused: {error.verify_message}; check authority"
            ) from None
        except ssl.SSLError as error:
            if error.reason in _NOT_TLS:
                raise DeviceError(f"{where}: does not use TLS; set tls = false") from None
            raise NotThere(
                f"{where}: no connection: TLS fails: {error.reason}; check certificate, key and the"
                " sender's own"
            ) from None
        except (socket.gaierror, UnicodeError) as error:
            raise NotThere(f"{where}: no connection: {_reason(error)}; check address") from None
        except OSError as error:
            raise NotThere(f"{where}: no connection: {_reason(error)}; start the sender") from None
        try:
            return _Connection(connection, where, raises=config.on_damage == "raise")
        except BaseException:
            connection.close()
            raise

    def _connected(self) -> socket.socket:
        config = self.config
        if config.path is not None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_CONNECT_S)
            try:
                connection.connect(str(config.path))
            except BaseException:
                connection.close()
                raise
        else:
            assert config.port is not None
            connection = socket.create_connection((config.address, config.port), _CONNECT_S)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):
                    connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if not config.tls:
            return connection
        try:
            return self._tls().wrap_socket(connection, server_hostname=config.address)
        except BaseException:
            connection.close()
            raise

    def _tls(self) -> ssl.SSLContext:
        config = self.config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # DV's certificates are made for a machine's address at best.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if config.authority is not None:
            context.load_verify_locations(config.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        if config.certificate is not None:
            context.load_cert_chain(config.certificate, config.key)
        return context


class _Connection(Device):
    """An open connection, behind its header."""

    def __init__(self, connection: socket.socket, where: str, raises: bool) -> None:
        super().__init__()
        self._socket = connection
        self._where = where
        self._raises = raises
        self._pending = bytearray()
        try:
            stream, compression = self._header()
        except ValueError as error:
            raise DeviceError(
                f"{where}: does not send what DV does: {error}; check address and port, and tls"
            ) from None
        except TimeoutError:
            raise NotThere(
                f"{where}: accepts connections and sends nothing; check address and port, and tls"
            ) from None
        except Lost as lost:
            raise NotThere(f"{lost}, at once; check address and port, and tls") from None
        self.width, self.height = stream.width, stream.height
        self.source = stream.source or where
        self._stream = stream.number
        self._decompress = decompressor(compression)
        self._socket.settimeout(_READ_S)

    def read(self) -> EventArray | None:
        """Return the events of all packets that are complete."""
        # The first may have come together with the header.
        parts = self._complete()
        if not parts:
            try:
                self._receive()
            except TimeoutError:
                return None
            parts = self._complete()
        # Even where there is none yet: what has come of a packet is not nothing.
        return concatenate_events(parts)

    def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):
            self._socket.close()

    def _header(self) -> tuple[Stream, str]:
        """Wait for the header; return the stream of events and the compression."""
        while len(self._pending) < 4 or len(self._pending) < 4 + self._header_bytes():
            if len(self._pending) >= 12 and self._pending[8:12] != b"IOHE":
                raise ValueError(f"it begins with {bytes(self._pending[:12])!r}")
            self._receive()
        size = 4 + self._header_bytes()
        header = read_header(io.BytesIO(MAGIC + bytes(self._pending[:size])))
        del self._pending[:size]
        streams = list(header.streams.values())
        for stream in streams:
            if stream.kind == "EVTS":
                if not stream.width or not stream.height:
                    raise ValueError("its header does not say how large the sensor is")
                return stream, header.compression
        kinds = ", ".join(f"{stream.name} ({stream.kind})" for stream in streams) or "nothing"
        raise ValueError(f"it sends {kinds} and no events")

    def _header_bytes(self) -> int:
        size = int.from_bytes(self._pending[:4], "little")
        if size > _LARGEST_HEADER_BYTES:
            raise ValueError(f"it begins with {bytes(self._pending[:12])!r}")
        return size

    def _receive(self) -> None:
        """Wait for bytes."""
        how = "the sender closed the connection"
        try:
            received = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            received, how = b"", _reason(error)
        if not received:
            self.notes[DAMAGED_PLACES] += bool(self._pending)
            raise Lost(f"{self._where}: {how}")
        self._pending += received

    def _complete(self) -> list[EventArray]:
        """Take the events of all complete packets off what was received."""
        parts = []
        while (packet := self._packet()) is not None:
            number, payload = packet
            if number != self._stream:
                continue
            try:
                parts.append(_events(self._decompress(payload)))
            except ValueError as error:
                self._damaged(str(error))
        return parts

    def _packet(self) -> tuple[int, bytes] | None:
        """Take a complete packet off what was received."""
        if len(self._pending) < _PACKET_HEADER.size:
            return None
        number, size = _PACKET_HEADER.unpack_from(self._pending)
        if not 0 <= size <= _LARGEST_PACKET_BYTES:
            self._damaged(f"a packet of {size} bytes")
            raise Lost(f"{self._where}: where the next packet begins is not known")
        end = _PACKET_HEADER.size + size
        if len(self._pending) < end:
            return None
        payload = bytes(self._pending[_PACKET_HEADER.size : end])
        del self._pending[:end]
        return number, payload

    def _damaged(self, how: str) -> None:
        if self._raises:
            raise DeviceError(
                f'{self._where}: sent damaged data: {how}; set on_damage = "drop" to go on'
            )
        self.notes[DAMAGED_PLACES] += 1


def _events(packet: bytes) -> EventArray:
    first, count = root_table(packet, b"EVTS").vector(0, EVENT.itemsize)
    return np.frombuffer(packet, EVENT, count, first) if count else empty_events()


def _reason(error: Exception) -> str:
    """Say what an error is without its number and its file."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
