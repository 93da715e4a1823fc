"""Files of another host: those that are not there, or are others, are named with the host."""

from pathlib import Path

import pytest

from pipeline.errors import RecordingError
from stages.batch.files import check, known


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Write a file."""
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"1234")
    return path


def test_the_same_files_are_let_pass(weights: Path, tmp_path: Path) -> None:
    for content in (True, False):
        check(known([str(weights), str(tmp_path)], content), "roof")


def test_a_file_that_is_not_there_is_named_with_the_host(weights: Path) -> None:
    here = known([str(weights)])
    weights.unlink()
    with pytest.raises(RecordingError) as caught:
        check(here, "roof")
    assert str(caught.value) == (
        f"{weights}: cannot be read on host roof; put it there at the same path, or on a file"
        " system that all hosts share"
    )


def test_another_size_is_always_refused(weights: Path) -> None:
    here = known([str(weights)])
    weights.write_bytes(b"12345")
    with pytest.raises(RecordingError, match="is of another size on host roof than here"):
        check(here, "roof")


def test_other_content_is_refused_where_it_counts(weights: Path, tmp_path: Path) -> None:
    by_size, by_content = known([str(weights)]), known([str(weights)], content=True)
    folder = known([str(tmp_path)], content=True)
    weights.write_bytes(b"4321")
    check(by_size, "roof")
    for here in (by_content, folder):
        with pytest.raises(RecordingError, match="is of another content on host roof than here"):
            check(here, "roof")


def test_what_is_not_here_either_is_left_to_whoever_opens_it(tmp_path: Path) -> None:
    assert known([str(tmp_path / "nothing")]) == []
