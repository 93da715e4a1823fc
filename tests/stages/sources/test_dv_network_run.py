"""A camera on the network and a whole pipeline, in processes of their own, in real time."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from senders import free_port, sender
from shared import SHARED
from weights import random_weights

from recordings import some_events, write_recording

CAMERA = """
[[stage]]
name = "camera"
use = "dv_network"
port = {port}
{options}
"""
REPLAY = """
[[stage]]
name = "camera"
use = "replay"
path = "{path}"
"""
SLOW = """
[[stage]]
name = "slow"
use = "worker_stages:Relay"
slow_s = 0.1
queue = 1
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
"""
PREDICTIONS = """
[[stage]]
name = "bins"
use = "time_bin"
group = "all"
window_us = 25_000
size = [40, 40]
[[stage]]
name = "network"
use = "snn"
group = "all"
weights = "random.safetensors"
[[stage]]
name = "decision"
use = "aggregate"
group = "all"
over = "running"
every = 3
[[stage]]
name = "file"
use = "jsonl"
group = "all"
path = "out.jsonl"
"""
SUPPORT = Path(__file__).parents[2] / "support"
TONIC = SHARED / "recordings" / "aedat4" / "tonic_sample.aedat4"
WHEEL = SHARED / "recordings" / "labelled" / "wheel_view_aedat4"


@contextmanager
def pipeline(folder: Path, text: str) -> Iterator["subprocess.Popen[str]"]:
    (folder / "p.toml").write_text(text)
    paths = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "run", "p.toml", "--json"],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def accounts(process: "subprocess.Popen[str]", exit_code: int = 0) -> dict[str, Any]:
    """Wait for the end of a run; its ledger was found to balance if the exit code says so."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == exit_code, err
    return {report["name"]: report["account"] for report in json.loads(out)["reports"]}


def test_a_slow_stage_makes_counted_drops_and_nothing_else(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "some.aedat4", some_events())
    port = free_port()
    options = 'on_lost = "end"\nring_events = 500\nbatch_events = 100'
    text = CAMERA.format(port=port, options=options) + SLOW
    with sender(recording, "--port", port), pipeline(tmp_path, text) as run:
        account = accounts(run)["camera"]
    reason = "dropped: the pipeline was too slow"
    assert set(account["refused"]) == {reason}
    assert account["taken"] == 5000
    assert account["used"] == 5000 - account["refused"][reason]
    counts = [int(line.split()[1]) for line in (tmp_path / "tally.txt").read_text().splitlines()]
    # The last of the ring is still sent.
    assert 500 <= sum(counts) == account["used"] < 5000


@pytest.mark.shared
def test_a_real_recording_is_received_whole_and_predicted(tmp_path: Path) -> None:
    random_weights(tmp_path / "random.safetensors")
    port = free_port()
    text = CAMERA.format(port=port, options='on_lost = "end"') + PREDICTIONS
    with sender(TONIC, "--port", port), pipeline(tmp_path, text) as run:
        found = accounts(run)
    assert found["camera"]["taken"] == found["bins"]["used"] == 111_954
    assert found["camera"]["refused"] == {}
    # 590 ms of events, and what time passed behind them.
    assert found["bins"]["made"] >= 24
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == found["decision"]["made"] >= 8


@pytest.mark.shared
@pytest.mark.parametrize("packet_us", [10_000, 33_000])
def test_predictions_are_those_of_the_recording(tmp_path: Path, packet_us: int) -> None:
    """However the sender cuts its packets; what silence adds stands behind them."""
    random_weights(tmp_path / "random.safetensors")
    port = free_port()
    text = CAMERA.format(port=port, options='on_lost = "end"') + PREDICTIONS
    with sender(TONIC, "--port", port, "--packet-us", packet_us), pipeline(tmp_path, text) as run:
        found = accounts(run)
    assert "handed over late" not in found["camera"]["notes"]
    live = scores(tmp_path / "out.jsonl")
    (tmp_path / "out.jsonl").unlink()
    with pipeline(tmp_path, REPLAY.format(path=TONIC) + PREDICTIONS) as run:
        accounts(run)
    whole = [line for line in scores(tmp_path / "out.jsonl") if not line["partial"]]
    assert len(whole) >= 7
    assert live[: len(whole)] == whole


def scores(path: Path) -> list[dict[str, Any]]:
    """Predictions without the names of the run's parts."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    told = ("t_start_us", "t_end_us", "scores", "partial")
    return [{key: line[key] for key in told} for line in lines]


@pytest.mark.shared
def test_a_writer_that_is_killed_in_the_middle_and_started_again(tmp_path: Path) -> None:
    random_weights(tmp_path / "random.safetensors")
    first, second = sorted(WHEEL.glob("*.aedat4"))[:2]
    port = free_port()
    text = CAMERA.format(port=port, options="wait = true") + PREDICTIONS
    with pipeline(tmp_path, text) as run:
        with sender(first, "--port", port) as writer:
            lines = tail(tmp_path / "out.jsonl", run)
            assert [next(lines)["epoch"] for _ in range(6)] == [0] * 6
            writer.kill()
        with sender(second, "--port", port, "--stay"):
            epochs = (line["epoch"] for line in lines)
            assert next(epoch for epoch in epochs if epoch) == 1
            for _ in range(20):
                next(epochs)
            run.send_signal(signal.SIGINT)
            found = accounts(run, exit_code=130)
    assert found["camera"]["notes"]["reconnections"] == 1
    assert set(found["camera"]["refused"]) <= {"not sent when the run was stopped"}
    written = (tmp_path / "out.jsonl").read_text().splitlines()
    assert {json.loads(line)["epoch"] for line in written} == {0, 1}


def tail(path: Path, run: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    """Follow a file of JSON lines while the run goes on."""
    pause = threading.Event()
    while not path.exists():
        assert run.poll() is None
        pause.wait(0.01)
    with path.open() as file:
        part = ""
        while True:
            part += file.readline()
            if part.endswith("\n"):
                yield json.loads(part)
                part = ""
            else:
                assert run.poll() is None
                pause.wait(0.01)
