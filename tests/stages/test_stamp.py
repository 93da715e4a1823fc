"""Stamps: a run knows the files that it began from those of others."""

import errno
import os
from pathlib import Path

import pytest

from stages.stamp import is_ours, new_owner, stamp, take_back

OURS, THEIRS = new_owner(), new_owner()


def test_only_files_of_the_run_are_taken_back(tmp_path: Path) -> None:
    ours, theirs, bare = (tmp_path / name for name in ("ours", "theirs", "bare"))
    for file in (ours, theirs, bare):
        file.write_bytes(b"precious")
    stamp(ours, OURS)
    stamp(theirs, THEIRS)
    if not is_ours(ours, OURS) or is_ours(bare, OURS):
        pytest.skip("this file system has no extended attributes")
    for file in (ours, theirs, bare, tmp_path / "none", tmp_path):
        take_back(file, OURS)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bare", "theirs"]


def test_where_there_are_no_stamps_what_was_not_there_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "getxattr", refuse)
    monkeypatch.setattr(os, "setxattr", refuse)
    file = tmp_path / "some"
    file.touch()
    stamp(file, OURS)
    take_back(file, OURS)
    assert not file.exists()


def test_a_link_stays_and_what_it_leads_to_is_taken_back(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.touch()
    link.symlink_to(real)
    stamp(link, OURS)
    take_back(link, OURS)
    assert link.is_symlink()
    assert not real.exists()
