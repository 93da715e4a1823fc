"""Runs that go on behind a crash: whatever is killed or stopped, their files are what they were."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from command_line import CommandLine

REPOSITORY = Path(__file__).parents[3]

# A diamond, two stages in one process, two files; paced, so that there is time to disturb it.
PIPELINE = f"""
[run]
name = "trial"
[supervision]
silent_s = 2.0
[[stage]]
name = "camera"
use = "replay"
path = "{REPOSITORY}/recordings/gestures_simulated.aedat4"
stop_us = 4_000_000
speed = 2.0
[[stage]]
name = "bins"
use = "time_bin"
window_us = 25_000
size = [40, 40]
[[stage]]
name = "network"
use = "snn"
weights = "{REPOSITORY}/models/weights/dvs_gesture.safetensors"
group = "net"
[[stage]]
name = "decision"
use = "aggregate"
over = "sliding"
group = "net"
[[stage]]
name = "now"
use = "aggregate"
from = "network"
over = "sliding"
steps = 10
mismatch = "allow"
[[stage]]
name = "file"
use = "jsonl"
from = ["decision", "now"]
path = "out.jsonl"
[[stage]]
name = "table"
use = "csv"
from = "now"
path = "out.csv"
"""
CHECKPOINT = """
[checkpoint]
directory = "kept"
interval_s = 0.1
"""


class Trial:
    """A run of the command line in a folder and a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "s").mkdir()
        (folder / "p.toml").write_text(PIPELINE + CHECKPOINT)
        self.process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        sockets = {name: str(self.folder / "s") for name in ("TMPDIR", "XDG_RUNTIME_DIR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "run", "p.toml", "--json", *arguments],
            cwd=self.folder,
            env=os.environ | sockets,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def finish(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def wait_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not reached():
            assert self.process is not None
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline

    def has_lines(self, count: int) -> bool:
        path = self.folder / "out.jsonl"
        return path.exists() and path.read_bytes().count(b"\n") >= count

    def process_of(self, title: str) -> int | None:
        """Id of the process whose title ends so, None while there is none."""
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").readlink() == self.folder:
                    line = (entry / "cmdline").read_bytes().rstrip(b"\0").decode()
                    if line.startswith("pipeline: trial") and line.endswith(title):
                        return int(entry.name)
        return None

    def files(self) -> tuple[bytes, bytes]:
        return (self.folder / "out.jsonl").read_bytes(), (self.folder / "out.csv").read_bytes()


@pytest.fixture
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    trial = Trial(tmp_path_factory.mktemp("r"))
    yield trial
    if trial.process is not None and trial.process.poll() is None:
        trial.process.kill()
        trial.process.communicate()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The files of a run without checkpoints, as fast as it can."""
    trial = Trial(tmp_path_factory.mktemp("undisturbed"))
    (trial.folder / "p.toml").write_text(PIPELINE.replace("speed = 2.0", ""))
    code, _, err = trial.finish()
    assert code == 0, err
    jsonl, csv = trial.files()
    assert jsonl.count(b"\n") > 200
    assert csv.count(b"\n") > 100
    return jsonl, csv


def test_it_goes_on_as_if_nothing_had_been(trial: Trial, undisturbed: tuple[bytes, bytes]) -> None:
    process, rng = trial.start(), random.Random(1)
    blows = {
        "/network+decision": signal.SIGKILL,
        "/bins": signal.SIGSTOP,
        " starter": signal.SIGKILL,
    }
    for number, (title, blow) in enumerate(blows.items()):
        moment = rng.randrange(10, 40) + 40 * number
        trial.wait_until(lambda moment=moment: trial.has_lines(moment))
        before = trial.process_of(title)
        os.kill(before, blow)
        trial.wait_until(lambda title=title, it=before: trial.process_of(title) not in (it, None))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    restarts = msgspec.json.decode(out)["restarts"]
    for restart, cause in zip(restarts, CAUSES, strict=True):
        assert cause in restart["cause"]
        assert f"{restart['cause']}; going on from checkpoint {restart['checkpoint']}\n" in err
        assert 0 < restart["down_s"] < 30
    assert trial.files() == undisturbed
    assert [*(trial.folder / "s").glob("*/*")] == []


CAUSES = [
    "stage 'network' + 'decision': its process",
    "has not answered for",
    "the process from which all stages are started was killed",
]


def test_the_runner_is_killed_and_its_run_goes_on(
    trial: Trial, undisturbed: tuple[bytes, bytes], command_line: CommandLine
) -> None:
    file = trial.folder / "p.toml"
    process = trial.start()
    trial.wait_until(lambda: trial.has_lines(50))
    process.send_signal(signal.SIGSTOP)  # its workers play on, and are killed with it
    refused = command_line("run", file)
    assert refused.code == 1
    assert f"{trial.folder}/kept: another run keeps its checkpoints here; end it, or" in refused.err
    process.kill()
    process.communicate()
    refused = command_line("run", file)
    assert refused.code == 2
    assert " of a run that was not finished, made " in refused.err
    assert "; go on with it by --resume, or start over by --fresh" in refused.err
    refused = command_line("run", file, "--resume", "--set", "decision.every=2")
    assert refused.code == 2
    assert "is of another run: stage.decision.every was 1, and is 2; set it" in refused.err
    code, _, err = trial.finish("--resume")
    assert code == 0, err
    assert "going on from checkpoint-000000" in err
    assert trial.files() == undisturbed
    again = command_line("run", file, "--resume", "--json")
    assert again.code == 0
    assert "trial: had come to its end before" in again.err
    assert msgspec.json.decode(again.out)["reports"][0]["name"] == "camera"
    assert trial.files() == undisturbed


def test_a_stopped_worker_ends_with_its_runner(
    trial: Trial, undisturbed: tuple[bytes, bytes]
) -> None:
    process = trial.start()
    trial.wait_until(lambda: trial.has_lines(50))
    stopped = trial.process_of("/file")
    os.kill(stopped, signal.SIGSTOP)
    process.kill()
    process.communicate()
    code, _, err = trial.finish("--resume")  # nobody holds the files any more
    assert code == 0, err
    assert trial.files() == undisturbed


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--resume", "--fresh"], "--resume and --fresh exclude each other; leave one of them out"),
        (
            ["--resume", "--metrics", "0"],
            "p.toml: checkpoint.directory: is required with --resume; without it no run",
        ),
    ],
)
def test_requests_that_cannot_be_met_are_refused(
    command_line: CommandLine, tmp_path: Path, arguments: list[str], error: str
) -> None:
    (tmp_path / "p.toml").write_text(PIPELINE)
    refused = command_line("run", tmp_path / "p.toml", *arguments)
    assert refused.code == 2
    assert refused.err.startswith("error: ")  # it is not said that anything starts
    assert error in refused.err


def test_a_run_that_may_go_on_starts_where_there_is_nothing_to_go_on_with(
    command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "p.toml").write_text(PIPELINE + CHECKPOINT)
    started = command_line("run", tmp_path / "p.toml", "--resume")
    assert started.code == 0, started.err
    assert f"{tmp_path}/kept: holds no checkpoint yet, so the run starts\n" in started.err
    again = command_line("run", tmp_path / "p.toml", "--resume")
    assert again.code == 0, again.err
    assert again.err.startswith(
        "trial: had come to its end before; its 2 files are as it left them; to run it again, start"
        " over with --fresh\n"
    )
    before = (tmp_path / "out.jsonl").read_bytes()
    size, result = len(before), tmp_path / "out.jsonl"
    result.write_bytes(before[:-9])
    (tmp_path / "out.csv").unlink()
    refused = command_line("run", tmp_path / "p.toml", "--resume")
    assert refused.code == 1
    changed = f"{result}: was changed since the run had come to its end (it was {size} bytes, "
    assert refused.err.startswith(f"error: {changed}")
    assert f", and is {size - 9} bytes, " in refused.err
    assert refused.err.endswith(
        f"; {tmp_path}/out.csv: was removed since the run had come to its end; put them back as"
        " they were, or start over with --fresh\n"
    )
    made = command_line("run", tmp_path / "p.toml", "--fresh")
    assert (made.code, result.read_bytes()) == (0, before)


def test_what_was_stopped_goes_on_as_if_it_had_not_been(
    trial: Trial, undisturbed: tuple[bytes, bytes]
) -> None:
    process = trial.start()
    trial.wait_until(lambda: trial.has_lines(80))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert msgspec.json.decode(out)["interrupted"]
    assert trial.files() != undisturbed
    newest = max((trial.folder / "kept").glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    code, _, err = trial.finish("--resume")
    assert code == 0, err
    assert f"{newest}: is damaged or was cut short: its hash does not match\n" in err
    assert trial.files() == undisturbed


def test_a_crash_while_files_are_closed_leaves_none_without_its_end(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage is over when it is closed: nobody would open it again to write the end."""
    (trial.folder / "p.toml").write_text(
        CHECKPOINT
        + """
        [[stage]]
        name = "camera"
        use = "fault_stages:Ticks"
        [[stage]]
        name = "file"
        use = "last_words:LastWords"
        path = "out.txt"
        died = "died"
        """
    )
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests" / "support"))
    code, out, err = trial.finish()
    assert code == 0, err
    (restart,) = msgspec.json.decode(out)["restarts"]
    assert "stage 'file': its process" in restart["cause"]
    *counts, end = (trial.folder / "out.txt").read_text().split()
    assert sum(map(int, counts)) == 2000
    assert end == "end"
