"""The folder of a run: private, gone afterwards, and nobody else's is touched."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.run.folder import RunDirectory


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the user's runs have their folders; it does not exist yet."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder) / f"pipeline-{os.getuid()}"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_folder_is_private_and_gone_afterwards(home: Path) -> None:
    with RunDirectory() as folder:
        assert folder.parent == home
        assert mode(folder) == mode(home) == 0o700
        (folder / "plan.json").write_text("{}")
    assert list(home.iterdir()) == []


def test_the_folder_is_gone_after_a_failure(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunDirectory():
        raise ZeroDivisionError
    assert list(home.iterdir()) == []


def test_runs_leave_each_other_alone(home: Path) -> None:
    with RunDirectory() as first:
        with RunDirectory() as second:
            assert first != second
            assert first.is_dir()
        assert list(home.iterdir()) == [first]


def test_the_remains_of_a_killed_run_are_swept(home: Path) -> None:
    program = (
        "import os, signal; from pipeline.run.folder import RunDirectory\n"
        "with RunDirectory() as folder:\n"
        "    (folder / 'plan.json').write_text('{}')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert killed.returncode == -signal.SIGKILL
    (remains,) = home.iterdir()
    with RunDirectory() as folder:
        assert not remains.exists()
        assert list(home.iterdir()) == [folder]


def test_a_folder_without_a_lock_was_never_a_run(home: Path) -> None:
    (home / "half").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    with RunDirectory() as folder:
        assert list(home.iterdir()) == [folder]


def test_a_stray_file_does_not_stop_a_run(home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "note").write_text("keep me")
    with RunDirectory():
        pass
    assert (home / "note").read_text() == "keep me"


def refusal() -> str:
    with pytest.raises(PipelineError) as caught, RunDirectory():
        pass
    return str(caught.value)


def test_a_home_that_others_can_read_is_refused(home: Path) -> None:
    home.mkdir()
    home.chmod(0o755)
    assert refusal() == (
        f"{home}: is not private to you (owner {os.getuid()}, mode 755); remove it, or set TMPDIR,"
        " and XDG_RUNTIME_DIR if you have it, to another folder"
    )


def test_a_link_is_refused_and_nothing_behind_it_is_swept(home: Path) -> None:
    precious = home.parent / "precious"
    (precious / "keys").mkdir(parents=True)
    precious.chmod(0o700)
    home.symlink_to(precious)
    assert refusal().startswith(f"{home}: is a link; remove it, or set TMPDIR")
    assert (precious / "keys").is_dir()


def test_a_home_that_cannot_be_made_is_explained(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.parent / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home.parent / "file"))
    assert "the folder for sockets cannot be made: Not a directory; set TMPDIR" in refusal()


def test_a_path_too_long_for_sockets_is_not_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seventy characters, but more bytes than a socket's path may have.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home.parent / ("é" * 50)))
    with RunDirectory() as folder:
        assert folder.parent == Path("/tmp") / f"pipeline-{os.getuid()}"


def test_what_lies_in_the_folder_is_the_users_alone(home: Path) -> None:
    with RunDirectory() as folder:
        assert {path.name: mode(path) for path in folder.iterdir()} == {"lock": 0o600, "key": 0o600}
