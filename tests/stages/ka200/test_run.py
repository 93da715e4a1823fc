"""Runs in processes of their own: a chip that fails ends a run, or the run goes on behind it."""

import os
from pathlib import Path

import pytest
from command_line import CommandLine
from compiled_models import compiled_model

from recordings import some_events, write_recording

HERE = Path(__file__).parents[3]
SUPPORT = HERE / "tests" / "support"
RECORDING = HERE / "recordings" / "gestures_simulated.aedat4"


def put_in(monkeypatch: pytest.MonkeyPatch, folder: Path, double: str) -> None:
    """Let the run's processes find a double where Lynxi's runtime would be.

    Args:
        monkeypatch: The test's.
        folder: Where it is put.
        double: Makes it.
    """
    (folder / "pylynchipsdk.py").write_text(
        "from pathlib import Path\n"
        "from chip_double import ChipDouble, Unplugged\n"
        f"_double = {double}\n"
        f"_double.told = Path({str(folder / 'live')!r})\n"
        "def __getattr__(name):\n"
        "    return getattr(_double, name)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(SUPPORT)]))


def unplugged(folder: Path, at: int) -> str:
    return f"Unplugged(Path({str(folder / 'mark')!r}), {at})"


def pipeline_file(
    folder: Path, model: Path, checkpoints: bool = False, recording: Path = RECORDING
) -> Path:
    checkpoint = f'[checkpoint]\ndirectory = "{folder}/kept"\ninterval_s = 0.2\n'
    path = folder / "pipeline.toml"
    path.write_text(
        f"""
{checkpoint if checkpoints else ""}
[[stage]]
name = "camera"
use = "replay"
path = "{recording}"
speed = 0

[[stage]]
name = "bins"
use = "time_bin"
window_us = 25_000
size = [40, 40]
group = "all"

[[stage]]
name = "net"
use = "ka200"
model = "{model}"
replay_steps = 2000
group = "all"

[[stage]]
name = "decision"
use = "aggregate"
group = "all"

[[stage]]
name = "file"
use = "jsonl"
path = "{folder}/out.jsonl"
group = "all"
"""
    )
    return path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(capsys, monkeypatch)


def test_a_chip_that_fails_in_the_middle_ends_the_run(
    tmp_path: Path, command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = compiled_model(tmp_path / "model")
    put_in(monkeypatch, tmp_path, unplugged(tmp_path, 500))
    ended = command("run", pipeline_file(tmp_path, model))
    assert ended.code == 1
    assert (
        "error: stage 'net': KA200 device 0: lyn_model_send_input_async failed: the board does not"
        " answer; look at the driver's log"
    ) in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert (tmp_path / "live").read_text() == "0", "everything is released"


@pytest.mark.parametrize(
    ("call", "nth", "left"),
    [("lyn_load_model", 0, 0), ("lyn_model_recv_output_async", 9, 0), ("lyn_free", 0, 2)],
)
def test_an_error_at_the_start_in_the_middle_or_at_the_end_fails_the_run(
    tmp_path: Path,
    command: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    nth: int,
    left: int,
) -> None:
    """`benchmarks.ka200_errors` does it at every call."""
    put_in(monkeypatch, tmp_path, f"ChipDouble(fails={{({call!r}, {nth}): 1234}})")
    short = write_recording(tmp_path / "short.aedat4", some_events())
    path = pipeline_file(tmp_path, compiled_model(tmp_path / "model"), recording=short)
    ended = command("run", path)
    assert ended.code == 1
    told = f"stage 'net': KA200 device 0: {call} returned error 1234; "
    assert told in " ".join(ended.err.split())
    assert "Traceback" not in ended.err
    assert (tmp_path / "live").read_text() == str(left), "a buffer and its context are not let go"


def test_a_run_with_checkpoints_goes_on_behind_a_failure_and_its_file_is_the_same(
    tmp_path: Path, command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, written = compiled_model(tmp_path / "model"), []
    for name, at in (("undisturbed", 10_000), ("unplugged", 800)):
        folder = tmp_path / name
        folder.mkdir()
        put_in(monkeypatch, folder, unplugged(folder, at))
        ended = command("run", pipeline_file(folder, model, name == "unplugged"))
        assert ended.code == 0, ended.err
        assert (folder / "mark").exists() == (name == "unplugged")
        written.append((folder / "out.jsonl").read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 28
    assert "brought back" not in ended.out + ended.err
