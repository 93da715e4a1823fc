"""Checkpoints on disk: whole or refused by name, the newest kept, one run at a time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pipeline.checkpoint.folder import (
    Checkpoint,
    CheckpointFolder,
    StageSnapshot,
    check_same,
    read_checkpoint,
)
from pipeline.checkpoint.snapshot import pack
from pipeline.errors import CheckpointError, ConfigError
from pipeline.messages import Start
from pipeline.report import QueueCount
from pipeline.stage import Account


def checkpoint(number: int, finished: bool = False) -> Checkpoint:
    """One with something in every place."""
    state = pack((number, "words", np.arange(50), {"late": 3}))
    camera = StageSnapshot(
        "camera", state, None, None, 7, sent=[QueueCount("camera > file", 7, 900, 0.5)]
    )
    file = StageSnapshot(
        "file",
        None,
        pack((100, 5)),
        Account(5, 4, 4, "events", "rows", {"late": 1}, due=4),
        received=[QueueCount("camera > file", 7, 900)],
        pending=[[(b"header", b"buffer")], []],
        starts=[Start(stream="camera", width=8, height=6, source="a test")],
    )
    tables = {"stage.camera.path": "a.aedat4", "stage.file.labels": None}
    return Checkpoint(number, 1.5e9, "1.2.3", tables, [camera, file], finished)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[CheckpointFolder]:
    folder = CheckpointFolder(tmp_path / "kept" / "here", keep=2)
    yield folder
    with suppress(OSError):
        folder.close()


def names(folder: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_what_is_written_is_read(folder: CheckpointFolder) -> None:
    path = folder.write(checkpoint(3))
    assert read_checkpoint(path) == checkpoint(3)
    assert read_checkpoint(path).of("file") == checkpoint(3).stages[1]
    with pytest.raises(KeyError):
        checkpoint(3).of("network")


def test_it_is_private_to_the_user(folder: CheckpointFolder) -> None:
    path = folder.write(checkpoint(0))
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_the_newest_are_kept(folder: CheckpointFolder) -> None:
    for number in range(5):
        folder.write(checkpoint(number))
    assert names(folder) == ["checkpoint-00000003", "checkpoint-00000004", "lock"]
    assert folder.oldest() == 3
    found = folder.newest()
    assert found is not None
    assert (found[0].name, found[1].number, found[2]) == ("checkpoint-00000004", 4, [])


def test_the_first_of_another_run_takes_the_place_of_all(folder: CheckpointFolder) -> None:
    assert folder.newest() is None
    assert folder.oldest() == 0
    folder.write(checkpoint(6))
    folder.write(checkpoint(7))
    folder.write(checkpoint(0), alone=True)
    assert names(folder) == ["checkpoint-00000000", "lock"]


def test_the_one_before_stands_in_for_a_damaged_one(folder: CheckpointFolder) -> None:
    older, newer = folder.write(checkpoint(0)), folder.write(checkpoint(1))
    newer.write_bytes(newer.read_bytes()[:-1])
    found = folder.newest()
    assert found is not None
    path, whole, refused = found
    assert (path, whole) == (older, checkpoint(0))
    assert [str(error) for error in refused] == [
        f"{newer}: is damaged or was cut short: its hash does not match"
    ]
    older.write_bytes(b"")
    with pytest.raises(CheckpointError, match="checkpoint-00000001: is damaged"):
        folder.newest()


def test_the_power_is_cut_a_thousand_times(folder: CheckpointFolder) -> None:
    """A file cut short, or with a bit flipped, anywhere: the right state, or a refusal by name."""
    rng = np.random.default_rng(6)
    older, newer = folder.write(checkpoint(0)), folder.write(checkpoint(1))
    whole = {path: path.read_bytes() for path in (older, newer)}
    fallen_back = refusals = 0
    for number in range(1000):
        hit = [newer] if number % 4 else [older, newer]
        for path in hit:
            raw = bytearray(whole[path])
            place = int(rng.integers(len(raw)))
            if rng.random() < 0.5:
                del raw[place:]
            else:
                raw[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(raw)
            with pytest.raises(CheckpointError) as refused:
                read_checkpoint(path)
            assert str(refused.value).startswith(f"{path}: ")
        if len(hit) == 1:
            found = folder.newest()
            assert found is not None
            assert found[:2] == (older, checkpoint(0))
            assert str(found[2][0]).startswith(f"{newer}: ")
            fallen_back += 1
        else:
            with pytest.raises(CheckpointError) as refused:
                folder.newest()
            assert str(refused.value).startswith(f"{newer}: ")
            refusals += 1
        for path in hit:
            path.write_bytes(whole[path])
    assert (fallen_back, refusals) == (750, 250)
    found = folder.newest()
    assert found is not None
    assert found[1] == checkpoint(1)


def foreign(**changes: Any) -> bytes:
    """A file that is as it should be but for what was meant by it."""
    from pipeline.checkpoint import folder as module

    body = changes.get("magic", module._MAGIC) + msgspec.msgpack.encode(changes["content"])
    return body + module._hash(body)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "is no checkpoint, or its beginning is damaged"),
        (b"#!AER-DAT4.0\r\n", "is no checkpoint, or its beginning is damaged"),
        (b"event-pipeline checkpoint/2\n1234", "is of format '2', and this version reads 1"),
        (b"event-pipeline checkpoint/1\n", "is damaged or was cut short: its hash does not match"),
        (foreign(content=[1, 2]), "was made by another version (Expected `object`, got `array`)"),
        (
            foreign(content={"number": 1}),
            "was made by another version (Object missing required field `made_at_s`)",
        ),
    ],
    ids=["empty", "recording", "format", "cut", "content", "fields"],
)
def test_what_is_none_is_refused_by_name(tmp_path: Path, raw: bytes, problem: str) -> None:
    path = tmp_path / "checkpoint-00000001"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(path)
    assert str(refused.value) == f"{path}: {problem}"


def test_one_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"x: cannot be read: No such file or directory"):
        read_checkpoint(tmp_path / "x")


def test_a_folder_has_one_run(folder: CheckpointFolder) -> None:
    with pytest.raises(CheckpointError) as refused:
        CheckpointFolder(folder.path, keep=2)
    assert str(refused.value) == (
        f"{folder.path}: another run keeps its checkpoints here; end it, or name another folder"
    )
    folder.close()
    CheckpointFolder(folder.path, keep=2).close()


def test_what_is_no_folder_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, problem in (("file", "File exists"), ("file/below", "Not a directory")):
        with pytest.raises(CheckpointError) as refused:
            CheckpointFolder(tmp_path / path, keep=1)
        said = f"{tmp_path / path}: cannot be used for checkpoints: {problem}"
        assert str(refused.value) == said


def test_a_full_disk_leaves_the_one_before(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder.write(checkpoint(0))

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    for call in ("write", "fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(CheckpointError) as refused:
                folder.write(checkpoint(1))
        said = f"{folder.path}/checkpoint-00000001: cannot be written: No space left on device"
        assert str(refused.value) == said
        assert names(folder) == ["checkpoint-00000000", "lock"]
    assert read_checkpoint(path) == checkpoint(0)


def test_a_file_is_whole_although_the_disk_takes_it_in_pieces(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, part: write(file, part[:100]))
    assert read_checkpoint(folder.write(checkpoint(0))) == checkpoint(0)


def test_a_folder_that_was_removed_is_an_error_of_writing(folder: CheckpointFolder) -> None:
    shutil.rmtree(folder.path)
    with pytest.raises(CheckpointError, match="checkpoint-00000000: cannot be written: No such"):
        folder.write(checkpoint(0))


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        ({"a": 2, "b": 1}, "a was 1, and is 2"),
        ({"b": 1}, "a was 1, and is not there"),
        ({"a": 1, "b": 1, "c": "x"}, "c was not there, and is 'x'"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(now: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_same({"a": 1, "b": 1}, now, Path("checkpoint-00000007"))
    assert str(refused.value) == (
        f"checkpoint-00000007: is of another run: {problem}; set it back, or start over with"
        " --fresh"
    )
