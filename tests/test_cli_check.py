"""`pipeline check`: what it says of crashes and overload before anything runs."""

import re
from pathlib import Path

import msgspec
import pytest
from command_line import CommandLine

from pipeline.checkpoint.fingerprint import fingerprint
from pipeline.checkpoint.folder import Checkpoint, CheckpointFolder
from pipeline.config import read_config
from pipeline.graph import build_graph
from recordings import some_events, write_recording

MAIN = Path(__file__).parents[1] / "pipeline.toml"
TWICE = "behind a crash 'screen' delivers at least once: what was printed cannot be taken back"


@pytest.fixture
def kept(tmp_path: Path) -> str:
    return f"checkpoint.directory={tmp_path}"


def leave_checkpoint(folder: Path, number: int, finished: bool = False) -> None:
    tables = fingerprint(build_graph(read_config(MAIN, ())))
    checkpoints = CheckpointFolder(folder, 2)
    checkpoints.write(Checkpoint(number, 0.0, "1", tables, [], finished))
    checkpoints.close()


def test_without_tables_for_it_nothing_is_said(command_line: CommandLine) -> None:
    out = command_line("check", MAIN).out
    assert not any(word in out for word in ("checkpoint", "supervision", "overload", "crash"))


def test_what_is_set_is_shown(command_line: CommandLine, kept: str, tmp_path: Path) -> None:
    tables = [kept, "supervision.silent_s=2", "overload.latency_ms=80", "camera.speed=1"]
    code, out, err = command_line("check", MAIN, *[w for one in tables for w in ("--set", one)])
    assert (code, err) == (0, "")
    for line in (
        f"checkpoints: every 1 s, in {tmp_path}",
        "    holds no checkpoint yet: a run starts",
        f"    {TWICE}",
        "supervision: silent_s = 2",
        "overload: what is more than 80 ms behind is thinned, merged, and dropped in the end",
    ):
        assert f"{line}\n" in out
    assert "'file'" not in out  # exactly once


@pytest.mark.parametrize(
    ("number", "finished", "more", "said"),
    [
        (8, False, "camera.speed=2", ": a run goes on with --resume, or starts over with --fresh"),
        (8, False, "decision.every=5", ": stage.decision.every was 10, and is 5; a run starts"),
        (8, True, "decision.every=5", "    holds nothing to go on with: a run starts"),
        (0, False, "decision.every=5", "    holds nothing to go on with: a run starts"),
    ],
)
def test_what_a_run_would_find_is_said(
    command_line: CommandLine,
    kept: str,
    tmp_path: Path,
    number: int,
    finished: bool,
    more: str,
    said: str,
) -> None:
    leave_checkpoint(tmp_path, number, finished)
    out = command_line("check", MAIN, "--set", kept, "--set", more).out
    assert said in out
    assert ("holds checkpoint 8 of a run" in out) == (number == 8 and not finished)


def test_what_cannot_be_read_is_named(command_line: CommandLine, kept: str, tmp_path: Path) -> None:
    (tmp_path / "checkpoint-00000001").write_bytes(b"nothing")
    out = command_line("check", MAIN, "--set", kept).out
    assert "checkpoint-00000001: is no checkpoint, or its beginning is damaged; a run" in out


def test_events_that_are_dropped_before_bins_are_warned_of(command_line: CommandLine) -> None:
    code, out, err = command_line("check", MAIN, "--json", "--set", "bins.policy=drop_oldest")
    assert code == 0
    assert err == (
        f"warning: {MAIN}: stage.bins.policy: drop_oldest takes whole messages of events, and"
        ' windows of that time look as if nothing had happened in them; set policy = "thin"\n'
    )
    told = msgspec.json.decode(out)
    assert [f"warning: {warning}\n" for warning in told["warnings"]] == [err]
    assert told["queues"][0]["policy"] == "drop_oldest"
    screen, file = told["stages"][-2:]
    assert screen["delivers"].startswith("at least once")
    assert file["delivers"].startswith("exactly once")
    for harmless in ("bins.policy=thin", "screen.policy=drop_oldest"):
        assert command_line("check", MAIN, "--set", harmless).err == ""


def test_a_recording_too_short_for_a_prediction_is_warned_of(
    command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "set").mkdir()
    for name, span_us in (("long", 2_000_000), ("b", 500_000), ("c", 600_000)):
        write_recording(tmp_path / "set" / f"{name}.aedat4", some_events(99, span_us))
    played = f"camera.path={tmp_path}/set/b.aedat4"
    code, _, err = command_line("check", MAIN, "--set", played)
    assert code == 0
    assert re.fullmatch(
        rf"warning: {MAIN}: stage.decision: {tmp_path}/set/b.aedat4 is 0.4\d+ s long, too short"
        " for a prediction, which needs 1.475 s; play longer recordings, or set over ="
        ' "recording" to have one of what there is\n',
        err,
    )
    several = command_line("check", MAIN, "--set", f"camera.path={tmp_path}/set").err
    assert "which needs 1.475 s, as are 1 of 2 others; play longer" in several
    long = f"camera.path={tmp_path}/set/long.aedat4"
    enough = command_line("check", MAIN, "--set", long)
    assert (enough.code, enough.err) == (0, "")
    parts = command_line("check", MAIN, "--set", long, "--set", "camera.stop_us=1_000_000").err
    assert "long.aedat4 is 1 s long, too short" in parts
    for enough in (
        ["decision.over=recording", "decision.every=1"],
        ["camera.join=true"],
        ["bins.origin_us=5"],
    ):
        changed = [part for setting in enough for part in ("--set", setting)]
        assert command_line("check", MAIN, "--set", played, *changed).err == ""
