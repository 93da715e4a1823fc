"""``pipeline record``: a source in, a recording out, closed however it ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine

from pipeline.events import EventArray, concatenate_events
from recordings import some_events, write_recording
from stages.formats import open_recording

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _workers_find_their_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "tests" / "support"))


def read(path: Path) -> EventArray:
    with open_recording(path) as reader:
        assert reader.notes.get("not closed") is None
        return concatenate_events([packet.events for packet in reader.packets()])


def test_a_replayed_recording_is_written_in_another_format(
    command_line: CommandLine, tmp_path: Path
) -> None:
    source = write_recording(tmp_path / "some.aedat4", some_events())
    target = tmp_path / "other.npz"
    code, out, err = command_line(
        "record", target, "--from", "replay", "--set", f"source.path={source}"
    )
    assert (code, out) == (0, "")
    assert f"recording to {target}: ends with its source or with Ctrl-C" in err
    assert "5,000 events" in err
    np.testing.assert_array_equal(read(target), some_events())


def test_it_ends_after_so_many_seconds(command_line: CommandLine, tmp_path: Path) -> None:
    target = tmp_path / "noise.aedat4"
    code, _, err = command_line(
        *("record", target, "--from", "worker_stages:Noise", "--seconds", 0.3),
        *("--set", "source.endless=true"),
    )
    assert code == 0, err
    assert ": ends with its source, after 0.3 s or with Ctrl-C" in err
    assert len(read(target)) > 0


def test_without_end_is_until_ctrl_c(command_line: CommandLine, tmp_path: Path) -> None:
    target, source = tmp_path / "new.aedat4", write_recording(tmp_path / "a.aedat4", some_events(9))
    _, _, err = command_line(
        *("record", target, "--from", "replay", "--set", f"source.path={source}"),
        *("--seconds", "inf"),
    )
    assert f"recording to {target}: ends with its source or with Ctrl-C" in err


def test_a_failure_before_any_event_leaves_the_old_recording_and_no_stub(
    command_line: CommandLine, tmp_path: Path
) -> None:
    source = write_recording(tmp_path / "since_1970.aedat4", some_events(9))
    old = tmp_path / "old.es"
    old.write_bytes(b"precious")
    for target in (old, tmp_path / "new.es"):
        code, _, err = command_line(
            *("record", target, "--replace", "--from", "replay"),
            *("--set", f"source.path={source}"),
        )
        assert code == 1
        assert "ES counts time from 0" in err
    assert old.read_bytes() == b"precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == [old.name, source.name]


def test_what_an_error_advises_can_be_done(command_line: CommandLine, tmp_path: Path) -> None:
    source = write_recording(tmp_path / "cut.aedat4", some_events())
    source.write_bytes(source.read_bytes()[:20_000])
    call = ("record", tmp_path / "new.aedat4", "--from", "replay", "--replace")
    call = (*call, "--set", f"source.path={source}")
    code, _, err = command_line(*call)
    assert code == 1
    assert "; give --set source.on_damage=drop to accept that" in err
    assert command_line(*call, "--set", "source.on_damage=drop").code == 0


def test_a_sensor_that_the_format_cannot_hold_is_refused_before_the_run(
    command_line: CommandLine, tmp_path: Path
) -> None:
    source = write_recording(tmp_path / "wide.aedat4", some_events(9), size=3000)
    code, _, err = command_line(
        *("record", tmp_path / "new.evt2", "--from", "replay", "--set", f"source.path={source}")
    )
    assert code == 2
    assert "EVT2 has room for 2048×2048 px, got 3000×3000; write another format" in err


def test_ctrl_c_is_a_proper_end(tmp_path: Path) -> None:
    target = tmp_path / "noise.aedat4"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests" / "support")}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pipeline.cli", "record", str(target)),
            *("--from", "worker_stages:Noise", "--set", "source.endless=true"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    stop = threading.Timer(60, process.kill)
    stop.start()
    while process.poll() is None and not (target.exists() and target.stat().st_size > 50_000):
        time.sleep(0.01)  # waits for the process that is tested
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    stop.cancel()
    assert process.returncode == 0, err
    events = read(target)
    assert f"{len(events):,} events" in err
    np.testing.assert_array_equal(events["t"], np.arange(len(events)))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["old.aedat4"], "old.aedat4: exists already; remove it or give --replace"),
        (["new.xyz"], "record: stage.record.path: "),
        (["new.aedat4", "--compression", "x"], "record: stage.record.compression: must be one of"),
        (["new.aedat4", "--set", "source.nothing=1"], "record: stage.source.nothing: unknown key"),
        (["new.aedat4", "--from", "repla"], "no stage is called 'repla'; did you mean 'replay'?"),
        (["new.aedat4", "--from", "console"], "is no source; `pipeline stages` lists those"),
        (["new.aedat4", "--seconds", "0"], "--seconds: must be >= 0.001, got 0"),
        (["new.aedat4", "--seconds", "nan"], "--seconds: must be >= 0.001, got nan"),
        (["n" * 300 + ".es"], "cannot be written: File name too long"),
        (["new.aedat4", "--set", f"record.path={'n' * 300}.es"], "File name too long"),
    ],
)
def test_wrong_requests_are_refused(
    arguments: list[str],
    problem: str,
    command_line: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.aedat4").write_bytes(b"precious")
    code, _, err = command_line("record", "--from", "worker_stages:Noise", *arguments)
    assert code == 2
    assert problem in err
    assert Path("old.aedat4").read_bytes() == b"precious"
