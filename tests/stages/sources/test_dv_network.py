"""DV over the network: what dv-processing's own writer sends, from another process, arrives."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from live import Playing, kinds
from senders import free_port, sender

from pipeline.errors import DeviceError
from pipeline.messages import Start
from pipeline.stage import PortError
from recordings import some_events, write_recording
from stages.sources import dv_network
from stages.sources.capture import NotThere
from stages.sources.dv_network import DvNetwork, DvNetworkConfig


def network(**options: Any) -> DvNetwork:
    return DvNetwork("camera", DvNetworkConfig(**options))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("network") / "some.aedat4", some_events())


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "ZSTD"])
def test_every_event_arrives_over_tcp(recording: Path, compression: str) -> None:
    port = free_port()
    arguments = ["--port", port, "--speed", 0, "--compression", compression]
    with (
        sender(recording, *arguments),
        Playing(network(port=port, on_lost="end")) as playing,
    ):
        playing.until_over()
        start = playing.headers[0]
        assert isinstance(start, Start)
        assert (start.width, start.height, start.source) == (128, 128, "test")
        assert playing.events.tobytes() == some_events().tobytes()
        assert (playing.account.taken, playing.account.refused) == (5000, {})


def test_every_event_arrives_over_a_unix_socket(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "camera.sock"
    with (
        sender(recording, "--path", path, "--speed", 0),
        Playing(network(path=path, on_lost="end")) as playing,
    ):
        playing.until_over()
        assert playing.events.tobytes() == some_events().tobytes()


def test_a_sender_that_is_killed_and_started_again_is_survived(recording: Path) -> None:
    port = free_port()
    with Playing(network(port=port, wait=True)) as playing:
        with sender(recording, "--port", port, "--speed", 0, "--stay") as process:
            playing.until_events(5000)
            process.kill()
        playing.until(lambda playing: kinds(playing.messages).endswith("E0"))
        with sender(recording, "--port", port, "--speed", 0, "--stay"):
            playing.until_events(10_000)
        assert playing.notes["reconnections"] == 1
        starts = [header.epoch for header in playing.headers if isinstance(header, Start)]
        assert starts == [0, 1]
        assert playing.events.tobytes() == 2 * some_events().tobytes()


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """Make a certificate, its key, and the authority that has signed it."""
    authority, paths = trustme.CA(), [folder / f"{name}.pem" for name in ("chain", "key", "ca")]
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    parts = (chain, issued.private_key_pem.bytes(), authority.cert_pem.bytes())
    for path, part in zip(paths, parts, strict=True):
        path.write_bytes(part)
    return paths[0], paths[1], paths[2]


def test_every_event_arrives_over_tls(recording: Path, tmp_path: Path) -> None:
    chain, key, authority = certificates(tmp_path)
    port = free_port()
    options = {"port": port, "tls": True, "certificate": chain, "key": key, "authority": authority}
    with (
        sender(recording, "--port", port, "--speed", 0, "--tls", chain, key, authority),
        Playing(network(on_lost="end", **options)) as playing,
    ):
        playing.until_over()
        assert playing.events.tobytes() == some_events().tobytes()


def test_nobody_there_is_one_clear_error() -> None:
    port = free_port()
    with pytest.raises(DeviceError) as caught:
        network(port=port).connect()
    assert str(caught.value) == (
        f"127.0.0.1:{port}: no connection: Connection refused; start the sender"
    )


def test_a_sender_without_tls_is_told_from_one_that_is_not_there() -> None:
    said = b"\x10\0\0\0\0\0\0\0IOHE........"
    with server(said) as port, pytest.raises(DeviceError) as caught:
        network(port=port, tls=True).connect()
    assert str(caught.value) == f"127.0.0.1:{port}: does not use TLS; set tls = false"
    assert not isinstance(caught.value, NotThere)


def test_a_certificate_that_is_not_the_authoritys_is_refused(
    recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    chain, key, authority = certificates(tmp_path)
    *_, other = certificates(tmp_path / "other")
    port = free_port()
    options = {"port": port, "tls": True, "certificate": chain, "key": key, "authority": other}
    with (
        sender(recording, "--port", port, "--tls", chain, key, authority),
        pytest.raises(DeviceError, match=r"its certificate is refused: .*; check authority"),
    ):
        network(**options).connect()


def test_a_host_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(NotThere) as caught:
        network(address="nohost", port=7).connect()
    assert str(caught.value) == "nohost:7: no connection: Name or service not known; check address"


def test_no_socket_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"none: no connection: No such file or directory; start"):
        network(path=tmp_path / "none").connect()


@contextmanager
def server(*says: bytes) -> Iterator[int]:
    """Something else that listens: it says its words to whoever connects, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                for words in says:
                    connection.sendall(words)
                if not says:
                    connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not send what DV does: it begins with b'HTTP"),
        (b"\x10\0\0\0\0\0\0\0NOPE........", "does not send what DV does: is marked b'NOPE'"),
        (b"\x10\0\0", "the sender closed the connection, at once; check address and port, and tls"),
    ],
)
def test_another_server_is_refused(says: bytes, message: str) -> None:
    with server(says) as port, pytest.raises(DeviceError, match=message):
        network(port=port).connect()


def test_a_silent_server_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dv_network, "_CONNECT_S", 0.05)
    with server() as port, pytest.raises(DeviceError, match="accepts connections and sends noth"):
        network(port=port).connect()


def heading(recording: Path) -> bytes:
    """What a sender says first: the header of a recording, without its magic."""
    content = recording.read_bytes()[14:]
    return content[: 4 + int.from_bytes(content[:4], "little")]


@pytest.mark.parametrize("on_damage", ["drop", "raise"])
def test_a_damaged_packet_is_left_out_and_counted(recording: Path, on_damage: str) -> None:
    packet = b"\0\0\0\0" + b"\x08\0\0\0" + b"nonsense"
    with server(heading(recording), packet, packet) as port:
        options = {"port": port, "on_lost": "end", "on_damage": on_damage}
        with Playing(network(**options)) as playing:
            if on_damage == "raise":
                with pytest.raises(DeviceError, match=r"sent damaged data: .*; set on_damage"):
                    playing.until_over()
            else:
                playing.until_over()
                assert playing.notes == {"damaged places": 2}


def test_where_the_next_packet_begins_must_be_known(recording: Path) -> None:
    with (
        server(heading(recording), b"\0\0\0\0\xff\xff\xff\xff") as port,
        Playing(network(port=port, on_lost="end")) as playing,
    ):
        playing.until_over()
        assert playing.notes == {"damaged places": 1}


def test_a_packet_that_is_cut_off_is_told(recording: Path) -> None:
    with (
        server(heading(recording), b"\0\0\0\0\x40\0\0\0half") as port,
        Playing(network(port=port, on_lost="end")) as playing,
    ):
        playing.until_over()
        assert playing.notes == {"damaged places": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "is required; or give path, for a UNIX socket"),
        ({"port": 1, "path": Path("x")}, "must not be given together with port; leave one out"),
        ({"port": 1, "tls": True, "authority": Path("x")}, "x: no such file; check the path"),
        ({"port": 1, "tls": True, "key": Path("x")}, "certificate and key must be given together"),
        ({"port": 1, "authority": Path("x")}, "must be true for a certificate or an authority"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PortError, match=message):
        network(**options).port()
