"""What makes a run this run: the version, every option of its stages, the files that they read.

A checkpoint goes on only in the run that it is of. Options are told apart by name, so that a
refusal can say which is another; files by their size and by the hash of their content. To read a
large data set again would take longer than to go on: of long files the first and the last megabyte
are looked at, and where all of that comes to more than a limit, of the files that are left the size
alone.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from pipeline.copies import MARK
from pipeline.graph import Graph
from pipeline.inputs import table_of
from pipeline.stage import Source

__all__ = ["content_of", "difference", "fingerprint"]

_WHOLE_BYTES = 64 << 20
_PART_BYTES = 1 << 20
_ALL_BYTES = 256 << 20
"""The most that is read of the recordings of a source."""
_NAMED_FILES = 1000
"""Of more recordings than that the others share an entry: a checkpoint is to stay small."""


def fingerprint(graph: Graph, whole: bool = False) -> dict[str, Any]:
    """Return the options of all stages by their place, and what is in the files that they read.

    Args:
        graph: the run.
        whole: tell of the options too that never change what comes out (`Stage.free`).
    """
    base = graph.path.parent
    told: dict[str, Any] = {"event-pipeline": version("event-pipeline")}
    copied = Counter(table_of(node.name) for node in graph.nodes if MARK in node.name)
    for node in graph.nodes:
        place = f"stage.{node.name}"
        if MARK in node.name:
            told[f"stage.{table_of(node.name)}.copies"] = copied[table_of(node.name)]
        told[f"{place}.use"] = node.use
        told[f"{place}.from"] = list(node.inputs)
        for key, value in dict(node.stage.config).items():
            if key in node.stage.free and not whole:
                continue
            told[f"{place}.{key}"] = _portable(value, base)
            if isinstance(value, Path) and key not in node.stage.writes and value.is_file():
                told[f"{_portable(value, base)} (of {place}.{key})"] = content_of(value)
        if isinstance(node.stage, Source):
            told |= _recordings(node.stage.recordings(), place, base)
    # As it will be read again: a list where there was a tuple, text where there was a path.
    plain: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(told, enc_hook=str))
    return plain


def content_of(path: Path) -> str:
    """Return what tells a file's content from another's: its size, and the hash of it.

    Of a file of more than 64 MiB the first and the last MiB are read.
    """
    return _content(path, _WHOLE_BYTES)[0]


def difference(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    told: str = "{place} is {ours} here, and {theirs} there",
) -> str:
    """Return in what two runs differ first, as ``told`` says it; "" where they are the same."""
    # What was asked for says more than what was in the files of that name, and what stands in front
    # more than what follows from it.
    for place in sorted({**ours, **theirs}, key=lambda it: " (of " in it):
        one, other = ours.get(place), theirs.get(place)
        if one != other:
            return told.format(place=place, ours=_shown(one), theirs=_shown(other))
    return ""


def _shown(value: Any) -> str:
    return "not there" if value is None else repr(value)


def _portable(value: Any, base: Path) -> Any:
    """Return paths as they are seen from the pipeline's file, which may lie anywhere."""
    if isinstance(value, Path):
        return os.path.relpath(value, base)
    return [_portable(each, base) for each in value] if isinstance(value, list) else value


def _recordings(files: Sequence[Path], place: str, base: Path) -> dict[str, str]:
    """Return what tells recordings from others; each of the first has an entry of its own."""
    told: dict[str, str] = {}
    left_bytes, others = _ALL_BYTES, hashlib.blake2b(digest_size=16)
    for number, file in enumerate(files):
        name = _portable(file, base)
        content, read_bytes = _content(file, left_bytes)
        left_bytes -= read_bytes
        if number < _NAMED_FILES:
            told[f"{name} (of {place})"] = content
        else:
            others.update(f"{name}: {content}\n".encode(errors="surrogateescape"))
    if len(files) > _NAMED_FILES:
        count = len(files) - _NAMED_FILES
        told[f"further recordings (of {place})"] = f"{count} files, {others.hexdigest()}"
    return told


def _content(path: Path, most_bytes: int) -> tuple[str, int]:
    """Return what tells a file's content from another's, and how much of it was read.

    What cannot be read has no content, and where ``most_bytes`` do not suffice it is the size.
    """
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            is_short = size <= _WHOLE_BYTES
            read_bytes = size if is_short else 2 * _PART_BYTES
            if read_bytes > most_bytes:
                return f"{size} bytes", 0
            if is_short:
                while part := file.read(_PART_BYTES):
                    digest.update(part)
            else:
                digest.update(file.read(_PART_BYTES))
                file.seek(-_PART_BYTES, os.SEEK_END)
                digest.update(file.read())
    except OSError:
        return "unreadable", 0
    return f"{size} bytes, {digest.hexdigest()}", read_bytes
