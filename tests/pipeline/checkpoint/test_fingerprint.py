"""Fingerprints: whose checkpoint it is, told option by option and file by file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.checkpoint.fingerprint import fingerprint
from pipeline.checkpoint.folder import check_same
from pipeline.config import parse_config
from pipeline.errors import ConfigError
from pipeline.graph import build_graph
from recordings import some_events, write_recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_recording(tmp_path / "a.aedat4", some_events(50))
    (tmp_path / "pixels.txt").write_text("3 4\n")
    return tmp_path


def told(
    folder: Path,
    path: str = "a.aedat4",
    period_us: int = 1000,
    camera: Mapping[str, Any] | None = None,
    **placed: Any,
) -> dict[str, Any]:
    stages = [
        {"name": "camera", "use": "replay", "path": path, **(camera or {})},
        {"name": "hot", "use": "hot_pixel", "file": "pixels.txt"},
        {"name": "calm", "use": "refractory", "period_us": period_us, **placed},
        {"name": "file", "use": "record", "path": "out.aedat4"},
    ]
    return fingerprint(build_graph(parse_config({"stage": stages}, folder / "p.toml"), True))


def refusal(before: dict[str, Any], now: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refused:
        check_same(before, now, Path("checkpoint-00000003"))
    return str(refused.value)


def test_the_same_run_is_the_same(folder: Path) -> None:
    before = told(folder)
    check_same(before, told(folder), Path("x"))
    assert before["stage.calm.period_us"] == 1000
    assert before["stage.calm.from"] == ["hot"]


def test_where_stages_run_makes_no_difference(folder: Path) -> None:
    check_same(told(folder), told(folder, group="front", queue=3), Path("x"))


def test_how_fast_it_plays_and_how_it_is_cut_makes_no_difference(folder: Path) -> None:
    other = told(folder, camera={"speed": 2.0, "batch_events": 100})
    check_same(told(folder), other, Path("x"))
    assert not {"stage.camera.speed", "stage.camera.batch_events"} & other.keys()


def test_another_number_of_copies_is_named_and_not_what_follows_from_it(folder: Path) -> None:
    def copied(copies: int) -> dict[str, Any]:
        weights = Path(__file__).parents[3] / "models" / "weights" / "dvs_gesture.safetensors"
        replay = {"use": "replay", "path": "a.aedat4"}
        stages = [
            *({"name": name, **replay} for name in "abc"),
            {"name": "still", "use": "time_bin", "from": [*"abc"], "copies": "each"}
            | {"window_us": 25_000, "size": [40, 40]},
            {"name": "network", "use": "snn", "copies": copies, "weights": str(weights)},
            {"name": "decision", "use": "aggregate", "copies": "each"},
            {"name": "file", "use": "jsonl", "path": "out.jsonl"},
        ]
        return fingerprint(build_graph(parse_config({"stage": stages}, folder / "p.toml"), True))

    assert "stage.network.copies was 2, and is 3;" in refusal(copied(2), copied(3))


def test_another_option_is_named_with_what_it_was(folder: Path) -> None:
    assert refusal(told(folder), told(folder, period_us=2000)) == (
        "checkpoint-00000003: is of another run: stage.calm.period_us was 1000, and is 2000;"
        " set it back, or start over with --fresh"
    )


def test_a_recording_that_was_changed_is_named(folder: Path) -> None:
    before = told(folder)
    write_recording(folder / "a.aedat4", some_events(51))
    said = refusal(before, told(folder))
    assert "a.aedat4 (of stage.camera" in said
    assert " was '" in said


def test_a_file_of_an_option_that_was_changed_is_named(folder: Path) -> None:
    before = told(folder)
    (folder / "pixels.txt").write_text("4 3\n")
    assert "pixels.txt (of stage.hot.file) was '4 bytes, " in refusal(before, told(folder))


def test_a_file_that_is_only_touched_is_the_same(folder: Path) -> None:
    before = told(folder)
    os.utime(folder / "a.aedat4", (1, 1))
    check_same(before, told(folder), Path("x"))


def test_what_the_run_writes_is_no_part_of_it(folder: Path) -> None:
    before = told(folder)
    write_recording(folder / "out.aedat4", some_events(9))
    check_same(before, told(folder), Path("x"))


def test_a_recording_more_in_the_folder_is_another_run(folder: Path) -> None:
    (folder / "all").mkdir()
    write_recording(folder / "all" / "a.aedat4", some_events(50))
    before = told(folder, path="all")
    write_recording(folder / "all" / "b.aedat4", some_events(50))
    assert "b.aedat4 (of stage.camera) was not there, and is '" in refusal(
        before, told(folder, path="all")
    )


def test_of_many_recordings_each_counts_in_a_few_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.checkpoint.fingerprint._NAMED_FILES", 2)
    (folder / "all").mkdir()
    for name in "abcd":
        write_recording(folder / "all" / f"{name}.aedat4", some_events(50))
    before = told(folder, path="all")
    assert sum("(of stage.camera)" in place for place in before) == 3
    write_recording(folder / "all" / "d.aedat4", some_events(51))
    said = refusal(before, told(folder, path="all"))
    assert "further recordings (of stage.camera) was '2 files, " in said
    (folder / "all" / "d.aedat4").unlink()
    assert " and is '1 files, " in refusal(before, told(folder, path="all"))


def test_behind_the_limit_of_what_is_read_a_recording_is_known_by_its_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "all").mkdir()
    for name in "ab":
        write_recording(folder / "all" / f"{name}.aedat4", some_events(50))
    a, b = sorted((folder / "all").iterdir())
    monkeypatch.setattr("pipeline.checkpoint.fingerprint._ALL_BYTES", a.stat().st_size)
    before = told(folder, path="all")
    assert before["all/b.aedat4 (of stage.camera)"] == f"{b.stat().st_size} bytes"
    raw = b.read_bytes()
    b.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    check_same(before, told(folder, path="all"), Path("x"))
    b.write_bytes(raw + b"\0")
    assert "all/b.aedat4 (of stage.camera) was '" in refusal(before, told(folder, path="all"))


def test_another_version_of_the_package_is_another_run(folder: Path) -> None:
    before = told(folder)
    said = refusal(before | {"event-pipeline": "0.0.1"}, before)
    assert "is of another run: event-pipeline was '0.0.1', and is '" in said


def test_what_long_files_hold_in_their_middle_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.checkpoint.fingerprint._WHOLE_BYTES", 1000)
    monkeypatch.setattr("pipeline.checkpoint.fingerprint._PART_BYTES", 100)
    before = told(folder)
    raw = bytearray((folder / "a.aedat4").read_bytes())
    for place, differs in ((50, True), (len(raw) // 2, False), (len(raw) - 50, True)):
        raw[place] ^= 1
        (folder / "a.aedat4").write_bytes(raw)
        same = told(folder, path="a.aedat4") == before
        raw[place] ^= 1
        assert same is not differs
