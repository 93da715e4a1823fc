"""Runs over several hosts: their output is that of one host, whatever becomes of one of them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from other_hosts import Host, acquaint, free_port

from pipeline.observe.status import HostStatus
from pipeline.run.outcome import Restart

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(120)

# From home to `b`, and from there to a file on each.
PIPELINE = f"""
[run]
name = "trial"
address = "127.0.0.1:PORT"
[supervision]
silent_s = 1.5
[[stage]]
name = "camera"
use = "replay"
path = "{REPOSITORY}/recordings/gestures_simulated.aedat4"
stop_us = 3_000_000
speed = 2.0
batch_events = 500
[[stage]]
name = "clean"
use = "refractory"
period_us = 3_000
host = "b"
[[stage]]
name = "here"
use = "record"
path = "here.csv"
[[stage]]
name = "there"
use = "record"
from = "clean"
path = "there.csv"
host = "b"
"""
CHECKPOINT = """
[checkpoint]
directory = "kept"
interval_s = 0.1
"""


class Pair:
    """Home and another host, with one pipeline between them."""

    def __init__(self, folder: Path) -> None:
        self.home, self.b = Host(folder, "home"), Host(folder, "b")
        acquaint(self.home, self.b)
        self.write(PIPELINE + CHECKPOINT)

    def write(self, pipeline: str) -> None:
        text = pipeline.replace("PORT", str(free_port()))
        for host in (self.home, self.b):
            (host.folder / "p.toml").write_text(text)

    def start(self, *arguments: str) -> None:
        self.home.start("run", "p.toml", "--json", *arguments)

    def start_b(self, *arguments: str) -> None:
        self.b.start("run", "p.toml", "--only", "b", *arguments)

    def has_lines(self, count: int) -> bool:
        path = self.home.folder / "here.csv"
        return path.exists() and path.read_bytes().count(b"\n") >= count

    def files(self) -> tuple[bytes, bytes]:
        here, there = self.home.folder / "here.csv", self.b.folder / "there.csv"
        return here.read_bytes(), there.read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """What is written where all is on one host."""
    alone = Host(tmp_path_factory.mktemp("alone"), "alone")
    (alone.folder / "p.toml").write_text(PIPELINE.replace('host = "b"', "").replace(":PORT", ":1"))
    alone.start("run", "p.toml", "--json", "--set", "camera.speed=0")
    assert alone.finish()[0] == 0, alone.said
    here, there = alone.folder / "here.csv", alone.folder / "there.csv"
    return here.read_bytes(), there.read_bytes()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.home.kill()
    pair.b.kill()


def ends_well(pair: Pair) -> dict[str, object]:
    """The run comes to its end at home and on b; return what home prints of it."""
    code, out = pair.home.finish()
    assert code == 0, (pair.home.said, pair.b.said)
    assert pair.b.finish()[0] == 0, pair.b.said
    outcome: dict[str, object] = msgspec.json.decode(out)
    return outcome


def test_two_hosts_write_what_one_does(pair: Pair, undisturbed: tuple[bytes, bytes]) -> None:
    pair.start()
    pair.home.hears("waiting for b; start there: pipeline run FILE --only b")
    pair.start_b()
    outcome = ends_well(pair)
    assert pair.files() == undisturbed
    (host,) = msgspec.convert(outcome["hosts"], list[HostStatus])
    # Their clock is the same here, and its distance is known to half of the way there and back.
    assert host.joined
    assert host.offset_s is not None
    assert host.round_trip_s is not None
    assert abs(host.offset_s) <= host.round_trip_s / 2
    assert "the run is over" in pair.b.said


@pytest.mark.parametrize(
    ("title", "signal_"), [("/clean", signal.SIGSTOP), ("agent b", signal.SIGKILL)]
)
def test_a_process_there_that_dies_or_hangs_changes_nothing(
    pair: Pair, undisturbed: tuple[bytes, bytes], title: str, signal_: signal.Signals
) -> None:
    pair.start()
    pair.start_b()
    pair.home.wait_until(lambda: pair.has_lines(2_000))
    os.kill(pair.b.process_of(title), signal_)
    if title == "agent b":
        pair.home.hears("host 'b' has not answered for")
        pair.b.kill()
        pair.start_b()
    outcome = ends_well(pair)
    assert pair.files() == undisturbed
    assert len(msgspec.convert(outcome["restarts"], list[Restart])) == 1


def test_home_that_dies_goes_on_with_agents_that_wait_for_it(
    pair: Pair, undisturbed: tuple[bytes, bytes]
) -> None:
    pair.b.start("agent", "p.toml", "--host", "b")
    pair.start()
    pair.home.wait_until(lambda: pair.has_lines(2_000))
    pair.home.kill()
    pair.start("--resume")
    assert pair.home.finish()[0] == 0, pair.home.said
    assert pair.files() == undisturbed
    pair.b.hears("the run is over")
    # It waits for run after run, and reads the file anew for each.
    other = (pair.home.folder / "p.toml").read_text().replace("3_000\n", "4_000\n")
    other = other.replace('use = "record"', 'use = "record"\nif_exists = "replace"')
    (pair.home.folder / "p.toml").write_text(other)
    pair.start()
    pair.home.hears("host 'b' may not join: stage.")
    pair.b.hears("refuses host 'b': stage.")
    (pair.b.folder / "p.toml").write_text(other)
    assert pair.home.finish()[0] == 0, pair.home.said
    pair.b.stop()
    assert pair.b.finish()[0] == 130
