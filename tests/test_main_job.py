"""The main job: one answer, however the recording is cut and wherever the stages run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from streams import rows
from weights import random_weights

import models
from pipeline.messages import Frames, Message, Outputs, Predictions
from pipeline.offline import play, run_chain
from recordings import some_events, write_recording
from stages.aggregation.aggregate import Aggregate, AggregateConfig
from stages.binning.time_bin import TimeBin, TimeBinConfig
from stages.inference.snn import Snn, SnnConfig
from stages.sources.replay import Replay, ReplayConfig

WINDOW_US = 25_000
EVERY = 3

GRAPH = """
[[stage]]
name = "camera"
use = "replay"
path = "some.aedat4"
{camera}
[[stage]]
name = "bins"
use = "time_bin"
window_us = 25_000
size = [40, 40]
{group}
[[stage]]
name = "network"
use = "snn"
weights = "random.safetensors"
{group}
[[stage]]
name = "decision"
use = "aggregate"
over = "running"
every = 3
{group}
[[stage]]
name = "file"
use = "jsonl"
path = "out.jsonl"
{group}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    write_recording(folder / "some.aedat4", some_events())
    random_weights(folder / "random.safetensors")
    return folder


def chain(folder: Path, batch_events: int) -> tuple[Replay, list[Any]]:
    config = ReplayConfig(path=folder / "some.aedat4", batch_events=batch_events)
    source = Replay("camera", config)
    stages: list[Any] = []
    port: Any = source.port()
    for kind, options in (
        (TimeBin, TimeBinConfig(window_us=WINDOW_US, size=(40, 40))),
        (Snn, SnnConfig(weights=folder / "random.safetensors")),
        (Aggregate, AggregateConfig(over="running", every=EVERY)),
    ):
        stages.append(kind(kind.__name__, options, [port]))
        port = stages[-1].port()
    return source, stages


def slow_frames() -> NDArray[np.uint16]:
    """Bin by Python alone, one event after the other."""
    events = some_events()
    first = int(events["t"][0])
    frames = np.zeros((1 + (int(events["t"][-1]) - first) // WINDOW_US, 2, 40, 40), np.uint16)
    for t, x, y, p in events.tolist():
        frames[(t - first) // WINDOW_US, p, y * 40 // 128, x * 40 // 128] += 1
    return frames


def forward_scores(folder: Path, frames: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Predict offline: the network's own forward pass, then the running mean."""
    torch.set_num_threads(1)
    network = models.load(folder / "random.safetensors")
    with torch.inference_mode():
        outputs, _ = network(torch.from_numpy(frames.astype(np.float32))[None])
    sums = outputs[0].numpy().astype(np.float64).cumsum(0)
    means: NDArray[np.float64] = sums / np.arange(1, len(sums) + 1)[:, None]
    return means.astype(np.float32)[EVERY - 1 :: EVERY]


@settings(max_examples=15)
@given(batch_events=st.one_of(st.sampled_from([1, 7, 1000, 16_384]), st.integers(1, 6000)))
def test_any_cut_gives_the_frames_and_predictions_of_forward(
    folder: Path, batch_events: int
) -> None:
    source, stages = chain(folder, batch_events)
    binned = list(run_chain(play(source), stages[:1]))
    messages: list[Message] = list(run_chain(binned, stages[1:]))
    frames = rows(m for m in binned if isinstance(m.header, Frames))
    np.testing.assert_array_equal(frames, slow_frames())
    assert not any(isinstance(m.header, Outputs) for m in messages)
    scores = rows(m for m in messages if isinstance(m.header, Predictions))
    assert scores.tobytes() == forward_scores(folder, slow_frames()).tobytes()
    assert len(np.unique(scores)) > 5


@pytest.mark.parametrize(
    ("camera", "group"),
    [
        ("batch_events = 1", ""),
        ("batch_events = 7\nqueue = 1", ""),
        ("batch_events = 1000", 'group = "all"'),
        ("speed = 4", ""),
    ],
    ids=["1 event a batch", "7, short queue", "1000, one process", "paced"],
)
def test_real_processes_give_the_same_bytes(folder: Path, camera: str, group: str) -> None:
    if group:
        camera += "\n" + group
    (folder / "p.toml").write_text(GRAPH.format(camera=camera, group=group))
    (folder / "out.jsonl").unlink(missing_ok=True)
    run = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", "p.toml", "--json"],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = (folder / "out.jsonl").read_text().splitlines()
    written = np.array([json.loads(line)["scores"] for line in lines], np.float32)
    assert written.tobytes() == forward_scores(folder, slow_frames()).tobytes()
    accounts = {r["name"]: r["account"] for r in json.loads(run.stdout)["reports"]}
    assert accounts["camera"]["taken"] == accounts["bins"]["used"] == 5000
    assert accounts["bins"]["made"] == accounts["bins"]["due"] == len(slow_frames())


def test_json_is_all_of_standard_output_and_what_console_prints_is_not(folder: Path) -> None:
    screen = '[[stage]]\nname = "screen"\nuse = "console"\nfrom = "decision"\n'
    (folder / "p.toml").write_text(GRAPH.format(camera="", group='group = "all"') + screen)
    command = [sys.executable, "-m", "pipeline.cli", "run", "p.toml"]
    command += ["--set", "network.statistics=true"]
    where: dict[str, Any] = {"cwd": folder, "env": os.environ | {"TMPDIR": str(folder)}}
    plain = subprocess.run(command, capture_output=True, text=True, check=True, **where)
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True, **where)
    assert plain.stdout
    assert all(line in told.stderr for line in plain.stdout.splitlines())
    assert len(told.stdout.splitlines()) == 1
    (network,) = [one for one in json.loads(told.stdout)["reports"] if one["name"] == "network"]
    assert network["account"]["counts"]["conv1: operations"] > 0
    assert len(network["remarks"]) == 6
    assert all(f"network: {remark}\n" in plain.stderr for remark in network["remarks"])


def test_no_process_of_a_run_loads_torch_where_the_engine_steps_the_network(folder: Path) -> None:
    (folder / "p.toml").write_text(GRAPH.format(camera="", group=""))
    # Each process tells on standard error what it imports.
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPROFILEIMPORTTIME": "1"}
    command = [sys.executable, "-m", "pipeline.cli", "run", "p.toml"]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=folder, env=environment
    )
    modules = [line.rpartition("|")[2].strip() for line in run.stderr.splitlines()]
    packages = {module.partition(".")[0] for module in modules}
    assert {"pipeline", "stages", "models", "numba"} <= packages
    assert not {"torch", "lightning", "tonic", "h5py"} & packages
