"""Cache files: HDF5, each named after and marked with what it was made from.

A file is written under another name and renamed when it is whole. One that was cut short, or was
made from something else, is made again.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from pipeline.errors import RecordingError
from stages.datasets.data_set import Item

__all__ = ["COMPRESSION", "digest", "ensure", "fingerprint", "open_cache", "paths_in"]

COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
"""Light, and read by every HDF5 library; frames are mostly zeros."""

_VERSION = 2
"""Raised when what is in a cache changes."""


def digest(*values: Any) -> str:
    """Return 16 letters that stand for some JSON values."""
    encoded = msgspec.json.encode(values, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:16]


def fingerprint(items: Sequence[Item], tables: Sequence[Mapping[str, Any]], *more: Any) -> str:
    """Return what a cache is marked with: items, their files, the stages that they go through.

    A file counts as the same while its size and its time of change are; so does a folder, whose
    time changes when a file is added or taken away.
    """
    paths = sorted({path for item in items for path in paths_in(item.source)})
    paths += sorted({path for table in tables for path in paths_in(table)})
    files = [(path, *_stamp(path)) for path in paths]
    kept = [(item.key, item.source, item.recording, item.start_us, item.end_us) for item in items]
    return digest(_VERSION, files, kept, list(tables), *more)


def ensure(path: Path, mark: str, write: Callable[[Any], None]) -> None:
    """Make a cache unless it is there, whole, and made from the same.

    Args:
        path: the file.
        mark: what it is made from, see `fingerprint`.
        write: fills the open `h5py.File`.

    Raises:
        RecordingError: it cannot be written.
    """
    import h5py

    if _is_good(path, mark):
        return
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(draft, "w") as file:
            write(file)
            file.attrs["made_from"] = mark
        draft.replace(path)
    except OSError as error:
        raise RecordingError(
            f"{path}: cannot be written: {error.strerror or error}; check the path, its permissions"
            " and the space on the disk"
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def open_cache(path: Path) -> Any:
    """Open a cache for reading; returns an `h5py.File`.

    Raises:
        RecordingError: it is no longer there, or damaged.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise RecordingError(
            f"{path}: cannot be read: {error}; remove it, it is made again"
        ) from None


def _is_good(path: Path, mark: str) -> bool:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("made_from") == mark)
    except OSError:
        return False


def paths_in(values: Mapping[str, Any]) -> Iterator[str]:
    """Return the options that name a file or folder that is there."""
    for value in values.values():
        several: Iterable[Any] = value if isinstance(value, list) else [value]
        for one in several:
            if isinstance(one, str) and (os.sep in one or "." in one) and os.path.exists(one):
                yield one


def _stamp(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns
