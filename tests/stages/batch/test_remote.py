"""A worker on another host: it refuses what would not give the same numbers there."""

import pickle
import socket
from pathlib import Path
from typing import Any

import pytest
from batch_work import Failing, Squares

from pipeline.errors import ConfigError, RecordingError, StageError
from stages.batch.engine import Broke, Done, Ready
from stages.batch.files import known
from stages.batch.remote import Remote, portable, versions

NO_FILES = pickle.dumps([])


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A worker that does not end with this test's parent."""
    monkeypatch.setattr("stages.batch.remote.end_with", lambda parent: None)
    return Remote()


def test_tasks_go_in_and_results_come_out(remote: Remote) -> None:
    opened = pickle.loads(remote.open(versions(), pickle.dumps(Squares()), NO_FILES))
    assert isinstance(opened, Ready)
    assert pickle.loads(remote.do(pickle.dumps(7), NO_FILES)) == Done([(7, 49)])


@pytest.mark.parametrize("name", ["event-pipeline", "numpy", "Python"])
def test_another_version_is_refused_before_anything_is_read(remote: Remote, name: str) -> None:
    answer = pickle.loads(remote.open({**versions(), name: "0.0.1"}, b"no pickle", NO_FILES))
    assert isinstance(answer, Broke)
    assert isinstance(answer.error, ConfigError)
    assert str(answer.error) == (
        f"host {socket.gethostname()} has {name} {versions()[name]}, and here it is 0.0.1; install"
        " the same on all hosts, or the numbers may differ"
    )


def test_a_package_that_is_not_there(remote: Remote) -> None:
    pickled = pickle.dumps(Squares()).replace(b"batch_work", b"batch_walk")
    answer = pickle.loads(remote.open(versions(), pickled, NO_FILES))
    assert isinstance(answer.error, ConfigError)
    assert "lacks what this work needs: No module named 'batch_walk'; install" in str(answer.error)


def test_a_recording_that_is_not_there(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "3.bin").write_bytes(b"events")
    files = pickle.dumps(known([str(tmp_path / "3.bin")]))
    (tmp_path / "3.bin").unlink()
    remote.open(versions(), pickle.dumps(Squares()), NO_FILES)
    answer = pickle.loads(remote.do(pickle.dumps(3), files))
    assert isinstance(answer.error, RecordingError)
    assert f"3.bin: cannot be read on host {socket.gethostname()}" in str(answer.error)


def test_what_fails_is_told_as_it_would_be_here(remote: Remote) -> None:
    remote.open(versions(), pickle.dumps(Failing(is_bug=False)), NO_FILES)
    answer = pickle.loads(remote.do(pickle.dumps(3), NO_FILES))
    assert isinstance(answer.error, RecordingError)
    assert str(answer.error) == "3.bin: is broken"


class Stubborn(Exception):
    """Cannot be made again from its message."""

    def __init__(self, one: Any, other: Any) -> None:
        super().__init__(f"{one} and {other}")


def test_an_error_that_cannot_be_pickled_keeps_its_words() -> None:
    told = portable(Stubborn(1, 2))
    assert isinstance(told, StageError)
    assert str(told) == "Stubborn: 1 and 2"
