"""Files that another host must have as well: how they are told apart from others of that name.

They are read where they lie, at the same path on all hosts, and do not travel with the task:
recordings are too large for that, so there is a shared file system or a copy anyway, and one rule
for all files is one less to know. What is small and decides every number, weights above all, is
compared by its content; recordings by their size, as to read each twice would take as long as the
work.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import RecordingError

__all__ = ["Known", "check", "known"]


class Known(NamedTuple):
    """What a file is where the work was asked for."""

    path: str
    bytes: int | None
    """Its size; None of a folder."""
    content: str | None
    """Stands for what is in it; None: that was not asked."""


def known(paths: Iterable[str], content: bool = False) -> list[Known]:
    """Return what files are on this host; those that are not here are left to whoever opens them.

    Args:
        paths: files and folders, absolute.
        content: whether their content counts.
    """
    return [found for path in paths if (found := _known(path, content)) is not None]


def check(files: Iterable[Known], host: str) -> None:
    """Compare files of this host with what they are elsewhere.

    Args:
        files: what they are there.
        host: what this one is called.

    Raises:
        RecordingError: one is not here, or is another.
    """
    for file in files:
        here = _known(file.path, file.content is not None)
        if here is None:
            raise RecordingError(
                f"{file.path}: cannot be read on host {host}; put it there at the same path, or on"
                " a file system that all hosts share"
            )
        if here != file:
            what = "size" if here.bytes != file.bytes else "content"
            raise RecordingError(
                f"{file.path}: is of another {what} on host {host} than here; make them the same"
            )


def _known(path: str, content: bool) -> Known | None:
    try:
        size = None if os.path.isdir(path) else os.stat(path).st_size
        if not os.access(path, os.R_OK):
            return None
        return Known(path, size, _content(Path(path)) if content else None)
    except OSError:
        return None


def _content(path: Path) -> str:
    """Return what stands for a file's content, or for that of all files in a folder."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    found = hashlib.sha256()
    for one in sorted(one for one in path.rglob("*") if one.is_file()):
        found.update(f"{one.relative_to(path)}\0{_content(one)}\n".encode(errors="surrogateescape"))
    return found.hexdigest()
