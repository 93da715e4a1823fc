"""Kernels are kept somewhere, even where neither package nor home can be written."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from pipeline import kernel_cache
from pipeline.kernel_cache import provide_kernel_cache


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which only the returned folder, for temporary files, can be written."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")  # so that what is set here is taken back
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere/at/all")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(kernel_cache.os, "access", lambda _path, _mode: False)
    return tmp_path


def test_where_nothing_else_can_be_written_kernels_go_with_temporary_files(read_only: Path) -> None:
    provide_kernel_cache()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.parent == read_only
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    provide_kernel_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]) == folder


def test_a_folder_that_others_could_have_put_there_is_not_used(read_only: Path) -> None:
    """What Numba reads from its cache it runs."""
    (read_only / f"pipeline-kernels-{os.getuid()}").mkdir(mode=0o777)
    (read_only / f"pipeline-kernels-{os.getuid()}").chmod(0o777)
    provide_kernel_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ


@pytest.mark.usefixtures("read_only")
def test_the_users_own_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/somewhere")
    provide_kernel_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == "/somewhere"


def test_where_the_package_can_be_written_numba_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    provide_kernel_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ
