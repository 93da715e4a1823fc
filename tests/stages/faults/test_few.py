"""Faults that end something: they strike where they should, and not for ever."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streams import recording, rows, through

from pipeline.errors import StageError
from pipeline.events import events_from_columns
from pipeline.messages import Message
from pipeline.offline import run_chain
from pipeline.ports import EventsPort
from pipeline.registry import load_stage
from pipeline.stage import PortError


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "marks"


def make(name: str, resumes: bool = False, **options: Any) -> Any:
    found = load_stage(name)
    stage = found(name, found.Config(**options), [EventsPort(8, 6)])
    stage.resumes = resumes
    stage.port()
    return stage


def hundred(*cuts: int) -> list[Message]:
    t = np.arange(100)
    return list(recording(events_from_columns(t, t % 8, t % 6, t % 2), cuts))


def until_it_fails(stage: Any, *cuts: int) -> int:
    """How many rows are passed on before the stage fails."""
    passed: list[Message] = []
    with pytest.raises(StageError, match=r"^stage 'fault_raise': failed on purpose$"):
        passed.extend(run_chain(hundred(*cuts), [stage]))
    return len(rows(passed))


@pytest.mark.parametrize("cuts", [(), (40,), (10, 41, 42, 43), (42,)])
def test_it_strikes_where_it_should_and_all_before_has_passed(
    cuts: tuple[int, ...], marks: Path
) -> None:
    assert until_it_fails(make("fault_raise", marks=marks, from_us=42), *cuts) == 42


def test_a_run_that_goes_on_is_not_struck_at_the_same_row_again(marks: Path) -> None:
    options = {"marks": marks, "probability": 0.1, "times": 3, "seed": 5}
    struck = [until_it_fails(make("fault_raise", resumes=k > 0, **options)) for k in range(3)]
    assert sorted(set(struck)) == struck
    assert len(rows(through([make("fault_raise", resumes=True, **options)], hundred()))) == 100
    assert len(marks.read_text().splitlines()) == 3


def test_a_run_that_starts_afresh_is_struck_again(marks: Path) -> None:
    assert until_it_fails(make("fault_raise", marks=marks, from_us=7)) == 7
    assert until_it_fails(make("fault_raise", marks=marks, from_us=7)) == 7


def test_the_mark_is_there_before_the_process_dies(
    marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, str]] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append((number, marks.read_text())))
    through([make("fault_kill", marks=marks, from_us=9)], hundred())
    through([make("fault_hang", marks=marks, from_us=9)], hundred())
    assert sent == [(signal.SIGKILL, "0 9\n"), (signal.SIGSTOP, "0 9\n")]


def test_a_stage_may_hang_for_a_while(marks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("stages.faults.hang.time.sleep", slept.append)
    out = through([make("fault_hang", marks=marks, what="stage", for_s=2.5)], hundred())
    assert (slept, len(rows(out))) == ([2.5], 100)
    with pytest.raises(PortError, match="cannot go on by itself"):
        make("fault_hang", marks=marks, for_s=2.5)


def test_marks_that_cannot_be_kept_are_told(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="is a folder; name a file in it"):
        make("fault_kill", marks=tmp_path)
    stage = make("fault_kill", marks=tmp_path / "marks")
    (tmp_path / "marks").mkdir()
    with pytest.raises(StageError, match=r"marks: .*: cannot be used: .*; name another file$"):
        stage.open()


def test_a_full_disk_is_filled_to_its_end_and_emptied(
    tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 12_345_678
    taken: list[int] = []

    def fallocate(_: int, offset: int, size: int) -> None:
        if offset + size > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken.append(size)

    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    options = {"marks": marks, "folder": tmp_path, "max_mb": 1_000_000}
    stage = make("fault_full_disk", **options)
    (message,) = [m for m in run_chain(hundred(), [stage]) if len(m.array)]
    assert (len(message.array), sum(taken)) == (100, room)
    assert not stage.filler.exists()
    stage.filler.write_bytes(b"left by a process that was killed")
    make("fault_full_disk", resumes=True, **options).open()
    assert not stage.filler.exists()


def test_a_disk_is_not_filled_beyond_the_limit(
    tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", lambda *part: taken.append(part[2]))
    stage = make("fault_full_disk", marks=marks, folder=tmp_path, max_mb=1_000_000)
    stage.config = stage.config.model_copy(update={"max_mb": 100})
    stage.open()
    stage.do()
    assert sum(taken) == 100_000_000
    assert stage.filler.exists()
    stage.close()


def test_a_large_disk_is_refused(tmp_path: Path, marks: Path) -> None:
    with pytest.raises(PortError, match=r"MB free, more than the 1 MB that may be filled"):
        make("fault_full_disk", marks=marks, folder=tmp_path, max_mb=1)
    with pytest.raises(PortError, match=r"nowhere: cannot be used: No such file"):
        make("fault_full_disk", marks=marks, folder=tmp_path / "nowhere")
