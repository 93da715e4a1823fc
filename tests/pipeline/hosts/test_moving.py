"""Copies on several hosts: where one is lost for good, the others take over its streams."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from other_hosts import Host, acquaint, free_port

from pipeline.config import parse_config
from pipeline.errors import ConfigError
from pipeline.graph import build_graph, without_hosts
from pipeline.run.outcome import Restart

REPOSITORY = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(120)

PIPELINE = f"""
[run]
name = "trial"
address = "127.0.0.1:PORT"
[checkpoint]
directory = "kept"
interval_s = 0.1
[supervision]
silent_s = 1.0
move_after_s = 0.2
[[stage]]
name = "left"
use = "replay"
path = "{REPOSITORY}/recordings/gestures_simulated.aedat4"
stop_us = 2_000_000
speed = 2.0
[[stage]]
name = "right"
use = "replay"
path = "{REPOSITORY}/recordings/gestures_simulated.aedat4"
start_us = 1_000_000
stop_us = 3_000_000
speed = 2.0
[[stage]]
name = "clean"
use = "refractory"
from = ["left", "right"]
copies = "each"
period_us = 3_000
host = ["b", "c"]
[[stage]]
name = "bins"
use = "time_bin"
window_us = 25_000
copies = "each"
size = [40, 40]
[[stage]]
name = "network"
use = "snn"
weights = "{REPOSITORY}/models/weights/dvs_gesture.safetensors"
batch = 2
[[stage]]
name = "decision"
use = "aggregate"
over = "sliding"
steps = 10
mismatch = "allow"
[[stage]]
name = "file"
use = "jsonl"
path = "out.jsonl"
"""
ALONE = PIPELINE.replace('host = ["b", "c"]', "").replace(":PORT", ":1").replace("speed = 2.0", "")


def written(host: Host) -> bytes:
    path = host.folder / "out.jsonl"
    return path.read_bytes() if path.exists() else b""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    hosts = [Host(tmp_path, name) for name in ("home", "b", "c")]
    acquaint(*hosts)
    text = PIPELINE.replace("PORT", str(free_port()))
    for host in hosts:
        (host.folder / "p.toml").write_text(text)
    yield hosts
    for host in hosts:
        host.kill()


def test_a_host_that_is_lost_for_good_is_done_without(hosts: list[Host], tmp_path: Path) -> None:
    alone = Host(tmp_path, "alone")
    (alone.folder / "p.toml").write_text(ALONE)
    alone.start("run", "p.toml", "--json")
    assert alone.finish()[0] == 0, alone.said

    home, b, c = hosts
    home.start("run", "p.toml", "--json")
    for host in (b, c):
        host.start("run", "p.toml", "--only", host.name)
    home.wait_until(lambda: written(home).count(b"\n") >= 30)
    c.kill()
    home.hears("going on without c: other hosts take over its stages")
    b.wait_until(lambda: any(line.endswith("/clean@right") for line in b.processes().values()))
    # Who comes back is not needed, and waits for its turn.
    c.start("agent", "p.toml", "--host", "c")
    code, out = home.finish()
    assert code == 0, (home.said, b.said)
    assert b.finish()[0] == 0, b.said
    assert written(home) == written(alone)
    assert len(msgspec.convert(msgspec.json.decode(out)["restarts"], list[Restart])) == 1


def test_the_first_that_was_lost_takes_over_when_the_second_is(
    hosts: list[Host], tmp_path: Path
) -> None:
    alone = Host(tmp_path, "alone")
    (alone.folder / "p.toml").write_text(ALONE)
    alone.start("run", "p.toml")
    assert alone.finish()[0] == 0, alone.said

    home, b, c = hosts
    for host in hosts:
        path = host.folder / "p.toml"
        path.write_text(path.read_text().replace("speed = 2.0", "speed = 0.5"))
    home.start("run", "p.toml", "--json")
    for host in (b, c):
        host.start("run", "p.toml", "--only", host.name)
    home.wait_until(lambda: written(home).count(b"\n") >= 10)
    c.kill()
    home.hears("going on without c: other hosts take over its stages")
    b.wait_until(lambda: any(line.endswith("/clean@right") for line in b.processes().values()))
    before = written(home)
    home.wait_until(lambda: written(home) > before)
    b.kill()
    home.hears("waiting for b")
    c.start("agent", "p.toml", "--host", "c")  # while both were away nobody could take over
    home.hears("going on without b: other hosts take over its stages")
    code, out = home.finish()
    assert code == 0, (home.said, c.said)
    assert written(home) == written(alone)
    assert len(msgspec.convert(msgspec.json.decode(out)["restarts"], list[Restart])) == 2


def test_only_copies_can_move() -> None:
    config = parse_config(tomllib.loads(PIPELINE.replace("PORT", "1")), Path("p.toml"))
    found = without_hosts(config, ["c"])
    assert found is not None
    graph, overrides = found
    assert graph.hosts == {"b": ("clean@left", "clean@right")}
    assert overrides == ['clean.host=["b"]']
    assert without_hosts(config, ["b", "c"]) is None


def test_home_is_a_host_among_others() -> None:
    text = PIPELINE.replace("PORT", "1").replace('["b", "c"]', '["b", "home"]')
    config = parse_config(tomllib.loads(text), Path("p.toml"))
    assert build_graph(config).hosts == {"b": ("clean@left",)}
    found = without_hosts(config, ["b"])
    assert found is not None
    assert found[0].hosts == {}


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        (
            '["b", "c", "d"]',
            "names 3 hosts for 2 of the stage; name fewer, or set copies",
        ),
        ('["b", "b"]', "must name at least one host, and none twice, got ['b', 'b']"),
        ('["b", "c"]\ngroup = "g"', "copies that share group 'g' would be on several hosts"),
        ('["b c"]', "must be the name of a host (letters, digits, _ . -), or a list of"),
    ],
)
def test_hosts_that_cannot_be_are_refused(host: str, problem: str) -> None:
    text = PIPELINE.replace("PORT", "1").replace('["b", "c"]', host)
    with pytest.raises(ConfigError, match=r"stage\.clean\.host: ") as caught:
        build_graph(parse_config(tomllib.loads(text), Path("p.toml")))
    assert problem in str(caught.value)
