"""The engine of Ray: on real workers of its own, which are started once for all of these tests."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from batch_work import Deadly, Failing, Squares
from evaluations import write_case
from nmnist import write_digits

from pipeline.config import read_config
from pipeline.errors import ConfigError, DeviceError, RecordingError
from stages.batch import Engine, engine_of
from stages.batch.cluster import RayEngine, _code
from stages.batch.local import LocalEngine
from stages.datasets.simulated.reviews import SimulatedReviews
from stages.evaluation.plan import plan_of
from stages.evaluation.request import request_of
from stages.evaluation.results import Result
from stages.evaluation.selection import select
from stages.evaluation.work import evaluated
from stages.formats import Policies
from stages.recordings.conversions import Asked, convert_all, pairs_of

SQUARES = [(number, number * number) for number in range(8)]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Ray with two workers."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch, RayEngine(None, 2) as engine:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the workers' work is here
        yield engine


def silent(what: str, done: int, of: int) -> None:
    pass


def bytes_below(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_each_task_is_done_once(engine: Engine) -> None:
    assert sorted(engine.map(Squares(), range(8))) == SQUARES


def test_what_a_killed_worker_was_at_is_done_again(engine: Engine, tmp_path: Path) -> None:
    assert sorted(engine.map(Deadly(tmp_path, times=1), range(8))) == SQUARES
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_is_as_it_would_be_here(engine: Engine) -> None:
    with pytest.raises(RecordingError, match=r"^3\.bin: is broken$"):
        list(engine.map(Failing(is_bug=False), range(8)))


def test_evaluation_is_the_same_to_the_last_digit(engine: Engine, tmp_path: Path) -> None:
    config = read_config(write_case(tmp_path, each=1))
    plan = plan_of(config)
    data = f"nmnist={tmp_path / 'data' / 'nmnist'}"
    chosen = select(data, None, None, [], "replay", engine, silent)
    _, labels = request_of(config, plan, chosen)

    def results(engine: Engine) -> list[Result]:
        found = evaluated(plan, labels, list(enumerate(chosen.items)), engine)
        timeless = (msgspec.structs.replace(one, seconds=0.0, first=False) for one in found)
        return sorted(timeless, key=lambda one: one.item)

    assert results(engine) == results(LocalEngine(1))


def test_conversion_is_the_same_to_the_byte(engine: Engine, tmp_path: Path) -> None:
    write_digits(tmp_path / "in", 1)
    for name, one in {"ray": engine, "local": LocalEngine(1)}.items():
        target = tmp_path / name
        pairs = pairs_of(tmp_path / "in", target, ".aedat4")
        for converted in convert_all(pairs, target, Asked(Policies()), False, one):
            assert converted.done is not None, converted.failed
    assert len(bytes_below(tmp_path / "ray")) == 10
    assert bytes_below(tmp_path / "ray") == bytes_below(tmp_path / "local")


def test_simulation_is_the_same_to_the_byte(engine: Engine, tmp_path: Path) -> None:
    options = SimulatedReviews.Options.model_validate({"per_class": 4})
    for name, one in {"ray": engine, "local": LocalEngine(1)}.items():
        SimulatedReviews(tmp_path / name, options).make(one, silent)
    assert bytes_below(tmp_path / "ray") == bytes_below(tmp_path / "local")


def test_a_sigterm_leaves_nothing_behind() -> None:
    pytest.importorskip("ray")
    script = (
        "from batch_work import Slow\n"
        "from stages.batch import engine_of\n"
        "with engine_of('ray', None, 1) as engine:\n"
        "    for task, process in engine.map(Slow(), range(4)):\n"
        "        print(process, engine._place, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asked:
        assert asked.stdout is not None
        worker, place = asked.stdout.readline().split()
        assert any(place in one for one in command_lines())
        asked.send_signal(signal.SIGTERM)
        _, told = asked.communicate()
    assert told.startswith("Traceback")  # no word of Ray's before, nor behind
    assert told.splitlines()[-1] == "KeyboardInterrupt"
    assert not Path(place).exists()
    assert not Path(f"/proc/{worker}").exists()
    assert not any(place in one for one in command_lines())


def command_lines() -> list[str]:
    """Return those of all processes."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            lines.append(path.read_text(errors="replace"))
    return lines


def test_a_host_without_our_package_can_still_say_so() -> None:
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    script = (
        "import pickle, sys\n"
        "sys.modules['stages'] = None\n"  # as if it were not installed
        "from ray import cloudpickle\n"
        "actor = cloudpickle.loads(sys.stdin.buffer.read())()\n"
        "print(actor.open({}, b'', b''))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=cloudpickle.dumps(_code()), capture_output=True
    )
    assert done.stdout.decode().startswith(f"host {socket.gethostname()} cannot do this work: ")


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'is not installed; install "event-pipeline\[cluster\]"'):
        engine_of("ray", None, 2)


@pytest.mark.parametrize("address", ["roof", "roof:0", "roof:99999", "ray://roof:10001", ":1"])
def test_what_is_no_address(address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="--address: must be auto or HOST:PORT, got"):
        engine_of("ray", address, 2)


def test_where_nobody_answers() -> None:
    pytest.importorskip("ray")
    with socket.socket() as taken:  # bound, and not listened at
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DeviceError, match=f"^--address {address}: no cluster of Ray's can be"):
            engine_of("ray", address, 2)
