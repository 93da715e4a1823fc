"""Progress: a checkpoint is of one point of the streams, whatever the order of its parts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.checkpoint.folder import Checkpoint, CheckpointFolder, StageSnapshot, read_checkpoint
from pipeline.checkpoint.progress import Progress
from pipeline.errors import CheckpointError
from pipeline.report import Failure, StageReport
from pipeline.run.control import Kept

STAGES = ["left", "right", "file"]


class Clock:
    """Stands for the monotonic clock."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return 1.5e9 + self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("pipeline.checkpoint.progress.time", clock)
    return clock


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[CheckpointFolder]:
    folder = CheckpointFolder(tmp_path / "kept", keep=9)
    yield folder
    folder.close()


@pytest.fixture
def progress(folder: CheckpointFolder, clock: Clock) -> Progress:
    """Behind checkpoint 0."""
    progress = Progress(folder, STAGES, ["left", "right"], 10.0, {"stage.left.path": "a"})
    progress.go_on(None, -1)
    for stage in STAGES:
        progress.keep(part(0, stage))
    return progress


def part(number: int | None, stage: str, failure: Failure | None = None) -> Kept:
    """A stage's part; how often it has spoken tells of which point of the stream it is."""
    if number is not None:
        return Kept(number, StageSnapshot(stage, None, seq=number))
    report = StageReport(name=stage, account=None, received=[], sent=[], busy_s=0.0, wall_s=0.0)
    if failure is not None:
        report = StageReport(
            name=stage,
            account=None,
            received=[],
            sent=[],
            busy_s=0.0,
            wall_s=0.0,
            failure=failure,
        )
    return Kept(None, StageSnapshot(stage, None, seq=999, report=report))


def written(progress: Progress) -> Checkpoint:
    assert progress.path is not None
    return read_checkpoint(progress.path)


def points(progress: Progress) -> list[int]:
    return [each.seq for each in written(progress).stages]


def test_it_is_written_when_the_last_part_is_there(
    progress: Progress, folder: CheckpointFolder, clock: Clock
) -> None:
    assert written(progress).number == progress.number == 0
    assert written(progress).tables == {"stage.left.path": "a"}
    assert progress.due() is None
    clock.now_s += 10
    assert progress.due() == 1
    assert progress.due() is None
    for stage in ("file", "left"):
        progress.keep(part(1, stage))
        assert progress.number == 0
    progress.keep(part(1, "right"))
    assert progress.number == 1
    assert [each.stage for each in written(progress).stages] == STAGES
    assert points(progress) == [1, 1, 1]


def test_the_next_is_due_an_interval_behind_the_beginning_of_the_last(
    progress: Progress, clock: Clock
) -> None:
    clock.now_s += 10
    assert progress.due() == 1
    clock.now_s += 25
    for stage in STAGES:
        progress.keep(part(1, stage))
    assert progress.due() == 2


def test_what_belongs_to_another_checkpoint_is_left_out(progress: Progress, clock: Clock) -> None:
    clock.now_s += 10
    assert progress.due() == 1
    progress.keep(part(0, "left"))
    progress.keep(part(1, "right"))
    progress.keep(part(1, "file"))
    assert progress.number == 0


def test_a_stage_that_was_over_before_has_its_last_part_in_all_that_follow(
    progress: Progress, clock: Clock
) -> None:
    progress.keep(part(None, "left"))
    for number in (1, 2):
        clock.now_s += 10
        assert progress.due() == number
        progress.keep(part(number, "right"))
        progress.keep(part(number, "file"))
        assert points(progress) == [999, number, number]


def test_a_stage_that_ends_meanwhile_is_kept_as_the_barrier_passed_it(
    progress: Progress, clock: Clock
) -> None:
    """Its end is a later point of the stream than what the stages behind it are kept at."""
    clock.now_s += 10
    assert progress.due() == 1
    progress.keep(part(1, "left"))
    progress.keep(part(None, "left"))
    progress.keep(part(1, "right"))
    progress.keep(part(1, "file"))
    assert points(progress) == [1, 1, 1]


