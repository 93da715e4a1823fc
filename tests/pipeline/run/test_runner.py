"""Runs in real processes: started together, ended without remains, whatever happens."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

REPOSITORY = Path(__file__).parents[3]
MOST_S = 5.0

GRAPH = """
[run]
name = "trial"
{run}
[[stage]]
name = "camera"
use = "worker_stages:Noise"
{camera}
[[stage]]
name = "relay"
use = "worker_stages:Relay"
{relay}
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
{tally}
"""


class Trial:
    """A pipeline file in a folder of its own, run by the command line in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sockets = folder / "s"
        self.sockets.mkdir()
        self.process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str, **tables: str) -> "subprocess.Popen[str]":
        tables = {"run": "", "camera": "", "relay": "", "tally": ""} | tables
        (self.folder / "p.toml").write_text(GRAPH.format(**tables))
        environment = os.environ | {
            "PYTHONPATH": str(REPOSITORY / "tests" / "support"),
            "TMPDIR": str(self.sockets),
            "XDG_RUNTIME_DIR": str(self.sockets),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "run", "p.toml", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def finish(self, *arguments: str, **tables: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **tables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def wait_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not reached():
            assert self.process is not None
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline

    def running(self) -> bool:
        """Whether the sink has written something."""
        tally = self.folder / "tally.txt"
        return tally.exists() and tally.stat().st_size > 0

    def workers(self) -> dict[str, int]:
        """Process ids by the stage in the process title; the title of the starter names none."""
        found = {}
        for pid in self.processes():
            title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
            _, slash, stage = title.partition("/")
            if title.startswith("pipeline: ") and slash:
                found[stage] = pid
        return found

    def processes(self) -> Iterator[int]:
        """Ids of all processes that work in the trial's folder."""
        for entry in Path("/proc").iterdir():
            # Neither parent nor environment would tell: a title is written over the latter.
            if entry.name.isdigit():
                with suppress(OSError):
                    if (entry / "cwd").readlink() == self.folder:
                        yield int(entry.name)

    def remains(self) -> list[str]:
        """Processes and files that should be gone."""
        files = [str(path) for home in self.sockets.iterdir() for path in home.iterdir()]
        return files + [str(pid) for pid in self.processes()]


@pytest.fixture
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    trial = Trial(tmp_path_factory.mktemp("r"))
    yield trial
    if trial.process is not None and trial.process.poll() is None:
        trial.process.kill()
        trial.process.communicate()


def lines(trial: Trial) -> list[list[str]]:
    return [line.split()[1:] for line in (trial.folder / "tally.txt").read_text().splitlines()]


@pytest.mark.parametrize(
    "placement",
    [
        {},
        {"camera": 'group = "one"', "relay": 'group = "one"', "tally": 'group = "one"'},
        {"camera": 'group = "front"', "relay": 'group = "front"'},
        {"run": 'transport = "tcp"'},
    ],
    ids=["ipc", "inproc", "mixed", "tcp"],
)
def test_every_placement_delivers_everything(trial: Trial, placement: dict[str, str]) -> None:
    code, out, err = trial.finish("--json", **placement)
    assert code == 0, err
    assert sum(int(count) for count, _ in lines(trial)) == 10_000
    reports = msgspec.json.decode(out)["reports"]
    assert [report["name"] for report in reports] == ["camera", "relay", "tally"]
    assert [report["account"]["taken"] for report in reports] == [10_000] * 3
    assert trial.remains() == []


def ports(process: int) -> list[int]:
    """Ports of the loopback on which a process listens."""
    held = set[str]()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            held.add(str(entry.readlink()))
    table = Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in table]
    return [
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in held
    ]


def test_a_stranger_on_the_loopback_does_a_run_no_harm(trial: Trial) -> None:
    process = trial.start(run='transport = "tcp"', camera="endless = true")
    trial.wait_until(trial.running)
    for stage in ("relay", "tally"):
        (port,) = ports(trial.workers()[stage])
        for _ in range(3):
            stranger = socket.create_connection(("127.0.0.1", port), timeout=20)
            with stranger, suppress(ConnectionResetError):
                stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while stranger.recv(4096):
                    pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    told = [line for line in err.splitlines() if "was refused" in line]
    assert len(told) == 2, err
    assert all(line.startswith("warning: queue ") for line in told)


def test_no_source_speaks_before_everyone_is_ready(trial: Trial) -> None:
    slow = 'opens_slowly = true\nopened = "opened.txt"'
    code, _, err = trial.finish(camera='began = "began.txt"', tally=slow)
    assert code == 0, err
    opened_ns = int((trial.folder / "opened.txt").read_text())
    began_ns = int((trial.folder / "began.txt").read_text())
    assert opened_ns < began_ns


def test_process_titles_name_run_and_stage(trial: Trial) -> None:
    trial.start(camera="endless = true")
    trial.wait_until(trial.running)
    assert set(trial.workers()) == {"camera", "relay", "tally"}


def test_what_loads_long_is_loaded_once_before_the_processes_are_forked(trial: Trial) -> None:
    code, _, err = trial.finish(camera='needs = "worker_needs"', tally='needs = "worker_needs"')
    assert code == 0, err
    assert (trial.folder / "loaded.txt").read_text() == "once\n"


def test_killing_the_process_that_the_others_are_forked_from_ends_the_run(trial: Trial) -> None:
    process = trial.start(camera="endless = true")
    trial.wait_until(trial.running)
    worker = next(iter(trial.workers().values()))
    parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "error: the process from which all stages are started was killed" in err
    assert trial.remains() == []


@pytest.mark.parametrize("victim", ["camera", "relay", "tally"])
def test_killing_a_stage_ends_the_run_and_names_it(trial: Trial, victim: str) -> None:
    process = trial.start(camera="endless = true")
    trial.wait_until(trial.running)
    started = time.monotonic()
    os.kill(trial.workers()[victim], signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - started < MOST_S
    assert process.returncode == 1
    said, error = err.splitlines()
    assert said == "trial: starting camera, relay, tally"
    assert f"error: stage '{victim}': its process" in error
    assert "SIGKILL" in error
    assert trial.remains() == []


def test_a_killed_supervisor_leaves_no_worker_and_no_socket(trial: Trial) -> None:
    process = trial.start(camera="endless = true")
    trial.wait_until(trial.running)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + MOST_S
    while trial.remains() and time.monotonic() < deadline:
        pass
    assert trial.remains() == []


def test_ctrl_c_drains_and_exits_130(trial: Trial) -> None:
    process = trial.start("--json", camera="endless = true", relay="slow_s = 0.001")
    trial.wait_until(trial.running)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - started < MOST_S
    assert process.returncode == 130, err
    outcome = msgspec.json.decode(out)
    assert outcome["interrupted"]
    assert outcome["drained"]
    sent = outcome["reports"][0]["account"]["made"]
    assert sent == sum(int(count) for count, _ in lines(trial))
    assert trial.remains() == []


def test_sigterm_to_the_whole_group_drains_too(trial: Trial) -> None:
    process = trial.start("--json", camera="endless = true", relay="slow_s = 0.001")
    trial.wait_until(trial.running)
    for number in (*trial.workers().values(), process.pid):
        os.kill(number, signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert msgspec.json.decode(out)["drained"]
    assert trial.remains() == []


def test_ctrl_c_does_not_wait_for_ever_for_a_slow_stage(trial: Trial) -> None:
    process = trial.start(camera="endless = true", relay="slow_s = 2.0\nqueue = 100")
    trial.wait_until(trial.running)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - started < MOST_S
    assert process.returncode == 130
    assert "stopped before everything sent was worked on" in err
    # What was counted until then is told all the same, by those who can still tell it.
    assert "ledger of what was done until the end was cut off" in err
    assert re.search(r"camera +[\d,]+ events", err)
    assert trial.remains() == []


def test_a_crashed_stage_ends_the_run_with_its_own_error(trial: Trial) -> None:
    code, _, err = trial.finish(relay="crash_at = 300")
    assert code == 1
    _, first, second = err.splitlines()
    assert first == "error: stage 'relay': ZeroDivisionError: an honest mistake"
    crash = Path(second.split()[7])
    assert second.startswith("this is a bug; report it with")
    assert "Traceback" in crash.read_text()
    crash.unlink()
    assert trial.remains() == []


def test_a_failed_source_is_worked_on_to_its_end_first(trial: Trial) -> None:
    code, _, err = trial.finish(camera="fail_after = 500")
    assert code == 1
    assert "error: stage 'camera': the camera was unplugged; plug it in again" in err
    assert sum(int(count) for count, _ in lines(trial)) == 500
    assert trial.remains() == []


def test_an_aborted_process_is_named_with_its_signal(trial: Trial) -> None:
    code, _, err = trial.finish("--set", "relay.use=worker_stages:Deaf")
    assert code == 1
    assert "stage 'relay': its process" in err
    assert "SIGABRT" in err


def test_a_stage_that_loses_events_is_found_by_the_ledger(trial: Trial) -> None:
    code, _, err = trial.finish(relay="lose = 3")
    assert code == 1
    assert "the ledger does not balance: stage 'relay' took 10000 events, used 9997" in err
