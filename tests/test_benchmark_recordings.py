"""The table over all recordings of a folder: each is held to what is known of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from known import KNOWN
from shared import SHARED

from benchmarks.recordings import differences, main, read, read_digest
from recordings import some_events, write_recording

EVENTS = some_events(500)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    (folder / "below").mkdir(parents=True)
    write_recording(folder / "below" / "some.aedat4", EVENTS)
    (folder / "NOTES.md").write_text("no recording")
    (folder / "expected.json").write_text(json.dumps({"recordings/below/some.aedat4": known()}))
    return folder


def known(**other: Any) -> dict[str, Any]:
    times, on = EVENTS["t"], int(EVENTS["p"].sum())
    return {
        "n": len(EVENTS),
        "t_first": int(times[0]),
        "t_last": int(times[-1]),
        "on": on,
        "off": len(EVENTS) - on,
        "size": [128, 128],
    } | other


def test_a_recording_is_held_to_what_is_known(folder: Path) -> None:
    found = read(folder / "below" / "some.aedat4")
    assert differences(found, known()) == ""
    assert differences(found, {}) == ""
    assert differences(found, known(n=7, on=1)) == f"n 500 for 7, on {found['on']} for 1"
    assert found["quality"] == "good"


def test_only_recordings_are_listed_in_130_columns(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(folder) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 130
    assert [line.split()[0] for line in out.splitlines()[3:] if line.strip()] == ["some.aedat4"]
    assert "✓" in out


def test_what_is_not_as_known_is_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = folder / "other.json"
    other.write_text(json.dumps({"recordings/below/some.aedat4": known(n=7)}))
    assert main(folder, other) == 1
    out = capsys.readouterr().out
    assert "n 500 for 7" in out
    (folder / "below" / "some.aedat4").write_bytes(b"")
    assert main(folder, other) == 1
    assert "is empty (0 bytes)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.shared
def test_the_digest_is_that_of_all_columns_behind_each_other() -> None:
    name = "recordings/aedat4/evl_sample.aedat4"
    assert differences(read_digest(SHARED / name), KNOWN[name]) == ""