def test_the_last_says_that_the_run_is_finished(progress: Progress, clock: Clock) -> None:
    clock.now_s += 10
    assert progress.due() == 1
    for stage in STAGES:
        assert not written(progress).finished
        progress.keep(part(None, stage))
    assert written(progress).finished
    assert points(progress) == [999] * 3
    assert progress.number == 1


def test_without_a_source_that_plays_none_is_due(progress: Progress, clock: Clock) -> None:
    progress.keep(part(None, "left"))
    progress.keep(part(None, "right"))
    clock.now_s += 1000
    assert progress.due() is None


def test_a_run_whose_source_failed_is_not_finished(progress: Progress) -> None:
    progress.keep(part(None, "left", Failure("damaged", 1)))
    progress.keep(part(None, "right"))
    progress.keep(part(None, "file"))
    assert not written(progress).finished
    assert progress.number == 0


def test_behind_a_crash_it_begins_anew_with_numbers_that_go_on(
    progress: Progress, clock: Clock
) -> None:
    clock.now_s += 10
    assert progress.due() == 1
    progress.keep(part(1, "left"))
    progress.keep(part(None, "right"))
    clock.now_s += 3
    progress.go_on(progress.path, progress.number)
    clock.now_s += 9
    assert progress.due() is None
    clock.now_s += 1
    assert progress.due() == 1
    progress.keep(part(1, "file"))
    progress.keep(part(1, "right"))
    assert progress.number == 0  # nothing of the crashed workers is in it
    progress.keep(part(1, "left"))
    assert points(progress) == [1, 1, 1]


def test_where_the_first_cannot_be_written_the_run_fails(
    folder: CheckpointFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = Progress(folder, ["left"], ["left"], 10.0, {})
    progress.go_on(None, -1)
    monkeypatch.setattr(folder, "write", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        progress.keep(part(0, "left"))


def fail(checkpoint: Checkpoint, alone: bool = False) -> Path:
    raise CheckpointError(f"f/checkpoint-{checkpoint.number}: cannot be written: No space left")


def test_where_a_later_one_cannot_be_written_it_is_said_once_and_tried_again(
    progress: Progress,
    folder: CheckpointFolder,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as full:
        full.setattr(folder, "write", fail)
        for number in (1, 2):
            clock.now_s += 10
            assert progress.due() == number
            for stage in STAGES:
                progress.keep(part(number, stage))
    assert progress.number == 0
    assert capsys.readouterr().err == (
        "f/checkpoint-1: cannot be written: No space left; going on without it, and trying again\n"
    )
    clock.now_s += 10
    assert progress.due() == 3
    for stage in STAGES:
        progress.keep(part(3, stage))
    assert progress.number == 3
    assert capsys.readouterr().err == (
        f"{folder.path}/checkpoint-00000003: written, checkpoints are made again\n"
    )


def test_the_newest_that_is_whole_is_gone_on_from(
    progress: Progress, folder: CheckpointFolder, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    older = progress.path
    clock.now_s += 10
    assert progress.due() == 1
    for stage in STAGES:
        progress.keep(part(1, stage))
    newer = progress.path
    progress.look_again()
    assert (progress.path, progress.number) == (newer, 1)
    assert newer is not None
    newer.write_bytes(newer.read_bytes()[:-1])
    progress.look_again()
    assert (progress.path, progress.number) == (older, 0)
    said = capsys.readouterr().err
    assert said == f"{newer}: is damaged or was cut short: its hash does not match\n"


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(
    progress: Progress, folder: CheckpointFolder
) -> None:
    shutil.rmtree(folder.path)
    with pytest.raises(CheckpointError) as refused:
        progress.look_again()
    assert str(refused.value) == (
        f"{folder.path}: its checkpoints were removed while the run went on; start over with"
        " --fresh"
    )
