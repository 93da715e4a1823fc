"""``pipeline convert``: what is written and said, and what is refused before anything is done."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine

from pipeline.events import EventArray, concatenate_events
from recordings import some_events, write_recording
from stages.formats import open_recording


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_recording(tmp_path / "some.aedat4", some_events())


def read(path: Path) -> EventArray:
    with open_recording(path) as reader:
        return concatenate_events([packet.events for packet in reader.packets()])


def test_it_says_what_was_written(command_line: CommandLine, path: Path) -> None:
    target = path.with_name("new") / "other.npz"
    assert command_line("convert", path, target) == (
        0,
        f"{target}: NPZ, 128×128, 5,000 events\n",
        "",
    )
    np.testing.assert_array_equal(read(target), some_events())


def test_a_part_in_seconds_and_times_from_zero(command_line: CommandLine, path: Path) -> None:
    target = path.with_name("part.aedat4")
    ended = command_line(
        "convert", path, target, "--start-s", 0.1, "--stop-s", "0.2", "--from-zero", "--json"
    )
    events = read(target)
    t = some_events()["t"] - some_events()["t"][0]
    np.testing.assert_array_equal(events["t"], t[(t >= 100_000) & (t < 200_000)] - 100_000)
    done = json.loads(ended.out)
    assert (done["events"], done["bytes"]) == (len(events), target.stat().st_size)


def test_mistakes_are_dealt_with_as_asked_and_told(command_line: CommandLine, path: Path) -> None:
    cut, target = path.with_name("cut.aedat4"), path.with_name("whole.aedat4")
    cut.write_bytes(path.read_bytes()[:20_000])
    code, out, err = command_line("convert", cut, target)
    kept = len(read(target))
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {cut}: is truncated at byte ")
    assert err.endswith(f"; {target} holds the {kept} events before it\n")
    code, out, _ = command_line("convert", cut, target, "--on-damage", "drop", "--replace")
    assert code == 0
    assert out.splitlines()[1].startswith("the recording is damaged: damaged bytes: ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["some.aedat4"], "some.aedat4: is the recording to be read; name another file to write"),
        (["old.aedat4"], "old.aedat4: exists already; remove it or give --replace"),
        (["new.xyz"], "its name must end with the format to write: .aedat4, "),
        (["."], "is a folder; name a file in it"),
        (["new.es", "--compression", "lz4"], "--compression: must be left out for ES, got 'lz4'"),
        (["new.aedat4", "--on-gap", "no"], "convert.on_gap: must be 'keep' or 'raise'"),
        (["new.aedat4", "--on-time-back", "keep"], "--on-time-back: must be clamp, drop or raise"),
        (["new.aedat4", "--start-s", "3", "--stop-s", "2"], "--stop-s: must be > 3, where it"),
    ],
)
def test_wrong_requests_are_refused_and_change_nothing(
    arguments: list[str],
    problem: str,
    command_line: CommandLine,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(path.parent)
    Path("old.aedat4").write_bytes(b"precious")
    before = {file: file.read_bytes() for file in Path().iterdir()}
    code, _, err = command_line("convert", "some.aedat4", *arguments)
    assert code == 2
    assert problem in err
    assert err.count("error: ") == 1
    assert {file: file.read_bytes() for file in Path().iterdir()} == before


def test_ctrl_c_leaves_what_was_converted(
    command_line: CommandLine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = path.with_name("other.aedat4")

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    class Bar:
        def __enter__(self) -> object:
            return stop

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("pipeline.cli.progress.progress_bar", lambda label: Bar())
    code, out, err = command_line("convert", path, target)
    assert (code, out) == (130, "")
    assert err == f"stopped; {target} holds what was converted before\n"
    events = read(target)
    assert len(events) > 0
    np.testing.assert_array_equal(events, some_events()[: len(events)])
