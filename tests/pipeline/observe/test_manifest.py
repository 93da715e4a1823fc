"""The manifest of a run: what is in it, where it goes, and that it never gets in the way."""

import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from shown_run import status

from pipeline.config import read_config
from pipeline.errors import ConfigError, PipelineError
from pipeline.graph import build_graph
from pipeline.observe.manifest import Recorder, runs_folder

SUPPORT = Path(__file__).parents[2] / "support"
GRAPH = """
[run]
name = "tallied"
[[stage]]
name = "camera"
use = "worker_stages:Noise"
events = 400
[[stage]]
name = "tally"
use = "worker_stages:Tally"
path = "tally.txt"
"""


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def recorder(folder: Path, path: Path | None, *overrides: str) -> Recorder:
    file = folder / "p.toml"
    file.write_text(GRAPH)
    config = read_config(file, overrides)
    return Recorder(config, build_graph(config), path)


def told(path: Path | None) -> dict[str, Any]:
    assert path is not None
    known: dict[str, Any] = json.loads(path.read_text())
    return known


def test_a_run_that_was_killed_has_left_one_too(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with recorder(tmp_path, path) as record:
        assert told(path)["state"] == "running"
        record.watch(status())
        assert told(path)["run"] == "shown-1234"


def test_it_says_what_ran_with_what_and_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with recorder(tmp_path, path, "camera.events=7") as record:
        record.watch(status())
    known = told(path)
    assert (known["format"], known["state"], known["exit_code"]) == (
        "event-pipeline run/1",
        "done",
        0,
    )
    assert known["tables"]["stage"][0]["events"] == 400
    assert known["overrides"] == ["camera.events=7"]
    assert known["options"]["stage.camera.events"] == 7
    assert {"python", "numpy", "event-pipeline"} <= known["versions"].keys()
    assert known["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert known["last_status"]["restarts"] == 1


@pytest.mark.parametrize(
    ("error", "state", "code", "text"),
    [
        (SystemExit(130), "stopped", 130, ""),
        (PipelineError("stage 'tally': full disk"), "failed", 1, "stage 'tally': full disk"),
        (ConfigError("p.toml: wrong"), "failed", 2, "p.toml: wrong"),
        (ZeroDivisionError("a bug"), "failed", 1, "a bug"),
    ],
)
def test_how_it_ended_is_what_the_shell_is_told(
    tmp_path: Path, error: BaseException, state: str, code: int, text: str
) -> None:
    path = tmp_path / "m.json"
    with pytest.raises(type(error)), recorder(tmp_path, path):
        raise error
    known = told(path)
    assert (known["state"], known["exit_code"], known["error"]) == (state, code, text)


def test_it_tells_the_commit_that_the_file_is_of(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        command = ["git", "-C", str(tmp_path), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "p.toml").write_text(GRAPH)
    git("init", "-q")
    git("add", "p.toml")
    git("commit", "-q", "-m", "a pipeline")
    path = tmp_path / "m.json"
    with recorder(tmp_path, path):
        pass
    assert told(path)["git"] == {"commit": git("rev-parse", "HEAD"), "changed": False}


def test_without_a_place_it_goes_to_the_users_own_folder_which_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.observe.manifest._KEPT", 3)
    folder = runs_folder()
    assert folder == tmp_path / "state" / "event-pipeline" / "runs"
    folder.mkdir(parents=True)
    for n in range(5):
        (folder / f"2020010{n}-000000-old-1.json").write_text("{}")
    with recorder(tmp_path, None) as record:
        pass
    assert record.path is not None
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["20200103-000000-old-1.json", "20200104-000000-old-1.json", record.path.name]


def test_a_run_that_could_not_say_how_it_ended_was_killed(command_line: CommandLine) -> None:
    folder = runs_folder()
    folder.mkdir(parents=True)
    told = {"run": "lost-1", "state": "running", "began": "2026-01-01T00:00:00", "file": "p.toml"}
    (folder / "20260101-000000-lost-1.json").write_text(json.dumps(told))
    assert command_line("runs").out.split()[2:4] == ["lost-1", "killed"]


def test_others_cannot_see_what_runs(tmp_path: Path) -> None:
    with recorder(tmp_path, None):
        pass
    assert runs_folder().stat().st_mode & 0o077 == 0


def test_a_place_of_our_own_that_cannot_be_written_is_no_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("a file")
    with recorder(tmp_path, None):
        pass


def test_a_place_that_is_gone_meanwhile_does_not_end_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gone"
    with recorder(tmp_path, folder / "m.json") as record:
        (folder / "m.json").unlink()
        folder.rmdir()
        folder.write_text("a file")
        record.watch(status())
    assert capsys.readouterr().err == (
        f"warning: {folder / 'm.json'}: the manifest cannot be written: File exists; name another"
        " place by --manifest\n"
    )


def test_a_named_place_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    path = tmp_path / "file" / "runs" / "m.json"
    with pytest.raises(PipelineError) as caught, recorder(tmp_path, path):
        pytest.fail("it must not begin")
    assert str(caught.value) == (
        f"{path}: the manifest cannot be written: Not a directory; name another place by --manifest"
    )


def test_a_run_is_listed_traced_and_logged(tmp_path: Path, command_line: CommandLine) -> None:
    file, trace = tmp_path / "p.toml", tmp_path / "t.json"
    file.write_text(GRAPH)
    assert command_line("run", file, "--trace", trace, "--metrics", 0).code == 0
    events = json.loads(trace.read_text())["traceEvents"]
    tracks = {e["args"]["name"]: e["tid"] for e in events if e["name"] == "thread_name"}
    assert [*tracks] == ["run", "camera", "tally"]
    worked = {event["tid"] for event in events if event["ph"] == "X"}
    assert worked == {tracks["camera"], tracks["tally"]}
    for tid in worked:
        spans = [
            (e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X" and e["tid"] == tid
        ]
        spans.sort()
        assert all(end < begin for (_, end), (begin, _) in pairwise(spans)), "they would overlap"
    listed = command_line("runs").out
    assert "tallied-" in listed
    assert " done " in listed
    name = next(word for word in listed.split() if word.startswith("tallied-"))
    known = json.loads(command_line("runs", name).out)
    assert known["overrides"] == ["metrics.port=0"]
    (camera, _) = known["outcome"]["reports"]
    assert camera["account"]["made"] == 400
    missing = command_line("runs", "nobody")
    assert (missing.code, missing.err) == (
        1,
        "error: no run is called 'nobody'; `pipeline runs` lists them\n",
    )
