"""Who may join a run for a host, what becomes of who leaves, and what is said where it fails."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from other_hosts import Host, free_port

from pipeline.errors import ConfigError, StageError
from pipeline.hosts.conversation import UNNUMBERED, Conversation
from pipeline.hosts.messages import Beat, Forgotten, Joined, Left, Refused, ToAgent, Welcome
from pipeline.hosts.others import Hosts, bindable
from pipeline.queue.guard import Guard
from pipeline.queue.keys import KeyPair

pytestmark = pytest.mark.timeout(60)

KEYS = {name: KeyPair.new() for name in ("home", "b", "c")}
PUBLIC = {name: pair.public for name, pair in KEYS.items()}
SOON_MS = 10_000


class Agent:
    """An agent that says what the test lets it say."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", port: int, key: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        guard = Guard(context, KEYS[key], lambda: PUBLIC, "")
        self._monitor = guard.connect(self.socket, "hosts", "home")
        self.socket.connect(f"tcp://127.0.0.1:{port}")
        self.talk = Conversation(self._send)

    def _send(self, frames: object) -> None:
        self.socket.send_multipart(frames)  # type: ignore[arg-type]

    def say(self, message: Joined | Beat) -> None:
        self._send((UNNUMBERED, msgspec.msgpack.encode(message)))

    def hear(self, hosts: Hosts) -> ToAgent:
        """The next that is no beat; home hears meanwhile."""
        for _ in range(SOON_MS // 10):
            hosts.read()
            if self.socket.poll(10):
                _, body = self.socket.recv_multipart()
                message = msgspec.msgpack.decode(body, type=ToAgent)
                if not isinstance(message, Beat):
                    return message  # type: ignore[no-any-return]
        raise AssertionError("home says nothing")

    def hear_on(self, hosts: Hosts) -> None:
        """Hear, and home too, until one of them raises."""
        while self.hear(hosts):
            pass

    def close(self) -> None:
        self.socket.close(0)
        self._monitor.close(0)


class Home:
    """The supervisor's end, and agents that come."""

    def __init__(self) -> None:
        self.port = free_port()
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.agents: list[Agent] = []
        self.hosts = Hosts(
            f"127.0.0.1:{self.port}",
            {"b": ["bins"], "c": ["net"]},
            {"stage.bins.window_us": 25_000},
            "1.0",
            lambda context: Guard(context, KEYS["home"], lambda: PUBLIC, ""),
            silent_s=10.0,
        )

    def agent(self, key: str) -> Agent:
        self.agents.append(Agent(self.context, self.port, key))
        return self.agents[-1]

    def close(self) -> None:
        for agent in self.agents:
            agent.close()
        self.hosts.close()
        self.context.term()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr("pipeline.hosts.others._HEARD_S", 0.0)  # nobody here would listen
    home = Home()
    yield home
    home.close()


def joined(host: str = "b", version: str = "1.0", window_us: int = 25_000) -> Joined:
    return Joined(host, version, {"stage.bins.window_us": window_us})


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (joined("d"), "no stage is on it; there are b, c"),
        (
            joined("c"),
            "its key is known as that of 'b'; let it in by its own name: pipeline keys allow c KEY",
        ),
        (joined(version="0.9"), "it runs version 0.9, and this is 1.0"),
        (joined(window_us=5), "stage.bins.window_us is 25000 here, and 5 there"),
    ],
)
def test_a_host_that_is_another_is_refused_by_name_on_both_sides(
    home: Home, capsys: pytest.CaptureFixture[str], word: Joined, why: str
) -> None:
    agent = home.agent("b")
    agent.say(word)
    assert agent.hear(home.hosts) == Refused(why)
    assert capsys.readouterr().err == f"host '{word.host}' may not join: {why}\n"
    assert home.hosts.missing == ["b", "c"]


def test_a_second_agent_waits_for_the_place_of_the_first(home: Home) -> None:
    first, second = home.agent("b"), home.agent("b")
    first.say(joined())
    assert first.hear(home.hosts) == Welcome()
    second.say(joined())
    assert second.hear(home.hosts) == Refused("it has joined already", ask_again=True)
    first.talk.say(msgspec.msgpack.encode(Left("it was ended there")))
    while "b" not in home.hosts.missing:
        home.hosts.read()
    second.say(joined())
    assert second.hear(home.hosts) == Welcome()


def test_who_leaves_with_workers_ends_the_generation(home: Home) -> None:
    agent = home.agent("b")
    agent.say(joined())
    agent.hear(home.hosts)
    home.hosts.launch(0, b"", None)
    agent.talk.say(msgspec.msgpack.encode(Left("it was ended there")))
    with pytest.raises(StageError, match=r"^host 'b' has left: it was ended there$"):
        agent.hear_on(home.hosts)


def test_who_was_forgotten_is_told(home: Home) -> None:
    agent = home.agent("b")
    agent.say(Beat(1, 0))
    assert agent.hear(home.hosts) == Forgotten()


def test_who_speaks_otherwise_is_refused(home: Home) -> None:
    agent = home.agent("b")
    agent.socket.send_multipart([b"", b"hello"])
    assert agent.hear(home.hosts) == Refused("it does not speak as version 1.0 does")


def test_an_address_of_another_or_a_port_that_is_taken_is_a_wrong_request(home: Home) -> None:
    for address in (f"127.0.0.1:{home.port}", "192.0.2.1:7700"):
        with pytest.raises(ConfigError, match=rf"^run.address: {address} cannot be bound: "):
            Hosts(address, {}, {}, "", lambda c: Guard(c, KEYS["b"], lambda: PUBLIC, ""), 1.0)


def test_a_name_that_nobody_has_is_named() -> None:
    assert bindable("127.0.0.1:7700") == "127.0.0.1:7700"
    with pytest.raises(ConfigError, match=r"^run.address: nobody.invalid:7700: cannot be found: "):
        bindable("nobody.invalid:7700")


PIPELINE = """
[run]
address = "127.0.0.1:7700"
[[stage]]
name = "noise"
use = "worker_stages:Noise"
[[stage]]
name = "seen"
use = "worker_stages:Tally"
path = "seen.txt"
host = "b"
"""


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("b", "secret: no key; make one: pipeline keys make"),
        ("noise", "error: host 'noise': no stage is on it; known are b"),
        ("noise,seen", "error: host 'noise,seen': these stages are on several; name one of b"),
    ],
)
def test_an_agent_that_cannot_serve_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, error: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "support"))
    b = Host(tmp_path, "b")
    (b.folder / "p.toml").write_text(PIPELINE)
    b.start("run", "p.toml", "--only", host)
    assert b.finish()[0] == 2
    assert b.said.rstrip().endswith(error)
